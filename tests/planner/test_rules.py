"""The rules of the networks of every valid configuration."""

from collections.abc import Iterator
from itertools import combinations
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings

from planner.config import Family, Host, Network, Stack
from planner.plan import HostPlan, plan
from planner.rule import FIRST
from planner.rules import DNAT_CHAIN, SNAT_CHAIN, family_rules
from tests.planner import golden
from tests.planner.matching import Names, Rule, loaded, parse
from tests.planner.strategies import Raw, stacks

SETTINGS = settings(
    max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

Chains = dict[str, dict[str, Rule]]
"""Chain → role → rule."""


def _rules(host: Host, network: Network, family: Family) -> Chains:
    found: Chains = {DNAT_CHAIN: {}, SNAT_CHAIN: {}}
    for each in family_rules(network, family):
        assert each.family == f"ipv{family.version}"
        rule = parse(each.text)
        assert rule.chain == each.chain
        assert each.role not in found[each.chain]
        found[each.chain][each.role] = rule
    return found


def _all(raw: Raw) -> Iterator[tuple[Host, Network, Family, Chains]]:
    for host in Stack.parse(raw, "any").hosts:
        for network in host.networks:
            for family in network.families:
                yield host, network, family, _rules(host, network, family)


def _of_host(host: HostPlan) -> Iterator[tuple[str, str, int, Rule]]:
    """Yield all rules of iptables: network, section, place in the section, rule."""
    for name, wanted in [("", host.wanted), *((n.name, n.wanted) for n in host.networks)]:
        for each in loaded(wanted):
            yield name, each.section, each.order, parse(each.text)


@given(stacks(max_hosts=1, moded=True))
@SETTINGS
def test_no_two_networks_match_the_same_packet(raw: Raw) -> None:
    """Their order does not matter: another network cannot change a network's traffic."""
    (host,) = plan(Stack.parse(raw, "any"))
    found = [each for each in _of_host(host) if each[0]]
    for (name, section, _, rule), (other_name, other_section, _, other) in combinations(found, 2):
        if name != other_name and section == other_section:
            packet = rule.common(other)
            assert packet is None, f"{name} and {other_name} both match {packet}"


@given(stacks(max_hosts=1, moded=True))
@SETTINGS
def test_without_an_order_two_rules_do_the_same_to_a_packet(raw: Raw) -> None:
    """Rules are ordered by place; within one place any order must do the same."""
    (host,) = plan(Stack.parse(raw, "any"))
    for one, other in combinations(_of_host(host), 2):
        if one[1:3] == other[1:3] and one[3].target != other[3].target:
            assert one[3].common(other[3]) is None, (one, other)


@given(stacks(moded=True))
@SETTINGS
def test_every_subnet_has_exactly_one_source(raw: Raw) -> None:
    """One line per family translates every packet from the subnet except to its own bridge."""
    everything = list(_all(raw))
    for host, network, family, _ in everything:
        leaving = Rule(
            chain=SNAT_CHAIN,
            target="any",
            source=parse(f"-A X -s {family.subnet} -j X").source,
            output=Names(frozenset([network.bridge]), negated=True),
        )
        matching = [
            (role, rule)
            for other_host, _, other_family, others in everything
            if other_host is host and other_family.version == family.version
            for role, rule in others[SNAT_CHAIN].items()
            if rule.common(leaving)
        ]
        assert [role for role, _ in matching] == ["egress"]
        rule = matching[0][1]
        assert rule.target == f"SNAT --to-source {family.public}"
        # The line has no further condition.
        assert (rule.source, rule.output) == (leaving.source, leaving.output)
        assert rule == Rule(SNAT_CHAIN, rule.target, source=rule.source, output=rule.output)


@given(stacks())
@SETTINGS
def test_ingress_goes_where_it_is_configured_to_go(raw: Raw) -> None:
    """Each port of each entry, and no other, is translated, from the public address only."""
    for _, network, family, chains in _all(raw):
        dnat = list(chains[DNAT_CHAIN].values())
        public = parse(f"-A X -d {family.public} -j X").destination
        wanted = {
            (entry.protocol, interval, str(network.address_of(entry.to, family.version)))
            for entry in network.ingress
            for interval in (
                [(0, 65535)] if entry.ports == "all" else [(p.first, p.last) for p in entry.ports]
            )
        }
        assert wanted == {
            (*rule.protocol.names, *rule.port.intervals, rule.target.split()[-1]) for rule in dnat
        }
        assert all(rule.destination == public for rule in dnat)
        # Source and interface are not a condition, because of the hairpins.
        assert all(rule.source.intervals[0][0] == 0 for rule in dnat)
        assert all(rule.input == rule.output == Names(frozenset(), negated=True) for rule in dnat)
        for one, other in combinations(dnat, 2):
            assert one.common(other) is None


@given(stacks(max_hosts=1, moded=True))
@SETTINGS
def test_a_connection_that_returns_early_matches_no_rule(raw: Raw) -> None:
    """So the first rule of a chain changes nothing, whatever the number of rules."""
    with patch("planner.rules._MANY", 0):
        (host,) = plan(Stack.parse(raw, "any"))
    found = list(_of_host(host))
    for name, section, order, early in found:
        if early.target == "RETURN":
            assert (name, order) == ("", FIRST)
            for whose, same, _, rule in found:
                assert not whose or same != section or rule.common(early) is None


@pytest.mark.parametrize("firewall", ["iptables", "nftables"])
def test_only_long_chains_have_a_rule_for_other_connections(firewall: str) -> None:
    """A map of nftables takes the same time for any number of networks."""
    raw = golden.config("many")
    (host,) = raw["hosts"]
    host["firewall"] = firewall

    def early() -> list[str]:
        wanted = plan(Stack.parse(raw, "many"))[0].wanted
        return [each.text for each in wanted if each.text.endswith("-j RETURN")]

    returns = [
        "-A WANBOUND-DNAT ! -d 203.0.113.0/26 -j RETURN",
        "-A WANBOUND-SNAT ! -s 172.20.0.0/20 -j RETURN",
        "-A WANBOUND-DNAT ! -d 2001:db8::20/123 -j RETURN",
        "-A WANBOUND-SNAT ! -s fd5c:1b2a:77f0:20::/60 -j RETURN",
    ]
    assert early() == (returns if firewall == "iptables" else [])
    mail, *others = host["networks"]
    mail["public_ipv4"] = "8.8.8.8"
    assert early() == (returns[1:] if firewall == "iptables" else [])
    mail["subnet_ipv4"] = "docker"
    mail |= {"load_balancer": False, "mode": "snat"}
    assert early() == (returns[3:] if firewall == "iptables" else [])
    host["networks"] = others
    assert early() == []


@given(stacks(max_hosts=1, moded=True))
@SETTINGS
def test_forward_has_one_accept_per_family(raw: Raw) -> None:
    """The guard marks what may pass, so the number of networks does not matter."""
    (host,) = plan(Stack.parse(raw, "any"))
    versions = {f"ipv{v}" for n in host.networks for v in (4, 6) if f"ipv{v}" in n.owns.addresses}
    accepts = [
        (whose, section.removeprefix("forward_"), rule.target)
        for whose, section, _, rule in _of_host(host)
        if section.startswith("forward_") and rule.target == "ACCEPT"
    ]
    assert sorted(accepts) == [("", family, "ACCEPT") for family in sorted(versions)]
    for network in host.networks:
        assert not any(each.section.startswith("forward_") for each in network.wanted)


@pytest.mark.parametrize(
    ("version", "line"),
    [
        (4, "-A WANBOUND-SNAT -s 172.20.0.0/24 ! -o br-mail -j SNAT --to-source 203.0.113.20"),
        (6, "-A WANBOUND-SNAT -s fd5c:20::/64 ! -o br-mail -j SNAT --to-source 2001:db8::20"),
    ],
)
def test_addresses_are_canonical(version: int, line: str) -> None:
    """Every spelling of an address is rendered as iptables-save prints it."""
    raw = {
        "hosts": [
            {
                "name": "edge-1",
                "ssh": {"address": "192.0.2.1"},
                "wan": {"interface": "wan0"},
                "networks": [
                    {
                        "name": "mail",
                        "bridge": "br-mail",
                        "public_ipv4": "203.0.113.20",
                        "public_ipv6": "2001:0DB8:0:0::0020",
                        "subnet_ipv4": "172.20.0.0/24",
                        "subnet_ipv6": "FD5C:0020:0::/64",
                    }
                ],
            }
        ]
    }
    (network,) = Stack.parse(raw, "any").hosts[0].networks
    family = network.ipv4 if version == 4 else network.ipv6
    assert family is not None
    rules = family_rules(network, family)
    assert line in [each.text for each in rules]
