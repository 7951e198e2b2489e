"""The lines of networks that were removed from the stack while their bridges still exist. Pure.

The host shows whether a network is gone, and not a plugin's report: as long as its bridge exists,
its containers may send. So its lines stay until then. If the new plan uses one of its addresses
or subnets, or has another wan interface, its bridge is closed instead.
"""

from collections.abc import Collection, Mapping
from ipaddress import ip_network

from providers.host.plan import Lines, Network, Plan, overlap


def leaving(old: Plan, new: Plan, links: Collection[str]) -> tuple[Network, ...]:
    """Return the networks of `old` that are not in `new` and whose bridges are among `links`."""
    claimed = {bridge for each in new.networks.values() for bridge in each.bridges.values()}
    found = []
    for network in old.all_networks:
        bridges = {
            role: bridge
            for role, bridge in network.bridges.items()
            if bridge not in claimed and bridge in links
        }
        if not bridges:
            continue
        if len(bridges) == len(network.bridges) and not _contested(network, old, new):
            found.append(network)
        else:
            found.append(_closed(network, bridges, new))
    return tuple(found)


def _contested(network: Network, old: Plan, new: Plan) -> bool:
    """Return whether the new plan uses something of a network for another, or has another wan."""
    addresses = {a for each in new.networks.values() for a in each.addresses.values()}
    return (
        old.wan != new.wan
        or bool(addresses & set(network.addresses.values()))
        or len(_free_subnets(network, new)) < len(network.subnets)
    )


def _free_subnets(network: Network, new: Plan) -> dict[str, str]:
    taken = [subnet for each in new.networks.values() for subnet in each.subnets.values()]
    return {
        role: subnet
        for role, subnet in network.subnets.items()
        if not any(overlap(subnet, other) for other in taken)
    }


def _closed(network: Network, bridges: Mapping[str, str], new: Plan) -> Network:
    """Return the network with only a guard that closes these bridges."""
    subnets = _free_subnets(network, new)
    return Network(
        network.name,
        bridges,
        subnets,
        {},
        _closed_lines(sorted(bridges.values()), subnets),
    )


def _closed_lines(bridges: list[str], subnets: Mapping[str, str]) -> Lines:
    lines: dict[str, dict[str, str]] = {"map source": {}, "map from": {}, "map to": {}}
    # Packets to the host itself, which would reply to a source that is not the container's.
    false = "fib daddr type != unicast fib saddr . iif oif missing"
    for bridge in bridges:
        lines["map source"][bridge] = f'"{bridge}" : jump source-{bridge}'
        lines[f"chain source-{bridge}"] = {"to host": f"{false} counter drop"}
        lines["map from"][bridge] = f'"{bridge}" : jump from-{bridge}'
        lines["map to"][bridge] = f'"{bridge}" : jump to-{bridge}'
        lines[f"chain from-{bridge}"] = {"out": f'oifname != "{bridge}" counter drop'}
        lines[f"chain to-{bridge}"] = {"in": f'iifname != "{bridge}" counter drop'}
    first = bridges[0]
    for role, subnet in subnets.items():
        # Also packets of the subnet that come in by another interface.
        section = f"map subnet-ipv{ip_network(subnet).version}"
        lines.setdefault(section, {})[role] = f"{subnet} : jump egress-{first}"
        lines[f"chain egress-{first}"] = {"out": f'oifname != "{first}" counter drop'}
    return lines
