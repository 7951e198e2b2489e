"""The guard of the networks of every valid configuration, tried on packets."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import product
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.config import VERSIONS, Family, Host, Ingress, Network, Stack, Version
from planner.config.schema import MARK
from planner.guard import guard, log_and_drop, logged, marks
from planner.rule import FIRST, LAST, Element, Rule
from providers.host.generation import BASE, COMMON
from tests.planner.nft import Address, Base, Guard, Packet, guard_of
from tests.planner.strategies import Raw, stacks

SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
OUTSIDE: dict[Version, Address] = {
    4: ip_address("198.51.100.77"),
    6: ip_address("2001:db8:ffff::77"),
}

NEIGHBOURS: dict[Version, list[Address]] = {
    4: [ip_address(0)],
    6: [ip_address("fe80::9"), ip_address("::")],
}
"""Source addresses of a host without an address, and of IPv6 neighbours."""


def _only_host(raw: Raw) -> Host:
    (host,) = Stack.parse(raw, "any").hosts
    return host


def _guard(host: Host) -> Guard:
    lines: list[Rule | Element] = list(marks(MARK))
    for network in host.networks:
        rules = guard(network, host.wan.interface)
        lines += logged(rules, network.name) if host.log_drops else rules
    return guard_of([*lines, *(log_and_drop("forged") if host.log_drops else [])])


def _family(network: Network, version: Version) -> Family | None:
    return network.ipv4 if version == 4 else network.ipv6


def _addresses(host: Host, version: Version) -> list[Address]:
    """Return an address inside each subnet, each public address, and a foreign one."""
    families = [f for network in host.networks if (f := _family(network, version)) is not None]
    inside: list[Address] = [family.subnet.network_address + 2 for family in families]
    publics = [a for network in host.networks for v, a in network.publics if v == version]
    extras = [a for network in host.networks for a in network.extras(version)]
    return [*inside, *publics, *extras, OUTSIDE[version]]


def _interfaces(host: Host) -> list[str]:
    return [*(network.bridge for network in host.networks), host.wan.interface, "docker0"]


def _leaving(host: Host) -> Iterator[Packet]:
    """Yield packets at postrouting: every source, with every possible original source."""
    directions: tuple[Literal["original", "reply"], ...] = ("original", "reply")
    for version in VERSIONS:
        addresses = _addresses(host, version)
        ways_in = ["eth9", *(n.bridge for n in host.networks if n.docker_ipv4 is not None)]
        for way_in, saddr, original, out, direction in product(
            ways_in, addresses, addresses, _interfaces(host), directions
        ):
            yield Packet(way_in, out, saddr, original, OUTSIDE[version], direction=direction)


def _forwarded(host: Host) -> Iterator[Packet]:
    """Yield packets at forward: every way in and out, to every address, translated and not."""
    states: tuple[Literal["new", "established"], ...] = ("new", "established")
    for version in VERSIONS:
        addresses = _addresses(host, version)
        ways = product(_interfaces(host), repeat=2)
        for (way_in, out), saddr, daddr, state in product(ways, addresses, addresses, states):
            for dnat in (True, False):
                yield Packet(way_in, out, saddr, saddr, daddr, dnat=dnat, state=state)


def _arriving(host: Host) -> Iterator[Packet]:
    """Yield packets at prerouting: from every interface, every source to every address."""
    directions: tuple[Literal["original", "reply"], ...] = ("original", "reply")
    for version in VERSIONS:
        addresses = _addresses(host, version)
        sources = [*addresses, *NEIGHBOURS[version]]
        for way_in, saddr, daddr, direction in product(
            [*_interfaces(host), "lo"], sources, addresses, directions
        ):
            for to_host, astray in product((True, False), repeat=2):
                yield Packet(
                    way_in, "", saddr, saddr, daddr,
                    direction=direction, to_host=to_host, astray=astray,
                )  # fmt: skip


def _may_arrive(host: Host, packet: Packet) -> bool:
    """Return whether the configuration lets a packet of this source in by this interface."""
    version: Version = 4 if packet.saddr.version == 4 else 6
    neighbour = packet.saddr in NEIGHBOURS[version]
    for network in host.networks:
        family = _family(network, version)
        if packet.iifname == network.bridge and not neighbour:
            if family is not None:
                if not any(a in family.subnet for a in (packet.saddr, packet.original_daddr)):
                    return False
            elif packet.to_host and (version == 6 or packet.astray):
                return False
    if packet.direction == "reply":
        return True
    for network in host.networks:
        family = _family(network, version)
        inside = family is not None and packet.saddr in family.subnet
        if inside and packet.iifname not in (network.bridge, "lo"):
            return False
        publics = {dict(network.publics).get(version), *network.extras(version)}
        if packet.saddr in publics and packet.astray:
            return False
    return True


def _may_leave(host: Host, packet: Packet) -> bool:
    """Return whether the configuration lets a packet out with this source, the guard's purpose."""
    version: Version = 4 if packet.saddr.version == 4 else 6
    for network in host.networks:
        family = _family(network, version)
        from_bridge = packet.iifname == network.bridge and network.docker_ipv4 is not None
        public = dict(network.publics).get(version)
        elsewhere = from_bridge and packet.oifname != network.bridge
        # Packets of a family that the network lacks are already dropped at forward.
        if elsewhere and packet.saddr != public and public is not None:
            return False
        managed = network.manage_addresses and packet.direction == "original"
        if network.docker_ipv4 is not None and version == 4:
            theft = packet.saddr == public and packet.original_saddr != public
            if theft and managed and packet.iifname != network.bridge:
                return False
        if family is None:
            continue
        # A connection from one of these is the host's own, and may have another of them.
        hosts = {family.public, *network.extras(version)}
        others = packet.original_saddr not in hosts and packet.original_saddr not in family.subnet
        if packet.saddr in network.extras(version) and managed and others:
            return False
        of_network = packet.original_saddr in family.subnet or packet.saddr in family.subnet
        if of_network and packet.oifname != network.bridge and packet.saddr != family.public:
            return False
        theft = packet.saddr == family.public and not (
            packet.original_saddr in family.subnet or packet.original_saddr in hosts
        )
        if theft and network.manage_addresses and packet.direction == "original":
            return False
    return True


def _may_pass(host: Host, packet: Packet) -> bool:
    """Return whether the configuration lets a packet through from one interface to another."""
    bridges = {network.bridge: network for network in host.networks}
    version: Version = 4 if packet.saddr.version == 4 else 6
    if packet.iifname in bridges and packet.oifname != packet.iifname:
        network = bridges[packet.iifname]
        by_docker = version == 4 and network.docker_ipv4 is not None
        if not by_docker and _family(network, version) is None:
            return False
    if packet.oifname in bridges and packet.oifname != packet.iifname:
        network = bridges[packet.oifname]
        if packet.state == "established" and network.public(version) is not None:
            return True
        ways_in = {*dict(network.publics).values(), *network.extras(version)}
        if network.mode == "snat":
            return False
        return packet.dnat and packet.original_daddr in ways_in
    return True


def _translated(host: Host) -> Iterator[Packet]:
    """Yield the packets at forward, translated ones with every possible target."""
    targets: dict[Version, set[Address]] = {4: set(), 6: set()}
    for network, family, entry in _entries(host):
        targets[family.version].add(network.address_of(entry.to, family.version))
        targets[family.version].add(family.subnet.network_address + 2)
    for packet in _forwarded(host):
        yield packet
        if packet.dnat and packet.state == "new":
            for target in targets[4 if packet.saddr.version == 4 else 6]:
                yield replace(packet, target=target)


def _entries(host: Host) -> Iterator[tuple[Network, Family, Ingress]]:
    for network in host.networks:
        for family, entry in product(network.families, network.ingress):
            yield network, family, entry


def _is_marked(host: Host, packet: Packet) -> bool:
    """Return whether a packet is a network's own traffic, which passes without Docker's rules."""
    version: Version = 4 if packet.saddr.version == 4 else 6
    for network in host.networks:
        if network.public(version) is None:
            continue
        family, bridge = _family(network, version), network.bridge
        if packet.oifname == bridge and packet.state == "established":
            return True
        # Where Docker chooses the subnet, every packet from the bridge belongs to it.
        own = family is None or packet.saddr in family.subnet
        if own and packet.iifname == bridge and packet.oifname == host.wan.interface:
            return True
        if version == 6 and packet.iifname == packet.oifname == bridge:
            return True
    return any(
        packet.oifname == network.bridge
        and packet.dnat
        and packet.original_daddr in network.entrances(entry, version)
        and (packet.target or packet.original_daddr) == network.address_of(entry.to, version)
        for network, family, entry in _entries(host)
        if family.version == version
    )


def _check(
    raw: Raw,
    chain: Base,
    packets: Callable[[Host], Iterator[Packet]],
    may: Callable[[Host, Packet], bool],
) -> None:
    """Compare the table's verdict on each packet with the configuration's."""
    host = _only_host(raw)
    table = _guard(host)
    for packet in packets(host):
        wanted = "accept" if may(host, packet) else "drop"
        assert table.verdict(chain, packet) == wanted, packet


@given(stacks(max_hosts=1, max_networks=3, moded=True))
@SETTINGS
def test_nothing_leaves_with_another_source(raw: Raw) -> None:
    """A network's packets leave with its public address, and no other packet has it."""
    _check(raw, "postrouting", _leaving, _may_leave)


@given(stacks(max_hosts=1, max_networks=3, moded=True))
@SETTINGS
def test_no_source_comes_from_elsewhere(raw: Raw) -> None:
    """A subnet's sources come from its bridge only, and no other host has our addresses."""
    _check(raw, "prerouting", _arriving, _may_arrive)


@given(stacks(max_hosts=1, max_networks=3, moded=True))
@SETTINGS
def test_nothing_leaves_with_an_address_that_is_gone(raw: Raw) -> None:
    """Another machine may have it by now. Answers to it are not checked."""
    host = _only_host(raw)
    table = _guard(host)
    managed = {
        address
        for network in host.networks
        if network.manage_addresses
        for version, public in network.publics
        for address in (public, *network.extras(version))
    }
    for packet in _leaving(host):
        if packet.direction == "original" and packet.saddr in managed:
            assert table.verdict("postrouting", replace(packet, gone=True)) == "drop", packet


@given(stacks(max_hosts=1, max_networks=3, moded=True))
@SETTINGS
def test_a_network_is_reached_by_its_public_address_alone(raw: Raw) -> None:
    """Packets into a bridge were sent to its public address; packets out are from its subnet."""
    _check(raw, "forward", _forwarded, _may_pass)


@given(stacks(max_hosts=1, max_networks=3, moded=True), st.integers(0, 0xFFFFFFFF))
@SETTINGS
def test_what_is_a_networks_own_is_marked_and_nothing_else(raw: Raw, before: int) -> None:
    """Other bits of the mark are kept, and only the guard sets this bit."""
    host = _only_host(raw)
    table = _guard(host)
    for packet in _translated(host):
        mark = table.marked(packet, before)
        if mark is not None:
            wanted = before & ~MARK | (MARK if _is_marked(host, packet) else 0)
            assert mark == wanted, packet
        else:
            assert not _may_pass(host, packet), packet


@given(stacks())
@SETTINGS
def test_every_subnet_and_address_has_one_element(raw: Raw) -> None:
    """nft refuses a duplicate key, and a missing key would leave a network unguarded."""
    for host in Stack.parse(raw, "any").hosts:
        table = _guard(host)
        for name, elements in table.maps.items():
            assert len({key for key, _ in elements}) == len(elements), name
            assert all(chain in table.chains for _, chain in elements), name
        for network in host.networks:
            bridge = network.bridge
            for name in ("source", "from", "to"):
                assert table.maps[name].count((f'"{bridge}"', f"{name}-{bridge}")) == 1
            for family in network.families:
                ip = "ip" if family.version == 4 else "ip6"
                element = str(family.subnet), f"egress-{bridge}"
                assert table.maps[f"subnet-ipv{family.version}"].count(element) == 1
                end = f"goto drop-egress-{bridge}" if host.log_drops else "drop"
                drop = f'oifname != "{bridge}" {ip} saddr != {family.public} counter {end}'
                assert table.chains[f"egress-{bridge}"].count(drop.split()) == 1
            assert len(table.chains[f"egress-{bridge}"]) == len(network.families)


@given(stacks(moded=True))
@SETTINGS
def test_strangers_are_refused_last(raw: Raw) -> None:
    """The drop comes after the accepts of packets that came to a public address."""
    for host in Stack.parse(raw, "any").hosts:
        for network in host.networks:
            to_bridge = {
                each.role: each.order
                for each in guard(network, host.wan.interface)
                if isinstance(each, Rule) and each.chain == f"to-{network.bridge}"
            }
            assert to_bridge.pop("strangers") == LAST
            assert set(to_bridge.values()) <= {FIRST, 0}
            extras = sum(len(network.extras(version)) for version in VERSIONS)
            ways_in = 0 if network.mode == "snat" else len(network.families) + extras
            assert list(to_bridge.values()).count(0) == ways_in


@given(stacks(moded=True))
@SETTINGS
def test_without_an_order_all_rules_of_a_chain_do_the_same(raw: Raw) -> None:
    """So the order in which they are loaded does not matter."""
    for host in Stack.parse(raw, "any").hosts:
        verdicts: dict[tuple[str, int], set[str]] = {}
        for network in host.networks:
            for each in guard(network, host.wan.interface):
                if isinstance(each, Rule):
                    place = verdicts.setdefault((each.chain, each.order), set())
                    place.add(each.text.split()[-1])
        assert all(len(found) == 1 for found in verdicts.values()), verdicts


@given(stacks(moded=True))
@SETTINGS
def test_logging_changes_no_line_but_the_end_of_those_that_drop(raw: Raw) -> None:
    """Each jumps to a chain that logs at a limited rate and always drops."""
    for host in Stack.parse(raw, "any").hosts:
        for network in host.networks:
            rules = guard(network, host.wan.interface)
            found = list(logged(rules, network.name))
            ways = {
                each.chain
                for each in rules
                if isinstance(each, Rule) and each.text.endswith("counter drop")
            }
            chains: dict[str, list[str]] = {}
            for each in found:
                if isinstance(each, Rule) and each.chain.startswith("drop-"):
                    chains.setdefault(each.chain, []).append(each.text)
            rest = [each for each in found if getattr(each, "chain", "") not in chains]
            assert [
                replace(each, text=each.text.replace(f"goto drop-{each.chain}", "drop"))
                if isinstance(each, Rule)
                else each
                for each in rest
            ] == rules
            assert not any(each.text.endswith("counter drop") for each in rest)
            assert chains == {
                f"drop-{chain}": [
                    "limit rate 12/minute burst 10 packets log"
                    f' prefix "wanbound {network.name} {chain.split("-")[0]}: "',
                    "drop",
                ]
                for chain in ways
            }
            assert all(len(log.split('"')[1]) <= 127 for log, _ in chains.values())


@given(stacks(moded=True))
@SETTINGS
def test_no_two_networks_share_a_chain(raw: Raw) -> None:
    """Each line of a network is in a chain, or jumps to one, that no other network has."""
    for host in Stack.parse(raw, "any").hosts:
        owners: dict[str, str] = {}
        for network in host.networks:
            for each in guard(network, host.wan.interface):
                chain = each.text.split()[-1] if isinstance(each, Element) else each.chain
                if chain in COMMON:
                    assert isinstance(each, Element)
                    continue
                assert owners.setdefault(chain, network.name) == network.name
        assert not owners.keys() & set(BASE)


@pytest.mark.parametrize(
    "rule",
    [
        "iifname web",
        "tcp dport 25 drop",
        "drop counter",
    ],
)
def test_what_the_model_does_not_know_is_refused(rule: str) -> None:
    """An ignored word could be the one that lets packets out."""
    packet = Packet("web", "wan0", OUTSIDE[4], OUTSIDE[4], OUTSIDE[4])
    with pytest.raises(ValueError, match=r"known|no verdict|behind"):
        guard_of([Rule("inet", "forward", "any", rule)]).verdict("forward", packet)


@pytest.mark.parametrize("text", ['"web" : drop', '"web" jump from-web', "1 - 2 : jump from-web"])
def test_an_element_that_the_model_does_not_know_is_refused(text: str) -> None:
    """A misread key could be that of the network in question."""
    with pytest.raises(ValueError, match="no element"):
        guard_of([Element("from", "any", text)])
