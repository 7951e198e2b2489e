"""Checks of the DNS servers of containers: can every network reach one from inside?

From 28.0 on, Docker queries the servers of the host's resolv.conf from the host's network
namespace, and so from the host's address. It queries a container's own servers from the container's
namespace, on every version: the query leaves with the network's address, or not at all.
"""

from collections.abc import Mapping

from planner.config.report import Loc, Problems
from planner.config.resolve import Draft, HostDraft, NetworkDraft
from planner.config.schema import Host, Network
from planner.config.types import Address

_REMEDY = "name a server that is in no network of this stack, like 198.51.100.53"


def check(draft: Draft) -> Problems:
    """Yield everything that is wrong with the servers of the hosts and their networks."""
    publics = _publics(draft)
    for place in draft.hosts:
        if place.host is None:
            continue
        yield from _engine(place, place.host)
        yield from _servers(place, place.host, place.loc, place.host.dns, publics)
        for network in place.networks:
            yield from _servers(place, place.host, network.loc, network.written.dns, publics)
            yield from _families(place.host, network)


def _publics(draft: Draft) -> Mapping[Address, str]:
    """Return the public addresses of the whole stack, each with the name of its network."""
    found: dict[Address, str] = {}
    for _, place in draft.networks():
        network = place.network
        own = [address for _, address in network.publics]
        for address in (*own, *network.extras(4), *network.extras(6)):
            found.setdefault(address, network.name)
    return found


def _engine(place: HostDraft, host: Host) -> Problems:
    engine, loc = host.engine, (*place.loc, "engine")
    if engine is None or not engine.dns:
        return
    if not host.dns:
        what, why = "is true, and the host has no dns", "There is no server to write."
        yield (*loc, "dns"), what, why, "add dns: [198.51.100.53] to the host, or remove engine.dns"
    elif engine.settings.get("dns") != list(map(str, host.dns)):
        what, why = "has dns, and engine.dns is true", "One setting cannot have two values."
        yield (*loc, "settings"), what, why, "remove it there, or remove engine.dns"


def _servers(
    place: HostDraft,
    host: Host,
    loc: Loc,
    servers: tuple[Address, ...],
    publics: Mapping[Address, str],
) -> Problems:
    """Refuse servers that are in this stack; subnets.py has the derived subnets."""
    networks = [each.network for each in place.networks]
    subnets = [
        (family.subnet, each.name)
        for each in networks
        for family in each.families
        if not family.derived
    ]
    for at, server in enumerate(servers):
        where: Loc = (*loc, "dns", at)
        inside = next((each for each in subnets if server in each[0]), None)
        if server in publics:
            what = f"{server} is a public address of network {publics[server]}"
            why = "Names would be looked up only while a container of this stack runs."
            yield where, what, why, _REMEDY
        elif inside is not None:
            subnet, name = inside
            what = f"{server} lies in {subnet}, a subnet of network {name}"
            why = "Other networks cannot reach it, and it needs that network to run."
            yield where, what, why, _REMEDY
        elif server == host.ssh.ip:
            what = f"{server} is the host's own address, its ssh.address"
            why = "A DNS server there would forward all networks' queries from the host's address."
            yield where, what, why, _REMEDY


def _families(host: Host, place: NetworkDraft) -> Problems:
    """Refuse servers of a family that the network does not have; the guard drops the queries."""
    network: Network = place.network
    own = {version for version, _ in network.publics}
    if not own:
        return  # Reported already.
    for at, server in enumerate(place.written.dns):
        if server.version not in own:
            key = f"public_ipv{server.version}"
            what = f"{server} is set without {key}"
            why = f"The network has no IPv{server.version}, and Docker asks from inside it."
            yield (*place.loc, "dns", at), what, why, f"add {key}, or remove this"
    if host.dns and not network.dns:
        family = f"IPv{min(own)}"
        what = f"is missing, the network has only {family}, and dns of the host has no {family}"
        why = "Its containers could not ask any of these servers."
        remedy = f"add an {family} server to dns of the host, or a dns to this network"
        yield (*place.loc, "dns"), what, why, remedy
