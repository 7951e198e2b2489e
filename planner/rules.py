"""The iptables and ip6tables rules of networks, as ``iptables-save`` prints them.

All rules are in wanbound's own chains. The host script makes the jumps to them the first rules of
the built-in chains (providers/onhost). No two networks' rules can match the same packet, and no
rule of a network depends on the others of its chain. One rule accepts forwarded packets of all
networks. Where many networks have rules, connections that none of them matches return first.

The text is canonical: addresses with ``/32`` and ``/128``, matches in the order in which
iptables-save prints them (iptables 1.8.9 to 1.8.13, nft and legacy backends).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from planner.addresses import common_subnet
from planner.config import (
    Address,
    AddressPair,
    Family,
    Ingress,
    Network,
    PortRange,
    Subnet,
    Version,
)
from planner.rule import FIRST, Rule

DNAT_CHAIN = "WANBOUND-DNAT"
"""Jumped to from nat PREROUTING (from outside, from networks) and OUTPUT (from the host itself)."""

SNAT_CHAIN = "WANBOUND-SNAT"
"""Jumped to from nat POSTROUTING."""

FORWARD_CHAIN = "WANBOUND-FORWARD"
"""Jumped to from filter DOCKER-USER, or from FORWARD where Docker made no DOCKER-USER."""

OTHERS = "others"
"""The role of the rules that let other connections return from the chains of NAT."""

_MANY = 16
"""Up to this number of rules, a chain is short: it has no rule for the connections of others."""

NFT_FAMILY: Mapping[Version, str] = {4: "ip", 6: "ip6"}
"""The first word of nft's matches on addresses."""


def family_rules(network: Network, family: Family) -> list[Rule]:
    """Return the nat rules of `network` in one family."""
    return [*_ingress(network, family), *_egress(network, family)]


def docker_family_rules(network: Network) -> list[Rule]:
    """Return the IPv4 rule of a network whose IPv4 subnet Docker chooses.

    It has `@BRIDGE` in place of the subnet. The host inserts the subnet of the bridge
    (providers/onhost/load.sh), or one that matches nothing while there is no bridge.
    """
    bridge = network.bridge
    snat = f"-A {SNAT_CHAIN} -s @{bridge} ! -o {bridge} -j SNAT --to-source {network.docker_ipv4}"
    return [Rule("ipv4", SNAT_CHAIN, "egress", snat)]


def forward(mark: int, version: Version, role: str = "marked") -> Rule:
    """Return the rule that lets the traffic of all networks pass, before Docker's own.

    The guard (planner/guard.py) decides which traffic that is: only the guard sets the bit `mark`
    of a packet's mark. Without the guard no packet has the bit, and none is accepted here.
    """
    text = f"-A {FORWARD_CHAIN} -m mark --mark 0x{mark:x}/0x{mark:x} -j ACCEPT"
    return Rule(family_name(version), FORWARD_CHAIN, role, text)


def others(networks: Sequence[Network], version: Version) -> Iterator[Rule]:
    """Yield what lets connections of others return from the chains of NAT before all rules.

    Every new connection of the host passes these chains, and walking the rules of a hundred
    networks makes it slower by a tenth. There is no such rule for a short chain, if its addresses
    have no common subnet, or if Docker chooses one of the subnets.
    """
    public, private = [], []
    for network in networks:
        for family in network.families:
            if family.version == version:
                public += [ip_network(way.address) for way in entrances(network, family)]
                private += [family.subnet for _ in _egress(network, family)]
    if version == 4 and any(network.docker_ipv4 is not None for network in networks):
        private = []
    for chain, match, subnets in ((DNAT_CHAIN, "-d", public), (SNAT_CHAIN, "-s", private)):
        if len(subnets) > _MANY and (common := common_subnet(subnets)).prefixlen:
            text = f"-A {chain} ! {match} {common} -j RETURN"
            yield Rule(family_name(version), chain, OTHERS, text, FIRST)


def family_name(version: Version) -> Literal["ipv4", "ipv6"]:
    """Return the family of a rule of iptables or ip6tables."""
    return "ipv4" if version == 4 else "ipv6"


def dport(protocol: str, ports: PortRange) -> str:
    """Return the match on destination ports as iptables-save prints it, behind `-p PROTOCOL`."""
    return f"-m {protocol} --dport {str(ports).replace('-', ':')}"


def flows(network: Network) -> dict[str, str]:
    """Return what the rules of nat say, as data (planner/rule.py, `Owns.flows`)."""
    found = {}
    if network.docker_ipv4 is not None:
        found["ipv4"] = f"from @{network.bridge} {network.docker_ipv4}"
    for family in network.families:
        hairpin = " hairpin" if network.mode == "nat" else ""
        found[family_name(family.version)] = f"from {family.subnet} {family.public}{hairpin}"
        for way in entrances(network, family):
            ports = way.ports or PortRange(0, 65535)
            text = f"to {way.address} {way.protocol} {ports.first}-{ports.last} {way.target}"
            found[f"{family_name(family.version)} {way.role}"] = text
    return found


def _ingress(network: Network, family: Family) -> Iterator[Rule]:
    for each in entrances(network, family):
        match = f"-d {_host(each.address)} -p {each.protocol}"
        if each.ports is not None:
            match += f" {dport(each.protocol, each.ports)}"
        text = f"-A {DNAT_CHAIN} {match} -j DNAT --to-destination {each.target}"
        yield Rule(family_name(family.version), DNAT_CHAIN, f"ingress {each.role}", text)


@dataclass(frozen=True)
class Entrance:
    """One way in: ports of a public address, None for all of them, and where they lead.

    The rule's role is `ingress` and `role`; `to` is the container's name or its address (`called`).
    `sources` are the ranges that get in, None for every source.
    """

    role: str
    address: Address
    protocol: str
    ports: PortRange | None
    to: str
    target: Address
    sources: tuple[Subnet, ...] | None = None

    def covers(self, gateway: Address) -> bool:
        """Return whether a range has the bridge's address, except one that has every address.

        Docker masquerades packets from its other networks with that address.
        """
        return any(gateway in each and each.prefixlen for each in self.sources or ())

    def leads(self, protocol: str, port: int) -> bool:
        """Return whether a port is one of these."""
        return protocol == self.protocol and (self.ports is None or port in self.ports)


def entrances(network: Network, family: Family) -> Iterator[Entrance]:
    """Yield all ways into a network in one family."""
    for ingress in network.ingress:
        for address in network.entrances(ingress, family.version):
            target = network.address_of(ingress.to, family.version)
            sources = None
            if ingress.sources:
                sources = tuple(s for s in ingress.sources if s.version == family.version)
            for ports in (None,) if ingress.ports == "all" else ingress.ports:
                role = ingress.protocol if ports is None else f"{ingress.protocol} {ports}"
                role += at_address(address, family)
                to = called(ingress, target)
                yield Entrance(role, address, ingress.protocol, ports, to, target, sources)


def called(ingress: Ingress, target: Address) -> str:
    """Return the name of the container that an entry leads to, its address where it has none."""
    return str(target) if isinstance(ingress.to, AddressPair) else ingress.to


def at_address(address: Address, family: Family) -> str:
    """Return the suffix of the roles of an additional public address."""
    return "" if address == family.public else f" at {address}"


def nft_range(source: Subnet) -> str:
    """Return a range of addresses as nft prints it: no length behind a single address."""
    single = source.prefixlen == source.max_prefixlen
    return str(source.network_address if single else source)


def _egress(network: Network, family: Family) -> Iterator[Rule]:
    source = f"-A {SNAT_CHAIN} -s {family.subnet}"
    egress = f"{source} ! -o {network.bridge} -j SNAT --to-source {family.public}"
    yield Rule(family_name(family.version), SNAT_CHAIN, "egress", egress)
    if network.mode == "nat":
        # Hairpin: a packet from a container to its own network's public address returns through the
        # same bridge. Without this rule the callee would reply directly, without the translation.
        hairpin = (
            f"{source} -o {network.bridge} -m conntrack --ctstate DNAT"
            f" -j SNAT --to-source {family.public}"
        )
        yield Rule(family_name(family.version), SNAT_CHAIN, "hairpin", hairpin)


def _host(address: object) -> str:
    """Return an address as iptables-save prints a match on one host: with its full prefix."""
    text = str(address)
    return f"{text}/128" if ":" in text else f"{text}/32"
