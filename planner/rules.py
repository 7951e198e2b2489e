"""The iptables and ip6tables lines of one network, as ``iptables-save`` prints them.

Every function is pure and returns a map from role to line, so that a preview shows the role that
changed and nothing else. All lines go to chains of our own, which the host script jumps to first
from the built-in chains (providers/onhost). No two networks' lines can match the same packet,
so their order across networks carries no meaning; within a network they are loaded in the order
of their roles' names, and the one line that has to come last has the name for it ("strangers").

The text is canonical: addresses with ``/32`` and ``/128``, matches in the order in which
iptables-save prints them (iptables 1.8.9 to 1.8.13, nft and legacy backends).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from planner.config import Address, Family, Ingress, Network, PortRange

DNAT_CHAIN = "WANBOUND-DNAT"
"""Jumped to from nat PREROUTING (from outside, from networks) and OUTPUT (from the host itself)."""

SNAT_CHAIN = "WANBOUND-SNAT"
"""Jumped to from nat POSTROUTING."""

FORWARD_CHAIN = "WANBOUND-FORWARD"
"""Jumped to from filter DOCKER-USER, or from FORWARD where Docker made no DOCKER-USER."""


@dataclass(frozen=True)
class FamilyRules:
    """The lines of one network in one family, by table; each a map from role to line."""

    nat: Mapping[str, str]
    forward: Mapping[str, str]


def family_rules(network: Network, family: Family, wan: str, *, guard: bool) -> FamilyRules:
    """Return the nat and forward lines of `network` in one family.

    `wan` is the interface that holds the public addresses. Without the `guard`, which closes the
    bridge to strangers in nftables, one more forward line does it here.
    """
    return FamilyRules(
        nat={**_ingress(network, family), **_egress(network, family)},
        forward=_forward(network, family, wan, guard=guard),
    )


def docker_family_rules(network: Network, wan: str, *, guard: bool) -> FamilyRules:
    """Return the lines of a network whose IPv4 subnet Docker chooses, in IPv4.

    The one line that needs the subnet has `@BRIDGE` in its place; the host script puts in what the
    bridge has (compose.awk), and leaves the line out while there is no bridge.
    """
    bridge, chain = network.bridge, f"-A {FORWARD_CHAIN}"
    snat = f"-A {SNAT_CHAIN} -s @{bridge} ! -o {bridge} -j SNAT --to-source {network.docker_ipv4}"
    lines = {
        "replies": f"{chain} -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "egress": f"{chain} -i {bridge} -o {wan} -j ACCEPT",
    }
    if not guard:
        lines["strangers"] = f"{chain} ! -i {bridge} -o {bridge} -j DROP"
    return FamilyRules(nat={"egress": snat}, forward=lines)


def _ingress(network: Network, family: Family) -> dict[str, str]:
    return {
        f"{role}{_at(address, family)}": f"-A {DNAT_CHAIN} -d {_host(address)} {match}"
        f" -j DNAT --to-destination {network.address_of(ingress.to, family.version)}"
        for ingress in network.ingress
        for address in network.entrances(ingress, family.version)
        for role, match in _port_matches(ingress)
    }


def _at(address: Address, family: Family) -> str:
    """Return what tells the roles of a further public address from those of the network's own."""
    return "" if address == family.public else f" at {address}"


def _port_matches(ingress: Ingress) -> Iterator[tuple[str, str]]:
    protocol = ingress.protocol
    if ingress.ports == "all":
        yield f"ingress {protocol}", f"-p {protocol}"
        return
    for ports in ingress.ports:
        yield (
            f"ingress {protocol} {_range(ports, '-')}",
            f"-p {protocol} -m {protocol} --dport {_range(ports, ':')}",
        )


def _egress(network: Network, family: Family) -> dict[str, str]:
    source = f"-A {SNAT_CHAIN} -s {family.subnet}"
    egress = f"{source} ! -o {network.bridge} -j SNAT --to-source {family.public}"
    if network.mode != "nat":
        return {"egress": egress}
    return {
        "egress": egress,
        # A container that calls its own network's public address comes back in on the bridge it
        # left by; without this line the callee would answer it directly, past the translation.
        "hairpin": f"{source} -o {network.bridge} -m conntrack --ctstate DNAT"
        f" -j SNAT --to-source {family.public}",
    }


def _forward(network: Network, family: Family, wan: str, *, guard: bool) -> dict[str, str]:
    """Return the lines that let exactly this network's traffic pass, before Docker's own.

    Docker's isolation chains (up to 28) stop one network from reaching another's public address,
    and Docker 28 drops what is sent to unpublished ports: the accepts come first. For IPv6,
    Docker 20.10 has no forward rules at all, and an operator's FORWARD policy may be DROP.
    """
    bridge = network.bridge
    chain = f"-A {FORWARD_CHAIN}"
    lines = {}
    for ingress in network.ingress:
        for public in network.entrances(ingress, family.version):
            address = network.address_of(ingress.to, family.version)
            lines[f"ingress {ingress.to}{_at(public, family)}"] = (
                f"{chain} -d {_host(address)} -o {bridge}"
                f" -m conntrack --ctstate DNAT --ctorigdst {public} -j ACCEPT"
            )
    lines["replies"] = f"{chain} -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    # Only towards the wan: an accept towards every interface would undo Docker's isolation.
    lines["egress"] = f"{chain} -s {family.subnet} -i {bridge} -o {wan} -j ACCEPT"
    if family.version == 6:
        # Docker has this line itself for IPv4, and for IPv6 from 27 on.
        lines["inside"] = f"{chain} -i {bridge} -o {bridge} -j ACCEPT"
    if not guard:
        # What Docker publishes it lets in itself, behind this line.
        but = " -m conntrack ! --ctstate DNAT" if network.mode == "masquerade" else ""
        lines["strangers"] = f"{chain} ! -i {bridge} -o {bridge}{but} -j DROP"
    return lines


def _host(address: object) -> str:
    """Return an address as iptables-save prints a match on one host: with its full prefix."""
    text = str(address)
    return f"{text}/128" if ":" in text else f"{text}/32"


def _range(ports: PortRange, separator: str) -> str:
    return (
        str(ports.first) if ports.first == ports.last else f"{ports.first}{separator}{ports.last}"
    )
