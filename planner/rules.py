"""The iptables and ip6tables rules of one network, as ``iptables-save`` prints them.

All rules go to chains of our own, which the host script jumps to first from the built-in chains
(providers/onhost). No two networks' rules can match the same packet, and within a network only
what has an `order` depends on the others of its chain.

The text is canonical: addresses with ``/32`` and ``/128``, matches in the order in which
iptables-save prints them (iptables 1.8.9 to 1.8.13, nft and legacy backends).
"""

from collections.abc import Iterator
from typing import Literal

from planner.config import Address, Family, Ingress, Network, PortRange
from planner.rule import LAST, Rule

DNAT_CHAIN = "WANBOUND-DNAT"
"""Jumped to from nat PREROUTING (from outside, from networks) and OUTPUT (from the host itself)."""

SNAT_CHAIN = "WANBOUND-SNAT"
"""Jumped to from nat POSTROUTING."""

FORWARD_CHAIN = "WANBOUND-FORWARD"
"""Jumped to from filter DOCKER-USER, or from FORWARD where Docker made no DOCKER-USER."""


def family_rules(network: Network, family: Family, wan: str, *, guard: bool) -> list[Rule]:
    """Return the nat and forward rules of `network` in one family.

    `wan` is the interface that holds the public addresses. Without the `guard`, which closes the
    bridge to strangers in nftables, one more forward rule does it here.
    """
    return [
        *_ingress(network, family),
        *_egress(network, family),
        *_forward(network, family, wan, guard=guard),
    ]


def docker_family_rules(network: Network, wan: str, *, guard: bool) -> list[Rule]:
    """Return the IPv4 rules of a network whose IPv4 subnet Docker chooses.

    The one rule that needs the subnet has `@BRIDGE` in its place; the host puts in what the bridge
    has (providers/onhost/load.sh), and a subnet that matches nothing while there is no bridge.
    """
    bridge, chain = network.bridge, f"-A {FORWARD_CHAIN}"
    snat = f"-A {SNAT_CHAIN} -s @{bridge} ! -o {bridge} -j SNAT --to-source {network.docker_ipv4}"
    replies = f"{chain} -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    found = [
        Rule("ipv4", SNAT_CHAIN, "egress", snat),
        Rule("ipv4", FORWARD_CHAIN, "replies", replies),
        Rule("ipv4", FORWARD_CHAIN, "egress", f"{chain} -i {bridge} -o {wan} -j ACCEPT"),
    ]
    if not guard:
        drop = f"{chain} ! -i {bridge} -o {bridge} -j DROP"
        found.append(Rule("ipv4", FORWARD_CHAIN, "strangers", drop, LAST))
    return found


def _name(family: Family) -> Literal["ipv4", "ipv6"]:
    return "ipv4" if family.version == 4 else "ipv6"


def _ingress(network: Network, family: Family) -> Iterator[Rule]:
    for ingress in network.ingress:
        target = network.address_of(ingress.to, family.version)
        for address in network.entrances(ingress, family.version):
            for role, match in _port_matches(ingress):
                yield Rule(
                    _name(family),
                    DNAT_CHAIN,
                    f"ingress {role}{_at(address, family)}",
                    f"-A {DNAT_CHAIN} -d {_host(address)} {match}"
                    f" -j DNAT --to-destination {target}",
                )


def _at(address: Address, family: Family) -> str:
    """Return what tells the roles of a further public address from those of the network's own."""
    return "" if address == family.public else f" at {address}"


def _port_matches(ingress: Ingress) -> Iterator[tuple[str, str]]:
    protocol = ingress.protocol
    if ingress.ports == "all":
        yield protocol, f"-p {protocol}"
        return
    for ports in ingress.ports:
        yield (
            f"{protocol} {_range(ports, '-')}",
            f"-p {protocol} -m {protocol} --dport {_range(ports, ':')}",
        )


def _egress(network: Network, family: Family) -> Iterator[Rule]:
    source = f"-A {SNAT_CHAIN} -s {family.subnet}"
    egress = f"{source} ! -o {network.bridge} -j SNAT --to-source {family.public}"
    yield Rule(_name(family), SNAT_CHAIN, "egress", egress)
    if network.mode == "nat":
        # A container that calls its own network's public address comes back in on the bridge it
        # left by; without this rule the callee would answer it directly, past the translation.
        hairpin = (
            f"{source} -o {network.bridge} -m conntrack --ctstate DNAT"
            f" -j SNAT --to-source {family.public}"
        )
        yield Rule(_name(family), SNAT_CHAIN, "hairpin", hairpin)


def _forward(network: Network, family: Family, wan: str, *, guard: bool) -> Iterator[Rule]:
    """Yield the rules that let exactly this network's traffic pass, before Docker's own.

    Docker's isolation chains (up to 28) stop one network from reaching another's public address,
    and Docker 28 drops what is sent to unpublished ports: the accepts come first. For IPv6,
    Docker 20.10 has no forward rules at all, and an operator's FORWARD policy may be DROP.
    """
    bridge, chain, name = network.bridge, f"-A {FORWARD_CHAIN}", _name(family)
    accepts: dict[str, str] = {}
    for ingress in network.ingress:
        target = network.address_of(ingress.to, family.version)
        for public in network.entrances(ingress, family.version):
            # Several entries may lead to one container.
            accepts[f"ingress {ingress.to}{_at(public, family)}"] = (
                f"{chain} -d {_host(target)} -o {bridge}"
                f" -m conntrack --ctstate DNAT --ctorigdst {public} -j ACCEPT"
            )
    accepts["replies"] = f"{chain} -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    # Only towards the wan: an accept towards every interface would undo Docker's isolation.
    accepts["egress"] = f"{chain} -s {family.subnet} -i {bridge} -o {wan} -j ACCEPT"
    if family.version == 6:
        # Docker has this rule itself for IPv4, and for IPv6 from 27 on.
        accepts["inside"] = f"{chain} -i {bridge} -o {bridge} -j ACCEPT"
    for role, text in accepts.items():
        yield Rule(name, FORWARD_CHAIN, role, text)
    if not guard:
        # What Docker publishes it lets in itself, behind this rule.
        but = " -m conntrack ! --ctstate DNAT" if network.mode == "masquerade" else ""
        drop = f"{chain} ! -i {bridge} -o {bridge}{but} -j DROP"
        yield Rule(name, FORWARD_CHAIN, "strangers", drop, LAST)


def _host(address: object) -> str:
    """Return an address as iptables-save prints a match on one host: with its full prefix."""
    text = str(address)
    return f"{text}/128" if ":" in text else f"{text}/32"


def _range(ports: PortRange, separator: str) -> str:
    return (
        str(ports.first) if ports.first == ports.last else f"{ports.first}{separator}{ports.last}"
    )
