"""The egress guard of one network: lines of the nftables table ``inet wanbound``.

iptables cannot filter after SNAT, so a flushed SNAT rule lets packets out with a private source.
An nftables chain that hooks postrouting after srcnat sees the source that will be on the wire,
and ``iptables -F`` does not touch it: with it a packet of the network with another source is not
unlikely but impossible. The table, its base chains and the maps that dispatch by interface and
address (a cost that does not grow with the number of networks) are framed by
providers/host/generation.py; the rules and elements here are one network's own, in the text of
``nft list table inet wanbound``.

Up to six chains per bridge, at three places. In prerouting, before NAT and before the host answers:

- ``source-B``: what comes from the bridge, and does not stay in it, has a source in the network's
  subnet;
- ``only-B``: what has a source in the subnet comes from the bridge;
- ``forged``, for all networks: what comes from an interface with one of our public addresses as
  source is forged, unless the address is elsewhere and this is the way there.

In forward:

- ``from-B``: a family the network does not have does not pass;
- ``to-B``: what enters the bridge from elsewhere must have come to the public address (replies
  have passed before): nobody reaches a private address directly, from no side.

In postrouting, with the source that will be on the wire:

- ``egress-B``: what leaves the host for the network must carry its public address;
- ``public-B``: nothing else that is forwarded may leave with the network's public address, and
  nothing at all while the address is not on this host.

A further public address, by which something comes in, is in ``to-B``, ``forged`` and ``public-B``
alone: what the network sends of itself with it is stopped in ``egress-B`` like any other source,
and answers to what came to it are no packets of the original direction.

Where Docker chooses the IPv4 subnet nobody knows it before the bridge is there. Then ``egress-B``
is found by the bridge a packet came from (``by-bridge``), which postrouting knows from Linux 5.7
on, and a false source within the bridge is stopped there, too, by not being the public one.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from planner.config import Address, Family, Network, Subnet, Version
from planner.config.names import socket_bridge
from planner.rule import FIRST, LAST, Element, Rule


def guard(network: Network) -> list[Rule | Element]:
    """Return the guard's rules for `network`, and its elements of the guard's maps."""
    bridge = network.bridge
    found: list[Rule | Element] = [
        *_bound(bridge, [family.subnet for family in network.families]),
        _jump("to", "bridge", f'"{bridge}"', f"to-{bridge}"),
    ]
    for family in network.families:
        found += _family(network, family)
    if network.docker_ipv4 is not None:
        found += _by_docker(network, network.docker_ipv4)
    if network.ipv4 is None:
        # Its subnet is known to the kernel alone: by that to which it would send an answer.
        why = f"{_NEIGHBOURS[4]} fib daddr type != unicast fib saddr . iif oif missing"
        found.append(_rule(f"source-{bridge}", "ipv4 to host", f"{why} counter drop"))
    if network.ipv6 is None:
        why = f"{_NEIGHBOURS[6]} fib daddr type != unicast"
        found.append(_rule(f"source-{bridge}", "ipv6 to host", f"{why} counter drop"))
    missing = [version for version in (4, 6) if version not in dict(network.publics)]
    if missing:
        found.append(_jump("from", "bridge", f'"{bridge}"', f"from-{bridge}"))
    for version in missing:
        drop = f'oifname != "{bridge}" meta nfproto ipv{version} counter drop'
        found.append(_rule(f"from-{bridge}", f"no ipv{version}", drop))
    # Behind the accepts of what came to a public address.
    found.append(
        _rule(f"to-{bridge}", "strangers", f'iifname != "{bridge}" counter drop', order=LAST)
    )
    if network.load_balancer is not None and network.load_balancer.socket_subnet is not None:
        found += closed(socket_bridge(bridge), network.load_balancer.socket_subnet)
    return found


def closed(bridge: str, subnet: IPv4Network) -> list[Rule | Element]:
    """Return what lets nothing pass a bridge, in either direction.

    Docker closes the internal network between load balancer and socket proxy itself, but in
    iptables, behind our own accepts for what goes to a public address, and gone with `iptables -F`.
    """
    role = f"bridge {bridge}"
    return [
        *_bound(bridge, [subnet], role, f"own of {bridge}"),
        _jump("from", role, f'"{bridge}"', f"from-{bridge}"),
        _rule(f"from-{bridge}", "out", f'oifname != "{bridge}" counter drop'),
        _jump("to", role, f'"{bridge}"', f"to-{bridge}"),
        _rule(f"to-{bridge}", "in", f'iifname != "{bridge}" counter drop'),
    ]


_IP: Mapping[Version, str] = {4: "ip", 6: "ip6"}

_NEIGHBOURS: Mapping[Version, str] = {
    4: "ip saddr != 0.0.0.0",
    6: "ip6 saddr != fe80::/10 ip6 saddr != ::",
}
"""The sources of those that have no address yet, and of neighbour discovery, are left out."""


def _bound(
    bridge: str, subnets: Sequence[Subnet], role: str = "bridge", own: str = "own"
) -> Iterator[Rule | Element]:
    """Yield what binds the sources of the subnets to their bridge, in both ways.

    What stays in the bridge is the containers' own affair: one may be another's router.
    """
    yield _jump("source", role, f'"{bridge}"', f"source-{bridge}")
    for subnet in subnets:
        ip, name = _IP[subnet.version], f"ipv{subnet.version}"
        outside = f"{ip} saddr != {subnet} {ip} daddr != {subnet} {_NEIGHBOURS[subnet.version]}"
        yield _rule(f"source-{bridge}", name, f"{outside} counter drop")
        yield _jump(f"inside-{name}", own, str(subnet), f"only-{bridge}")
    # The host itself may use its address in the subnet.
    only = f'iifname != "{bridge}" iifname != "lo" counter drop'
    if subnets:
        yield _rule(f"only-{bridge}", "bridge", only)


def _family(network: Network, family: Family) -> Iterator[Rule | Element]:
    bridge, name, ip = network.bridge, f"ipv{family.version}", _IP[family.version]
    yield _jump(f"subnet-{name}", "own", str(family.subnet), f"egress-{bridge}")
    yield from _ingress(network, family)
    egress = f'oifname != "{bridge}" {ip} saddr != {family.public} counter drop'
    yield _rule(f"egress-{bridge}", name, egress)
    by_others = f"ct original {ip} saddr != {family.subnet} counter drop"
    yield from _public(network, family.version, by_others)


def _publics(network: Network, version: Version) -> Iterator[tuple[Address, str]]:
    """Yield the public addresses of one family, each with what tells its roles from the others'."""
    if (own := network.public(version)) is not None:
        yield own, ""
    for address in network.extras(version):
        yield address, f" at {address}"


def _public(network: Network, version: Version, by_others: str) -> Iterator[Rule | Element]:
    """Yield what keeps others from sending with our public addresses of one family."""
    ip, name, chain = _IP[version], f"ipv{version}", f"public-{network.bridge}"
    for address, at in _publics(network, version):
        yield _jump(f"arrives-{name}", f"own{at}", str(address), "forged")
        if not network.manage_addresses:
            # An address that is the host's own is also what Docker's plain networks are
            # masqueraded with.
            continue
        yield _jump(f"public-{name}", f"own{at}", str(address), chain)
        # The host's own connections may use the address: only what is forwarded for somebody else
        # is stopped (the table asks for connections that begin with it, not for answers).
        gone = f"{ip} saddr {address} fib saddr type != local counter drop"
        yield _rule(chain, f"gone {name}{at}", gone, order=FIRST)
        by_host = f"ct original {ip} saddr {address} accept"
        yield _rule(chain, f"by host {name}{at}", by_host)
    if network.manage_addresses:
        yield _rule(chain, f"by others {name}", by_others, order=LAST)


def _ingress(network: Network, family: Family) -> Iterator[Rule]:
    """Yield what lets in what came to a public address and was translated, by us or by Docker."""
    if network.mode == "snat":
        return
    for address, at in _publics(network, family.version):
        accept = f"ct status dnat ct original {_IP[family.version]} daddr {address} accept"
        yield _rule(f"to-{network.bridge}", f"ingress ipv{family.version}{at}", accept)


def _by_docker(network: Network, public: IPv4Address) -> Iterator[Rule | Element]:
    """Yield the rules of IPv4 where nobody knows the subnet: what counts is the bridge."""
    bridge = network.bridge
    yield _jump("by-bridge", "own", f'"{bridge}"', f"egress-{bridge}")
    egress = f'oifname != "{bridge}" ip saddr != {public} counter drop'
    yield _rule(f"egress-{bridge}", "ipv4", egress)
    yield from _public(network, 4, f'meta nfproto ipv4 iifname != "{bridge}" counter drop')


def _jump(name: str, role: str, key: str, chain: str) -> Element:
    return Element(name, role, f"{key} : jump {chain}")


def _rule(chain: str, role: str, text: str, order: int = 0) -> Rule:
    return Rule("inet", chain, role, text, order)
