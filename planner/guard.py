"""The egress guard of one network: lines of the nftables table ``inet wanbound``.

iptables cannot filter after SNAT, so a flushed SNAT rule lets packets out with a private source.
An nftables chain that hooks postrouting after srcnat sees the source that will be on the wire,
and ``iptables -F`` does not touch it. So a packet of the network can never leave with another
source. providers/host/generation.py writes the table, its base chains and the maps that dispatch
by interface and address (their cost does not grow with the number of networks). This module has
the rules and elements of one network, in the text of ``nft list table inet wanbound``.

Up to seven chains per bridge, at three places. In prerouting, before NAT and before the host
answers:

- ``source-B``: a packet that comes from the bridge and leaves it must have a source in the
  network's subnet;
- ``only-B``: a packet with a source in the subnet must come from the bridge;
- ``forged``, for all networks: a packet from an interface with one of our public addresses as
  source is forged, unless another machine has the address and the route to it uses this interface.

In forward:

- ``unmark``, for all packets: clears one bit of the packet's mark, even if another program set it;
- ``from-B``: drops a family that the network does not have; marks packets from the network towards
  the internet, and IPv6 packets within its bridge;
- ``to-B``: marks replies, and packets to a public address that wanbound translated. Any other
  packet that enters the bridge from another interface must have been sent to the public address,
  too: no private address is reachable directly, from any side;
- ``pass``: sets the bit. WANBOUND-FORWARD accepts only packets with it (planner/rules.py).

In postrouting, with the source that will be on the wire:

- ``ingress-B``: the caller of a port with ``from`` must be in one of its ranges, by the address
  that the container sees (conntrack has it as the destination of replies). There another network of
  this host has its public address, and the host itself the address that it calls. The rules look at
  each packet, in both directions, also of open connections;
- ``egress-B``: a packet of the network that leaves the host must have its public address as source;
- ``public-B``: no other forwarded packet may leave with the network's public address, and no packet
  at all while this host does not have the address.

An additional public address for incoming connections is only in ``to-B``, ``forged`` and
``public-B``. If the network opens a connection with it as source, ``egress-B`` drops it like any
other source. Replies to incoming connections pass: they are not packets of the original direction.

If Docker chooses the IPv4 subnet, it is not known before the bridge exists. Then ``by-bridge``
dispatches to ``egress-B`` by the bridge that a packet came from, which postrouting knows from
Linux 5.7 on. A forged source within the bridge is dropped there, too: it is not the public address.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import product

from planner.config import VERSIONS, Address, Family, Network, Subnet, Version
from planner.config.names import socket_bridge
from planner.rule import FIRST, LAST, Element, Rule
from planner.rules import NFT_FAMILY, at_address, called, entrances, nft_range


def marks(mark: int) -> list[Rule]:
    """Return the rules that clear and set the bit `mark` of a packet's mark.

    They are in chains for all networks: a network that is being removed uses the same bit.
    """
    return [
        _rule("unmark", "clear", f"meta mark set meta mark & 0x{0xFFFFFFFF ^ mark:08x}"),
        _rule("pass", "set", f"meta mark set meta mark | 0x{mark:08x} accept"),
    ]


def guard(network: Network, wan: str) -> list[Rule | Element]:
    """Return the guard's rules for `network`, and its elements of the guard's maps.

    `wan` is the interface that holds the public addresses.
    """
    bridge = network.bridge
    found: list[Rule | Element] = [
        *_bound(bridge, [family.subnet for family in network.families]),
        _jump("from", "bridge", f'"{bridge}"', f"from-{bridge}"),
        _jump("to", "bridge", f'"{bridge}"', f"to-{bridge}"),
        *_passes(network, wan),
    ]
    for family in network.families:
        found += _family(network, family)
    if network.docker_ipv4 is not None:
        found += _by_docker(network, network.docker_ipv4)
    if network.ipv4 is None:
        # Only the kernel knows its subnet: so a reply must leave by the bridge.
        why = f"{_NEIGHBOURS[4]} fib daddr type != unicast fib saddr . iif oif missing"
        found.append(_rule(f"source-{bridge}", "ipv4 to host", f"{why} counter drop"))
    if network.ipv6 is None:
        why = f"{_NEIGHBOURS[6]} fib daddr type != unicast"
        found.append(_rule(f"source-{bridge}", "ipv6 to host", f"{why} counter drop"))
    for version in VERSIONS:
        if network.public(version) is None:
            drop = f'oifname != "{bridge}" meta nfproto ipv{version} counter drop'
            found.append(_rule(f"from-{bridge}", f"no ipv{version}", drop))
    # After the accepts of packets to a public address.
    found.append(
        _rule(f"to-{bridge}", "strangers", f'iifname != "{bridge}" counter drop', order=LAST)
    )
    if network.load_balancer is not None and network.load_balancer.socket_subnet is not None:
        found += closed(socket_bridge(bridge), network.load_balancer.socket_subnet)
    return found


def closed(bridge: str, subnet: IPv4Network) -> list[Rule | Element]:
    """Return the rules that let no packet pass a bridge, in either direction.

    Docker closes the internal network between load balancer and socket proxy itself, but only in
    iptables: after our own accepts for traffic to a public address, and only until `iptables -F`.
    """
    role = f"bridge {bridge}"
    return [
        *_bound(bridge, [subnet], role, f"own of {bridge}"),
        _jump("from", role, f'"{bridge}"', f"from-{bridge}"),
        _rule(f"from-{bridge}", "out", f'oifname != "{bridge}" counter drop'),
        _jump("to", role, f'"{bridge}"', f"to-{bridge}"),
        _rule(f"to-{bridge}", "in", f'iifname != "{bridge}" counter drop'),
    ]


_NEIGHBOURS: Mapping[Version, str] = {
    4: "ip saddr != 0.0.0.0",
    6: "ip6 saddr != fe80::/10 ip6 saddr != ::",
}
"""Excludes senders that have no address yet, and the sources of neighbour discovery."""


def _bound(
    bridge: str, subnets: Sequence[Subnet], role: str = "bridge", own: str = "own"
) -> Iterator[Rule | Element]:
    """Yield the rules that bind the sources of the subnets to their bridge, in both directions.

    Packets that stay in the bridge are not restricted: one container may be another's router.
    """
    yield _jump("source", role, f'"{bridge}"', f"source-{bridge}")
    for subnet in subnets:
        ip, name = NFT_FAMILY[subnet.version], f"ipv{subnet.version}"
        outside = f"{ip} saddr != {subnet} {ip} daddr != {subnet} {_NEIGHBOURS[subnet.version]}"
        yield _rule(f"source-{bridge}", name, f"{outside} counter drop")
        yield _jump(f"inside-{name}", own, str(subnet), f"only-{bridge}")
    # The host itself may use its address in the subnet.
    only = f'iifname != "{bridge}" iifname != "lo" counter drop'
    if subnets:
        yield _rule(f"only-{bridge}", "bridge", only)


def _family(network: Network, family: Family) -> Iterator[Rule | Element]:
    bridge, name, ip = network.bridge, f"ipv{family.version}", NFT_FAMILY[family.version]
    yield _jump(f"subnet-{name}", "own", str(family.subnet), f"egress-{bridge}")
    yield from _ingress(network, family)
    yield from _sources(network, family)
    egress = f'oifname != "{bridge}" {ip} saddr != {family.public} counter drop'
    yield _rule(f"egress-{bridge}", name, egress)
    by_others = f"ct original {ip} saddr != {family.subnet} counter drop"
    yield from _public(network, family.version, by_others)


def _publics(network: Network, version: Version) -> Iterator[tuple[Address, str]]:
    """Yield the public addresses of one family, each with the suffix of its roles."""
    if (own := network.public(version)) is not None:
        yield own, ""
    for address in network.extras(version):
        yield address, f" at {address}"


def _public(network: Network, version: Version, by_others: str) -> Iterator[Rule | Element]:
    """Yield what stops other senders from using our public addresses of one family."""
    ip, name, chain = NFT_FAMILY[version], f"ipv{version}", f"public-{network.bridge}"
    for address, at in _publics(network, version):
        yield _jump(f"arrives-{name}", f"own{at}", str(address), "forged")
        if not network.manage_addresses:
            # The host itself uses the address, and Docker's plain networks are masqueraded with it.
            continue
        yield _jump(f"public-{name}", f"own{at}", str(address), chain)
        # The host's own connections may use the address. Only packets forwarded for other sources
        # are dropped (the rule matches connections that begin with the address, not replies).
        gone = f"{ip} saddr {address} fib saddr type != local counter drop"
        yield _rule(chain, f"gone {name}{at}", gone, order=FIRST)
        by_host = f"ct original {ip} saddr {address} accept"
        yield _rule(chain, f"by host {name}{at}", by_host)
    if network.manage_addresses:
        yield _rule(chain, f"by others {name}", by_others, order=LAST)


def _passes(network: Network, wan: str) -> Iterator[Rule]:
    """Yield the rules that mark the network's traffic, so that Docker's own rules do not see it.

    Docker's isolation chains (up to 28) stop one network from reaching another's public address,
    and Docker 28 drops what is sent to unpublished ports. For IPv6, Docker 20.10 has no forward
    rules at all, and an operator's FORWARD policy may be DROP.
    """
    bridge = network.bridge

    def passing(chain: str, role: str, match: str) -> Rule:
        return _rule(f"{chain}-{bridge}", role, f"{match} jump pass", order=FIRST)

    for version, _ in network.publics:
        name, ip = f"ipv{version}", NFT_FAMILY[version]
        subnet = next((f.subnet for f in network.families if f.version == version), None)
        source = f"meta nfproto {name}" if subnet is None else f"{ip} saddr {subnet}"
        # Only towards the wan: towards other interfaces, the mark would undo Docker's isolation.
        yield passing("from", f"egress {name}", f'oifname "{wan}" {source}')
        if version == 6:
            # Docker lets this pass itself for IPv4, and for IPv6 from 27 on.
            yield passing("from", "inside ipv6", f'oifname "{bridge}" meta nfproto ipv6')
    only = [f"meta nfproto ipv{version} " for version, _ in network.publics]
    one = only[0] if len(only) == 1 else ""
    yield passing("to", "replies", f"{one}ct state established,related")
    translated = {}
    for family, entry in product(network.families, network.ingress):
        ip = NFT_FAMILY[family.version]
        for public in network.entrances(entry, family.version):
            target = network.address_of(entry.to, family.version)
            # Several entries may lead to one container.
            whom = called(entry, target)
            translated[f"ingress ipv{family.version} {whom}{at_address(public, family)}"] = (
                f"{ip} daddr {target} ct status dnat ct original {ip} daddr {public}"
            )
    for role, match in translated.items():
        yield passing("to", role, match)


def _ingress(network: Network, family: Family) -> Iterator[Rule]:
    """Yield the accepts of packets to a public address that we or Docker translated."""
    if network.mode == "snat":
        return
    for address, at in _publics(network, family.version):
        accept = f"ct status dnat ct original {NFT_FAMILY[family.version]} daddr {address} accept"
        yield _rule(f"to-{network.bridge}", f"ingress ipv{family.version}{at}", accept)


def _sources(network: Network, family: Family) -> Iterator[Rule | Element]:
    """Yield the rules for ports of entries with `from`; `return` leads to the other chains.

    No NAT rule has the ranges: a packet that NAT does not translate reaches the host's own port.
    """
    bridge, name, ip = network.bridge, f"ipv{family.version}", NFT_FAMILY[family.version]
    chain = f"ingress-{bridge}"
    ways = [(way, way.sources) for way in entrances(network, family) if way.sources is not None]
    for address in dict.fromkeys(way.address for way, _ in ways):
        yield _jump(f"ingress-{name}", f"own{at_address(address, family)}", str(address), chain)
    for way, sources in ways:
        match = f"ct original {ip} daddr {way.address} meta l4proto {way.protocol}"
        if way.ports is not None:
            match += f" ct original proto-dst {way.ports}"
        if way.covers(family.gateway):
            # Other Docker networks: Docker masquerades them with the bridge's address.
            role, seen = f"{name} {way.role} from bridge", f"ct reply {ip} daddr {family.gateway}"
            yield _rule(chain, role, f"{match} {seen} counter drop", order=FIRST)
        for source in sources:
            text = nft_range(source)
            seen = f" ct reply {ip} daddr {text}" if source.prefixlen else ""
            yield _rule(chain, f"{name} {way.role} from {text}", f"{match}{seen} return")
        elsewhere = f"{name} {way.role} from elsewhere"
        yield _rule(chain, elsewhere, f"{match} counter drop", order=LAST)


def _by_docker(network: Network, public: IPv4Address) -> Iterator[Rule | Element]:
    """Yield the rules of IPv4 if the subnet is not known: they match the bridge instead."""
    bridge = network.bridge
    yield _jump("by-bridge", "own", f'"{bridge}"', f"egress-{bridge}")
    egress = f'oifname != "{bridge}" ip saddr != {public} counter drop'
    yield _rule(f"egress-{bridge}", "ipv4", egress)
    yield from _public(network, 4, f'meta nfproto ipv4 iifname != "{bridge}" counter drop')


def _jump(name: str, role: str, key: str, chain: str) -> Element:
    return Element(name, role, f"{key} : jump {chain}")


def _rule(chain: str, role: str, text: str, order: int = 0) -> Rule:
    return Rule("inet", chain, role, text, order)


_LOGS = "limit rate 12/minute burst 10 packets log"
"""A burst other than 5, because nft prints that only in some versions."""


def logged(rules: Iterable[Rule | Element], network: str) -> Iterator[Rule | Element]:
    """Yield the same, except that a rule that drops goes to a chain that logs the packet first.

    Each chain with such rules has one, so the rate is for each network and reason.
    """
    reasons = set()
    for each in rules:
        if isinstance(each, Rule) and each.text.endswith("counter drop"):
            if each.chain not in reasons:
                reasons.add(each.chain)
                yield from log_and_drop(each.chain, network)
            each = replace(each, text=f"{each.text.removesuffix('drop')}goto drop-{each.chain}")
        yield each


def log_and_drop(chain: str, network: str | None = None) -> Iterator[Rule]:
    """Yield the rules of the chain that logs and drops what a rule of `chain` wants dropped.

    The limit is in a rule of its own: a packet above the rate is dropped without a log line. A
    packet that passes the guard never comes here. The prefix has at most 33 characters; the
    kernel allows 127.
    """
    prefix = " ".join(word for word in ("wanbound", network, chain.split("-")[0]) if word)
    yield _rule(f"drop-{chain}", "log", f'{_LOGS} prefix "{prefix}: "', order=FIRST)
    yield _rule(f"drop-{chain}", "drop", "drop")
