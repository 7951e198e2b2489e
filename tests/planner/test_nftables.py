"""The two dialects translate alike, for every configuration."""

from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings

from planner.config import Stack
from planner.icmpv6 import MESSAGES
from planner.plan import HostPlan, plan
from planner.rule import Wanted, sections
from providers.host.generation import compose
from tests.planner import golden
from tests.planner.strategies import Raw, stacks
from tests.providers.fake_kernel import Guard
from tests.providers.host.planned import host_plan

SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

TRANSLATES = ("map dnat-", "map snat-", "chain dnat-", "chain snat-")


def _in(raw: Raw, firewall: str) -> tuple[HostPlan, ...]:
    hosts = [{**host, "firewall": firewall} for host in raw["hosts"]]
    for host in hosts:
        host.pop("persist", None)
    return plan(Stack.parse({**raw, "hosts": hosts}, "any"))


def _pairs(raw: Raw) -> Iterator[tuple[HostPlan, HostPlan]]:
    yield from zip(_in(raw, "iptables"), _in(raw, "nftables"), strict=True)


def _others(wanted: tuple[Wanted, ...]) -> list[Wanted]:
    """Return the lines that are the same in both dialects."""
    return [
        each
        for each in wanted
        if not each.section.startswith((*TRANSLATES, "dnat_ipv", "snat_ipv"))
    ]


@given(stacks(moded=True))
@SETTINGS
def test_both_translate_the_same_to_the_same(raw: Raw) -> None:
    """Each iptables rule has one nftables rule with the same address, and vice versa."""
    for one, other in _pairs(raw):
        for network, same in zip(one.networks, other.networks, strict=True):
            rules, chains = sections(network.wanted), sections(same.wanted)
            for way in ("dnat", "snat"):
                said = {
                    (role, text.rpartition(" ")[2])
                    for role, text in chains.get(f"chain {way}-{network.bridge}", {}).items()
                }
                wanted = {
                    (" ".join([kind, family, *rest]), text.rpartition(" ")[2])
                    for family in ("ipv4", "ipv6")
                    for role, text in rules.get(f"{way}_{family}", {}).items()
                    for kind, *rest in [role.split(" ")]
                }
                assert said == wanted


@given(stacks(moded=True))
@SETTINGS
def test_the_rest_of_a_network_is_the_same_in_both(raw: Raw) -> None:
    """The guard, the addresses and what the network owns."""
    for one, other in _pairs(raw):
        for network, same in zip(one.networks, other.networks, strict=True):
            assert _others(network.wanted) == _others(same.wanted)
            assert network.owns == same.owns


@given(stacks(max_hosts=1, moded=True))
@SETTINGS
def test_every_map_leads_to_a_chain_and_has_each_key_once(raw: Raw) -> None:
    """nft demands it of a table; networks share no address and no subnet."""
    (host,) = _in(raw, "nftables")
    table = Guard.parse(compose(host_plan(host)).files["guard.nft"])
    assert {"nat-prerouting", "nat-output", "nat-postrouting"} <= table.chains.keys()
    assert ("input" in table.chains) == ("host-input" in table.chains)


def test_a_closed_host_lets_in_the_same_in_both() -> None:
    """Open ports, SSH sources, and the ICMP messages that every link needs."""
    raw = golden.config("baseline")
    (one,), (other,) = _in(raw, "iptables"), _in(raw, "nftables")
    rules, said = sections(one.wanted), sections(other.wanted)["chain input"]
    both = rules["input_ipv4"].keys() | rules["input_ipv6"].keys()
    named = {role.replace("icmpv6 ", "icmp ") for role in said}
    wanted = {" ".join(role.split(" ")[:2]) if role[:5] == "icmp " else role for role in both}
    assert named == wanted
    assert {role for role in named if role.startswith("icmp ")} == {
        f"icmp {message.number}" for message in MESSAGES
    }
    assert said["strangers"] == "counter drop"


def test_only_one_accept_is_left_of_iptables() -> None:
    """One for each family of the networks; its role says when it is loaded."""
    (host,) = _in(golden.config("dual-stack"), "nftables")
    role = "marked, where Docker uses iptables"
    left = {
        section: [*lines] for section, lines in sections(host.wanted).items() if "_ipv" in section
    }
    assert left == {"forward_ipv4": [role], "forward_ipv6": [role]}


def test_docker_in_nftables_finds_forwarding_on_and_closed_to_strangers() -> None:
    """Docker with nftables neither enables nor closes forwarding; with iptables it does both."""
    raw = golden.config("dual-stack")
    raw["hosts"][0]["engine"] = {"firewall_backend": "nftables"}
    wanted = sections(_in(raw, "nftables")[0].wanted)
    assert wanted["sysctls"]["forwarding ipv4"] == "net.ipv4.ip_forward = 1"
    assert wanted["chain strangers"]["strangers"] == 'iifname "wan0" counter drop'
    assert "chain input" not in wanted
    del raw["hosts"][0]["engine"]
    assert {"sysctls", "chain strangers"}.isdisjoint(sections(_in(raw, "nftables")[0].wanted))
