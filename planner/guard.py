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
"""

from planner.config import Network
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
            f"ingress {name}": _rule(
                f"to-{bridge}", f"ct status dnat ct original {ip} daddr {public} accept"
            ),
            f"egress {name}": _rule(
                f"egress-{bridge}", f'oifname != "{bridge}" {ip} saddr != {public} counter drop'
            ),
        }
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
    for version, missing in ((4, network.ipv4 is None), (6, network.ipv6 is None)):
        if missing:
            lines[f"no ipv{version}"] = _rule(
                f"from-{bridge}", f'oifname != "{bridge}" meta nfproto ipv{version} counter drop'
            )
    # Behind the accepts ("ingress"): lines are loaded in the order of their roles' names.
    lines["strangers"] = _rule(f"to-{bridge}", f'iifname != "{bridge}" counter drop')
    if network.load_balancer is not None and network.load_balancer.socket_subnet is not None:
        lines |= _socket_lines(socket_bridge(bridge))
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
