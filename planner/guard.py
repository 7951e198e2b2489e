"""The egress guard of one network: lines of the nftables table ``inet wanbound``.

iptables cannot filter after SNAT, so a flushed SNAT rule lets packets out with a private source.
An nftables chain that hooks postrouting after srcnat sees the source that will be on the wire,
and ``iptables -F`` does not touch it: with it a packet of the network with another source is not
unlikely but impossible. The table, its base chains and the four maps that dispatch by interface
and address (a cost that does not grow with the number of networks) are framed by the host script;
the lines here are one network's own, in the text of ``nft list table inet wanbound`` behind the
``add`` command that would add each.

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

from planner.config import Address, Family, Network
from planner.config.names import socket_bridge

TABLE = "inet wanbound"


def guard_lines(network: Network) -> dict[str, str]:
    """Return the guard's lines for `network`, a map from role to nft command."""
    bridge = network.bridge
    families = [family for family in (network.ipv4, network.ipv6) if family is not None]
    lines = {
        "from bridge": _element("from", f'"{bridge}"', f"from-{bridge}"),
        "to bridge": _element("to", f'"{bridge}"', f"to-{bridge}"),
    }
    for family in families:
        name, ip = f"ipv{family.version}", "ip" if family.version == 4 else "ip6"
        subnet, public = family.subnet, family.public
        lines |= {
            f"subnet {name}": _element(f"subnet-{name}", str(subnet), f"egress-{bridge}"),
            f"source {name}": _rule(
                f"from-{bridge}", f'oifname != "{bridge}" {ip} saddr != {subnet} counter drop'
            ),
        }
        lines |= _ingress(network, family)
        lines[f"egress {name}"] = _rule(
            f"egress-{bridge}", f'oifname != "{bridge}" {ip} saddr != {public} counter drop'
        )
        if network.manage_addresses:
            # The host's own connections may use the address: only what is forwarded for somebody
            # else is stopped (the table asks for connections that begin with it, not for answers).
            # An address that is the host's own is also what Docker's plain networks are
            # masqueraded with: there it would stop those.
            lines |= {
                f"public {name}": _element(f"public-{name}", str(public), f"public-{bridge}"),
                f"by host {name}": _rule(
                    f"public-{bridge}", f"ct original {ip} saddr {public} accept"
                ),
                f"by others {name}": _rule(
                    f"public-{bridge}", f"ct original {ip} saddr != {subnet} counter drop"
                ),
            }
            lines |= _extras(network, family, ip)
    if network.docker_ipv4 is not None:
        lines |= _by_docker(network, network.docker_ipv4)
    for version in (4, 6):
        if version not in dict(network.publics):
            lines[f"no ipv{version}"] = _rule(
                f"from-{bridge}", f'oifname != "{bridge}" meta nfproto ipv{version} counter drop'
            )
    # Behind the accepts ("ingress"): lines are loaded in the order of their roles' names.
    lines["strangers"] = _rule(f"to-{bridge}", f'iifname != "{bridge}" counter drop')
    if network.load_balancer is not None and network.load_balancer.socket_subnet is not None:
        lines |= _socket_lines(socket_bridge(bridge))
    return lines


def _ingress(network: Network, family: Family) -> dict[str, str]:
    """Return what lets in what came to a public address and was translated, by us or by Docker."""
    if network.mode == "snat":
        return {}
    ip = "ip" if family.version == 4 else "ip6"
    return {
        f"ingress ipv{family.version}{role}": _rule(
            f"to-{network.bridge}", f"ct status dnat ct original {ip} daddr {public} accept"
        )
        for role, public in (
            ("", family.public),
            *((f" at {extra}", extra) for extra in network.extras(family.version)),
        )
    }


def _extras(network: Network, family: Family, ip: str) -> dict[str, str]:
    """Return what keeps others from sending with the further public addresses."""
    name, chain = f"ipv{family.version}", f"public-{network.bridge}"
    lines = {}
    for extra in network.extras(family.version):
        lines[f"public {name} at {extra}"] = _element(f"public-{name}", str(extra), chain)
        by_host = f"ct original {ip} saddr {extra} accept"
        lines[f"by host {name} at {extra}"] = _rule(chain, by_host)
    return lines


def _by_docker(network: Network, public: Address) -> dict[str, str]:
    """Return the lines of IPv4 where nobody knows the subnet: what counts is the bridge."""
    bridge = network.bridge
    lines = {
        "bridge ipv4": _element("by-bridge", f'"{bridge}"', f"egress-{bridge}"),
        "egress ipv4": _rule(
            f"egress-{bridge}", f'oifname != "{bridge}" ip saddr != {public} counter drop'
        ),
    }
    if network.manage_addresses:
        lines |= {
            "public ipv4": _element("public-ipv4", str(public), f"public-{bridge}"),
            "by host ipv4": _rule(f"public-{bridge}", f"ct original ip saddr {public} accept"),
            "by others ipv4": _rule(
                f"public-{bridge}", f'meta nfproto ipv4 iifname != "{bridge}" counter drop'
            ),
        }
    return lines


def _socket_lines(bridge: str) -> dict[str, str]:
    """Return the lines of the bridge between load balancer and Docker's socket: nothing passes it.

    Docker closes an internal network itself, but in iptables, behind our own accepts for what goes
    to a public address, and gone with `iptables -F`.
    """
    return {
        "socket from": _element("from", f'"{bridge}"', f"from-{bridge}"),
        "socket out": _rule(f"from-{bridge}", f'oifname != "{bridge}" counter drop'),
        "socket to": _element("to", f'"{bridge}"', f"to-{bridge}"),
        "socket in": _rule(f"to-{bridge}", f'iifname != "{bridge}" counter drop'),
    }


def _element(name: str, key: str, chain: str) -> str:
    return f"add element {TABLE} {name} {{ {key} : jump {chain} }}"


def _rule(chain: str, rule: str) -> str:
    return f"add rule {TABLE} {chain} {rule}"
