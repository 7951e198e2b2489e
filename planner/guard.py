"""The egress guard of one network: lines of the nftables table ``inet wanbound``.

iptables cannot filter after SNAT, so a flushed SNAT rule lets packets out with a private source.
An nftables chain that hooks postrouting after srcnat sees the source that will be on the wire,
and ``iptables -F`` does not touch it: with it a packet of the network with another source is not
unlikely but impossible. The table, its base chains and the maps that dispatch by interface and
address (a cost that does not grow with the number of networks) are framed by
providers/host/generation.py; the rules and elements here are one network's own, in the text of
``nft list table inet wanbound``.

Four chains per bridge:

- ``from-B``: what enters from the bridge and leaves by another interface must have a source in
  the network's subnet (no spoofing), and a family the network does not have does not pass;
- ``to-B``: what enters the bridge from elsewhere must have come to the public address (replies
  have passed before): nobody reaches a private address directly, from no side;
- ``egress-B``: what leaves the host for the network must carry its public address;
- ``public-B``: nothing else that is forwarded may leave with the network's public address.

A further public address, by which something comes in, is in ``to-B`` and ``public-B`` alone: what
the network sends of itself with it is stopped in ``egress-B`` like any other source, and answers to
what came to it are no packets of the original direction.

Where Docker chooses the IPv4 subnet nobody knows it before the bridge is there. Then ``egress-B``
is found by the bridge a packet came from (``by-bridge``), which postrouting knows from Linux 5.7
on, and a false source within the bridge is stopped there, too, by not being the public one.
"""

from collections.abc import Iterator

from planner.config import Address, Family, Network
from planner.config.names import socket_bridge
from planner.rule import LAST, Element, Rule


def guard(network: Network) -> list[Rule | Element]:
    """Return the guard's rules for `network`, and its elements of the guard's maps."""
    bridge = network.bridge
    found: list[Rule | Element] = [
        _jump("from", "bridge", f'"{bridge}"', f"from-{bridge}"),
        _jump("to", "bridge", f'"{bridge}"', f"to-{bridge}"),
    ]
    for family in network.families:
        found += _family(network, family)
    if network.docker_ipv4 is not None:
        found += _by_docker(network, network.docker_ipv4)
    for version in (4, 6):
        if version not in dict(network.publics):
            drop = f'oifname != "{bridge}" meta nfproto ipv{version} counter drop'
            found.append(_rule(f"from-{bridge}", f"no ipv{version}", drop))
    # Behind the accepts of what came to a public address.
    found.append(
        _rule(f"to-{bridge}", "strangers", f'iifname != "{bridge}" counter drop', order=LAST)
    )
    if network.load_balancer is not None and network.load_balancer.socket_subnet is not None:
        found += closed(socket_bridge(bridge))
    return found


def closed(bridge: str) -> list[Rule | Element]:
    """Return what lets nothing pass a bridge, in either direction.

    Docker closes the internal network between load balancer and socket proxy itself, but in
    iptables, behind our own accepts for what goes to a public address, and gone with `iptables -F`.
    """
    return [
        _jump("from", f"bridge {bridge}", f'"{bridge}"', f"from-{bridge}"),
        _rule(f"from-{bridge}", "out", f'oifname != "{bridge}" counter drop'),
        _jump("to", f"bridge {bridge}", f'"{bridge}"', f"to-{bridge}"),
        _rule(f"to-{bridge}", "in", f'iifname != "{bridge}" counter drop'),
    ]


def _family(network: Network, family: Family) -> Iterator[Rule | Element]:
    bridge, name = network.bridge, f"ipv{family.version}"
    ip = "ip" if family.version == 4 else "ip6"
    subnet, public = family.subnet, family.public
    yield _jump(f"subnet-{name}", "own", str(subnet), f"egress-{bridge}")
    source = f'oifname != "{bridge}" {ip} saddr != {subnet} counter drop'
    yield _rule(f"from-{bridge}", f"source {name}", source)
    yield from _ingress(network, family)
    egress = f'oifname != "{bridge}" {ip} saddr != {public} counter drop'
    yield _rule(f"egress-{bridge}", name, egress)
    if network.manage_addresses:
        # The host's own connections may use the address: only what is forwarded for somebody else
        # is stopped (the table asks for connections that begin with it, not for answers). An
        # address that is the host's own is also what Docker's plain networks are masqueraded
        # with: there it would stop those.
        chain = f"public-{bridge}"
        for address in (public, *network.extras(family.version)):
            at = "" if address == public else f" at {address}"
            yield _jump(f"public-{name}", f"own{at}", str(address), chain)
            by_host = f"ct original {ip} saddr {address} accept"
            yield _rule(chain, f"by host {name}{at}", by_host)
        by_others = f"ct original {ip} saddr != {subnet} counter drop"
        yield _rule(chain, f"by others {name}", by_others, order=LAST)


def _ingress(network: Network, family: Family) -> Iterator[Rule]:
    """Yield what lets in what came to a public address and was translated, by us or by Docker."""
    if network.mode == "snat":
        return
    ip = "ip" if family.version == 4 else "ip6"
    for address in (family.public, *network.extras(family.version)):
        at = "" if address == family.public else f" at {address}"
        accept = f"ct status dnat ct original {ip} daddr {address} accept"
        yield _rule(f"to-{network.bridge}", f"ingress ipv{family.version}{at}", accept)


def _by_docker(network: Network, public: Address) -> Iterator[Rule | Element]:
    """Yield the rules of IPv4 where nobody knows the subnet: what counts is the bridge."""
    bridge = network.bridge
    yield _jump("by-bridge", "own", f'"{bridge}"', f"egress-{bridge}")
    egress = f'oifname != "{bridge}" ip saddr != {public} counter drop'
    yield _rule(f"egress-{bridge}", "ipv4", egress)
    if network.manage_addresses:
        chain = f"public-{bridge}"
        yield _jump("public-ipv4", "own", str(public), chain)
        yield _rule(chain, "by host ipv4", f"ct original ip saddr {public} accept")
        by_others = f'meta nfproto ipv4 iifname != "{bridge}" counter drop'
        yield _rule(chain, "by others ipv4", by_others, order=LAST)


def _jump(name: str, role: str, key: str, chain: str) -> Element:
    return Element(name, role, f"{key} : jump {chain}")


def _rule(chain: str, role: str, text: str, order: int = 0) -> Rule:
    return Rule("inet", chain, role, text, order)
