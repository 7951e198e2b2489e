"""For any valid configuration, explain reports what the rules do with the packet."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings

from planner.config import Address, Host, Stack
from planner.config.schema import MARK
from planner.explain import Answer, Explainer, QuestionError, Target
from planner.plan import HostPlan, plan
from planner.rule import Wanted
from tests.planner import golden, matching, nft
from tests.planner.samples import HOST, WEB, edited
from tests.planner.strategies import Raw, stacks

SETTINGS = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
OUTSIDE = {4: ip_address("198.51.100.77"), 6: ip_address("2001:db8:ffff::77")}
PORTS = (22, 80, 40000)


class _Rules:
    """The rules of a host, tried on packets."""

    def __init__(self, host: Host, planned: HostPlan) -> None:
        wanted: list[Wanted] = [*planned.wanted]
        for each in planned.networks:
            wanted += each.wanted
        self._host = host
        self._guard = nft.guard_of(wanted)
        self._nat = [(each.family, matching.parse(each.text)) for each in matching.loaded(wanted)]

    def becomes(self, target: Target, source: Address) -> tuple[str, str, str]:
        """Return verdict, address of the container, and the source that the container sees."""
        came_by = self._bridge(source)
        inside = self._translated("DNAT", target, source, target.address, came_by, "")
        if inside is None:
            dropped = self._target("INPUT", target, source, target.address, came_by, "") == "DROP"
            return "dropped" if dropped else "host", "", ""
        goes_by = self._bridge(inside)
        packet = nft.Packet(
            came_by, goes_by, source, source, target.address, dnat=True, target=inside
        )
        arrives = self._guard.verdict("prerouting", packet)
        mark = self._guard.marked(packet)
        if arrives == "drop" or mark is None or not mark & MARK:
            return "dropped", "", ""
        seen = self._translated("SNAT", target, source, inside, "", goes_by)
        leaving = replace(
            packet,
            saddr=seen or source,
            seen=seen or source,
            protocol=target.protocol,
            port=target.port,
        )
        if self._guard.verdict("postrouting", leaving) == "drop":
            return "dropped", "", ""
        return "container", str(inside), "" if seen is None else str(seen)

    def _bridge(self, address: Address) -> str:
        for network in self._host.networks:
            if any(address in family.subnet for family in network.families):
                return network.bridge
        return self._host.wan.interface

    def _translated(
        self, kind: str, target: Target, source: Address, to: Address, way_in: str, way_out: str
    ) -> Address | None:
        found = self._target(kind, target, source, to, way_in, way_out)
        return ip_address(found.split()[-1]) if found else None

    def _target(
        self, kind: str, target: Target, source: Address, to: Address, way_in: str, way_out: str
    ) -> str:
        """Return the target of the first matching rule of a chain, empty without one."""
        state = ("NEW", frozenset(["DNAT"]) if kind == "SNAT" else frozenset[str]())
        packet = matching.Packet(
            int(source), int(to), False, way_in, way_out, target.protocol, target.port, state
        )
        for family, rule in self._nat:
            if (
                family == f"ipv{source.version}"
                and rule.chain == f"WANBOUND-{kind}"
                and rule.matches(packet)
            ):
                return rule.target
        return ""


def _targets(host: Host) -> Iterator[Target]:
    for network in host.networks:
        publics = [address for _, address in network.publics]
        for address in (*publics, *network.extras(4), *network.extras(6)):
            edges = {
                port
                for entry in network.ingress
                if entry.ports != "all"
                for each in entry.ports
                for port in (each.first, each.last, min(each.last + 1, 65535))
            }
            for port in {*PORTS, *edges}:
                yield Target(address, port, "tcp")
                yield Target(address, port, "udp")


def _sources(host: Host, version: int) -> Iterator[Address]:
    yield OUTSIDE[version]
    for network in host.networks:
        for family in network.families:
            if family.version == version:
                yield family.subnet.network_address + 5


@given(stacks(max_hosts=1))
@SETTINGS
def test_who_answers_is_what_the_rules_decide(raw: Raw) -> None:
    """Asked are first, last and next port of each range, from outside and from every network."""
    stack = Stack.parse(raw, "any")
    [host], [planned] = stack.hosts, plan(stack)
    rules, explainer = _Rules(host, planned), Explainer(stack)
    for target in _targets(host):
        for source in _sources(host, target.version):
            [answer] = explainer.arriving(target, source)
            verdict, inside, sees = rules.becomes(target, source)
            if inside == str(source):
                # A bridge does not send a packet back to its port; no rule says so.
                verdict, inside, sees = "dropped", "", ""
            address = (
                str(Target(ip_address(inside), target.port, target.protocol)) if inside else ""
            )
            got = (answer.verdict, "" if verdict == "host" else answer.address, answer.sees)
            assert got == (verdict, address, sees), (target, source)


@given(stacks(max_hosts=2, moded=True))
@SETTINGS
def test_every_question_has_an_answer_of_lines_that_there_are(raw: Raw) -> None:
    """In all modes, each named line is a line of the host."""
    stack = Stack.parse(raw, "any")
    explainer = Explainer(stack)
    for host, planned in zip(stack.hosts, plan(stack), strict=True):
        texts = {each.text for each in planned.wanted}
        texts |= {each.text for network in planned.networks for each in network.wanted}
        answers: list[Answer] = []
        for target in _targets(host):
            for source in (None, *_sources(host, target.version)):
                answers += explainer.arriving(target, source)
        for network in host.networks:
            for version in (4, 6):
                for to in _sources(host, version):
                    answers.append(explainer.leaving(host.name, network.name, to))
        own = [each for each in answers if each.host == host.name]
        assert own
        assert {line.text for each in own for line in each.lines} <= texts


@given(stacks(max_hosts=1, moded=True))
@SETTINGS
def test_what_leaves_for_the_internet_has_the_networks_address(raw: Raw) -> None:
    """In each family of the network; in the other family it is dropped."""
    stack = Stack.parse(raw, "any")
    for network in stack.hosts[0].networks:
        publics = {version: str(address) for version, address in network.publics}
        for version, to in OUTSIDE.items():
            answer = Explainer(stack).leaving(stack.hosts[0].name, network.name, to)
            expected = ("leaves", publics[version]) if version in publics else ("dropped", "")
            assert (answer.verdict, answer.sees) == expected


def test_a_container_that_calls_itself_may_need_hairpin_mode() -> None:
    """The stack does not have the kernel's settings; with the userland proxy off none is needed."""
    target = Target(ip_address("203.0.113.10"), 443, "tcp")
    itself = ip_address("172.20.1.254")
    [without] = Explainer(Stack.parse(edited(), "any")).arriving(target, itself)
    assert (without.container, without.sees) == ("web_lb", "203.0.113.10")
    assert "br_netfilter" in "".join(without.notes)
    engine = (f"{HOST}.engine", {"settings": {"userland-proxy": False}})
    [answer] = Explainer(Stack.parse(edited(engine), "any")).arriving(target, itself)
    assert (answer.container, answer.sees) == ("web_lb", "203.0.113.10")
    assert answer.notes == ()


def test_an_address_that_a_network_shares_with_the_host_is_the_hosts_too() -> None:
    """The host's own connections have it as source, and do not count as forged."""
    shared = ip_address("203.0.113.10")
    stack = Stack.parse(
        edited(
            (f"{HOST}.ssh.address", str(shared)),
            (f"{WEB}.manage_addresses", False),
            (f"{WEB}.ingress", [{"ports": [80, 443]}]),
        ),
        "any",
    )
    explainer = Explainer(stack)
    [answer] = explainer.arriving(Target(shared, 443, "tcp"), shared)
    assert answer.container == "web_lb"
    [answer] = explainer.arriving(Target(shared, 22, "tcp"))
    assert answer.verdict == "host"
    assert explainer.leaving("edge-1", "web", shared).verdict == "leaves"


def test_a_container_of_another_host_comes_with_its_networks_address() -> None:
    """Its private address never arrives; without a public address of the family, no packet does."""
    stack = Stack.parse(golden.config("several-networks"), "any")
    target = Target(ip_address("203.0.113.110"), 443, "tcp")
    [answer] = Explainer(stack).arriving(target, ip_address("172.20.0.9"))
    assert (answer.container, answer.sees) == ("web_lb", "203.0.113.20")


UNANSWERABLE = {
    "port 0": (Target(ip_address("203.0.113.10"), 0, "tcp"), None, "not a port"),
    "another family": (
        Target(ip_address("203.0.113.10"), 80, "tcp"),
        ip_address("2001:db8::9"),
        "different families",
    ),
    "an address of no host": (
        Target(ip_address("192.0.2.99"), 80, "tcp"),
        None,
        "belongs to no host of stack",
    ),
}


@pytest.mark.parametrize("name", UNANSWERABLE)
def test_a_question_that_makes_no_sense_is_refused(name: str) -> None:
    """The error says what to write instead."""
    target, source, what = UNANSWERABLE[name]
    with pytest.raises(QuestionError, match=what) as raised:
        Explainer(Stack.parse(edited(), "any")).arriving(target, source)
    assert "\n  Fix: " in str(raised.value)


@pytest.mark.parametrize(
    ("host", "network", "to", "what"),
    [
        (
            "edge-3",
            "web",
            "198.51.100.1",
            "not a host of stack any\n  Fix: name one of edge-1, edge-2",
        ),
        (
            "edge-1",
            "wob",
            "198.51.100.1",
            "not a network of host edge-1\n  Fix: name one of web, mail",
        ),
        ("edge-1", "web", "127.0.0.1", "containers send nothing to"),
        ("edge-1", "web", "ff02::1", "containers send nothing to"),
    ],
)
def test_a_way_out_that_makes_no_sense_is_refused(
    host: str, network: str, to: str, what: str
) -> None:
    """Misspelt names, and addresses that no other machine has."""
    with pytest.raises(QuestionError, match=what):
        Explainer(Stack.parse(edited(), "any")).leaving(host, network, ip_address(to))
