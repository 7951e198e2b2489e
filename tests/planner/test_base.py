"""The rules of the host itself: which packets it accepts, for every configuration."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from hypothesis import HealthCheck, given, settings

from planner.base import INPUT_CHAIN
from planner.config import Baseline, Host, Stack, Version
from planner.plan import HostPlan, plan
from planner.rule import Setting, sections
from planner.rules import FORWARD_CHAIN, OTHERS
from tests.planner import golden
from tests.planner.matching import Packet, Rule, loaded, parse
from tests.planner.strategies import Raw, stacks

SETTINGS = settings(
    max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
VERSIONS: tuple[Version, ...] = (4, 6)
NEW, REPLY = ("NEW", frozenset[str]()), ("ESTABLISHED", frozenset[str]())


def _planned(raw: Raw) -> Iterator[tuple[Host, HostPlan]]:
    stack = Stack.parse(raw, "any")
    yield from zip(stack.hosts, plan(stack), strict=True)


def _closed(raw: Raw) -> Iterator[tuple[Host, Baseline, Version, list[tuple[str, Rule]]]]:
    """Yield the input rules of each closed host in both families, in the order of loading."""
    for host, planned in _planned(raw):
        if host.baseline is not None:
            for version in VERSIONS:
                rules = loaded(planned.wanted)
                yield (
                    host,
                    host.baseline,
                    version,
                    [(r.role, parse(r.text)) for r in rules if r.section == f"input_ipv{version}"],
                )


def _verdict(rules: list[tuple[str, Rule]], packet: Packet) -> str:
    return next(rule.target for _, rule in rules if rule.matches(packet))


def _packet(
    source: str,
    protocol: str = "tcp",
    port: int = 0,
    state: tuple[str, frozenset[str]] = NEW,
    *,
    input_: str = "wan0",
    source_port: int = 40000,
    icmp: int = 0,
) -> Packet:
    number = int(ip_address(source))
    return Packet(number, 0, False, input_, "", protocol, port, state, source_port, icmp)


STRANGER = {4: "203.0.113.77", 6: "2620:fe::77"}
"""Addresses in no range that the strategies draw."""


@given(stacks())
@SETTINGS
def test_the_drop_is_last_and_takes_all(raw: Raw) -> None:
    """All rules before it, in the order of loading, accept something."""
    for _, _, _, rules in _closed(raw):
        *others, (role, last) = rules
        assert role == "strangers"
        assert last == Rule(INPUT_CHAIN, "DROP")
        assert {rule.target for _, rule in others} == {"ACCEPT"}
        assert {rule.chain for _, rule in others} == {INPUT_CHAIN}


@given(stacks())
@SETTINGS
def test_ssh_is_let_in_from_the_sources_and_from_nowhere_else(raw: Raw) -> None:
    """Both ends of each range can reach the configured SSH port."""
    for host, baseline, version, rules in _closed(raw):
        port = host.ssh.port
        ranges = [source for source in baseline.ssh_from if source.version == version]
        for source in ranges:
            for end in (source.network_address, source.broadcast_address):
                assert _verdict(rules, _packet(str(end), port=port)) == "ACCEPT"
        if not any(ip_address(STRANGER[version]) in source for source in ranges):
            assert _verdict(rules, _packet(STRANGER[version], port=port)) == "DROP"
        assert {role for role, _ in rules if role.startswith("ssh ")} == {
            f"ssh {source}" for source in ranges
        }


@given(stacks())
@SETTINGS
def test_what_is_open_is_open_to_all_and_nothing_else_is(raw: Raw) -> None:
    """Checked are each port of each entry, the ones below and above it, and both protocols."""
    for host, baseline, version, rules in _closed(raw):
        wanted = {
            (entry.protocol, port)
            for entry in baseline.open
            for ports in entry.ports
            for port in range(ports.first, ports.last + 1)
        }
        edges = {
            port + offset
            for entry in baseline.open
            for ports in entry.ports
            for port in (ports.first, ports.last)
            for offset in (-1, 0, 1)
        }
        for port in (edges | {80}) - {host.ssh.port}:
            for protocol in ("tcp", "udp"):
                found = _verdict(rules, _packet(STRANGER[version], protocol, port))
                assert found == ("ACCEPT" if (protocol, port) in wanted else "DROP")


@given(stacks())
@SETTINGS
def test_a_host_can_talk_to_its_neighbours(raw: Raw) -> None:
    """It accepts loopback, answers, ICMP, and the ICMPv6 that RFC 4890 requires on a link."""
    needed = {1, 2, 3, 4, 128, 129, 130, 131, 132, 133, 134, 135, 136, 143}
    for _, _, version, rules in _closed(raw):
        stranger = STRANGER[version]
        assert _verdict(rules, _packet(stranger, port=1, input_="lo")) == "ACCEPT"
        assert _verdict(rules, _packet(stranger, port=1, state=REPLY)) == "ACCEPT"
        if version == 4:
            assert _verdict(rules, _packet(stranger, "icmp")) == "ACCEPT"
            continue
        let_in = {
            kind
            for kind in range(256)
            if _verdict(rules, _packet(stranger, "ipv6-icmp", icmp=kind)) == "ACCEPT"
        }
        assert let_in == needed


@given(stacks())
@SETTINGS
def test_a_dhcpv6_answer_comes_in_from_the_link_alone(raw: Raw) -> None:
    """It answers a multicast request, which conntrack does not relate to it."""
    for _, baseline, version, rules in _closed(raw):
        if version == 6 and not baseline.open:
            for source, source_port, verdict in (
                ("fe80::1", 547, "ACCEPT"),
                ("fe80::1", 546, "DROP"),
                ("2001:db8::1", 547, "DROP"),
            ):
                packet = _packet(source, "udp", 546, source_port=source_port)
                assert _verdict(rules, packet) == verdict


@given(stacks())
@SETTINGS
def test_no_line_is_of_the_other_family(raw: Raw) -> None:
    """An address in a line has the family of the tool that loads the line."""
    for _, planned in _planned(raw):
        rules = loaded(planned.wanted)
        for rule in rules:
            version = 4 if rule.family == "ipv4" else 6
            words = rule.text.split()
            for source in (words[n + 1] for n, word in enumerate(words) if word == "-s"):
                found = ip_network(source)
                assert (found.version, str(found)) == (version, source)
                assert found.prefixlen > 0, "iptables-save prints no match on everything"
            assert ("icmp6" in rule.text) <= (version == 6)
        assert len({(rule.section, rule.text) for rule in rules}) == len(rules)


@given(stacks())
@SETTINGS
def test_only_strangers_are_not_forwarded(raw: Raw) -> None:
    """From the wan only answers and translated packets pass; other interfaces are not affected."""
    for host, planned in _planned(raw):
        forward = [rule for rule in loaded(planned.wanted) if rule.chain == FORWARD_CHAIN]
        rules = [rule for rule in forward if rule.role != "marked"]
        closed = [] if host.baseline is None else ["forward_ipv4", "forward_ipv6"]
        assert [rule.section for rule in rules] == closed
        for rule in [parse(each.text) for each in rules]:
            assert (rule.chain, rule.target) == (FORWARD_CHAIN, "DROP")
            wan = host.wan.interface
            for input_, base_state, flags, dropped in (
                (wan, "NEW", (), True),
                (wan, "UNTRACKED", (), True),
                (wan, "INVALID", (), True),
                (wan, "NEW", ("SNAT",), True),
                (wan, "NEW", ("DNAT",), False),
                (wan, "ESTABLISHED", (), False),
                (wan, "RELATED", (), False),
                ("docker0", "NEW", (), False),
            ):
                state = (base_state, frozenset(flags))
                assert rule.matches(_packet("10.0.0.1", state=state, input_=input_)) == dropped


@given(stacks())
@SETTINGS
def test_a_host_has_what_it_asks_for_and_no_more(raw: Raw) -> None:
    """Each section follows from a key; what lets networks pass is always there."""
    for host, planned in _planned(raw):
        gateways = {"ipv4": host.wan.gateway_ipv4, "ipv6": host.wan.gateway_ipv6}
        given_ = {family: str(each) for family, each in gateways.items() if each is not None}
        assert (planned.confirm_seconds, planned.adopt) == (host.confirm_seconds, host.adopt)
        assert planned.persist == host.persist
        wan, found = host.wan.interface, sections(planned.wanted)
        assert found.pop("routes", {}) == {
            family: f"default via {each} dev {wan}" for family, each in given_.items()
        }
        assert found.pop("links", {}) == ({wan: f"{wan} up"} if given_ else {})
        for family in ("ipv4", "ipv6"):
            for chain in ("dnat", "snat"):
                assert found.pop(f"{chain}_{family}", {}).keys() <= {OTHERS}
        closed = {"sysctls", "input_ipv4", "input_ipv6", "forward_ipv4", "forward_ipv6"}
        passes = {"chain unmark", "chain pass"}
        passes |= {f"forward_ipv{v}" for network in host.networks for v, _ in network.publics}
        passes |= {"chain drop-forged"} if host.log_drops else set()
        assert set(found) == passes | (set() if host.baseline is None else closed)
        routed = any(network.ipv6 is not None for network in host.networks)
        keys = [line.partition(" = ")[0] for line in found.get("sysctls", {}).values()]
        assert any(key.startswith("net.ipv6.") for key in keys) == (
            routed and host.baseline is not None
        )


def test_router_advertisements_are_taken_before_forwarding_begins() -> None:
    """The kernel forgets a learned router when forwarding is turned on first."""
    config = golden.config("baseline")
    del config["hosts"][0]["wan"]["gateway_ipv6"]
    (host,) = plan(Stack.parse(config, "any"))
    places = {
        each.text.partition(" = ")[0]: each.order
        for each in host.wanted
        if isinstance(each, Setting) and each.section == "sysctls"
    }
    accept_ra = places.pop("net.ipv6.conf.wan0.accept_ra")
    assert all(accept_ra < place for place in places.values())
    assert "net.ipv6.conf.all.forwarding" in places


def test_router_advertisements_stay_as_they_are_where_the_route_is_given() -> None:
    """A host that ignores them would otherwise accept a default route from any neighbour."""
    (host,) = plan(Stack.parse(golden.config("baseline"), "any"))
    wanted = sections(host.wanted)
    assert "ipv6" in wanted["routes"]
    assert not [line for line in wanted["sysctls"].values() if "accept_ra" in line]
