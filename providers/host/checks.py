"""Why the state of a host does not allow a change; checked before anything is changed. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from providers.engine.usable import refusal
from providers.host.facts import DockerNetwork, Facts, address_of
from providers.host.plan import Network, Plan, overlap


@dataclass(frozen=True)
class Refusal:
    """Why a change is refused; `network` is empty where it is about the host."""

    network: str
    what: str
    remedy: str


def refusals(host: str, plan: Plan, old: Plan, facts: Facts) -> list[Refusal]:
    """Return all reasons against `plan` on a host that has `old`; nothing has been changed."""
    if facts.docker is not None and plan.networks:
        why = refusal(facts.docker.version, facts.docker.backend, plan.firewall)
        if why is not None:
            return [Refusal("", why, "docs/engine.md says which engines work and what to set")]
    # What is the same for all networks is found once: a host may have hundreds.
    named = facts.docker_networks_by_name
    known = {each.bridge for each in facts.docker_networks if _ours(host, each, plan)}
    known |= set(old.bridges)
    bridges = {*old.bridges, *plan.bridges, *facts.renamed}
    foreign_networks = [
        (f"the Docker network {each.name} ({subnet})", subnet)
        for each in facts.docker_networks
        if each.name not in plan.networks and not _ours(host, each, plan)
        for subnet in each.subnets
    ]
    foreign_addresses = [
        (f"the interface {device} ({line.split()[1]})", address_of(line))
        for device, line in facts.addresses
        if device not in bridges
    ]
    # An address with manage_addresses: false is the host's own.
    owned = {
        each.addresses[role]
        for each in old.all_networks
        for role in each.lines.get("addresses", {})
    }
    interfaces = facts.interfaces_by_address
    managed = [each for each in plan.networks.values() if each.lines.get("addresses")]
    public = {address for each in managed for address in each.addresses.values()}
    own_ipv4 = any(
        device == plan.wan and _is_source(line) and address_of(line) not in owned | public
        for device, line in facts.addresses
    )
    found: list[Refusal] = []
    for network in plan.networks.values():
        found += _by_hand(host, network, plan, named.get(network.name, ()))
        found += _links(network, known, facts)
        found += _subnets(network, foreign_networks, foreign_addresses)
        found += _addresses(network, plan, owned, interfaces, own_ipv4=own_ipv4)
    return found


def renewed(host: str, plan: Plan, facts: Facts) -> list[str]:
    """Return the networks for which Docker has a manually created one of the same name."""
    others = {each.name for each in facts.docker_networks if not _ours(host, each, plan)}
    return [network for network in plan.networks if network in others]


def label(host: str, network: str) -> str:
    """Return the label `wanbound` of the Docker network that the program makes."""
    return f"{host}/{network}"


def _ours(host: str, found: DockerNetwork, plan: Plan) -> bool:
    """Return whether a Docker network was made by this program, or taken over by it."""
    if found.label is not None:
        return found.label.startswith(f"{host}/")
    return plan.taken_over.get(found.name) == found.id


def _by_hand(
    host: str, network: Network, plan: Plan, found: Sequence[DockerNetwork]
) -> Iterator[Refusal]:
    """Refuse a Docker network of the same name that is not ours.

    Our rules would cut it off, and Docker would then refuse to create ours.
    `found` are the Docker networks of that name.
    """
    if all(_ours(host, each, plan) for each in found):
        return
    labels = [each.label for each in found]
    whose = "created manually" if None in labels else f"created for {labels[0]}"
    yield Refusal(
        network.name,
        f"there is a Docker network {network.name} already, {whose}",
        "set adopt: true for the host, to take it over if it is what the stack declares"
        " (docs/adopt.md); or disconnect its containers and run"
        f" `docker network rm {network.name}`",
    )


def _links(network: Network, known: Collection[str], facts: Facts) -> Iterator[Refusal]:
    """Refuse a bridge name that a foreign link has: the link's traffic would be dropped."""
    for bridge in network.bridges.values():
        if bridge in facts.links and bridge not in known:
            yield Refusal(
                network.name,
                f"there is an interface {bridge} already, and it is not a bridge of this network",
                f"give the network another bridge name than {bridge}",
            )


def _subnets(
    network: Network, networks: Iterable[tuple[str, str]], addresses: Iterable[tuple[str, str]]
) -> Iterator[Refusal]:
    """Refuse a subnet that a foreign Docker network or a foreign link uses.

    Both are pairs: the name of the user for the error, and the subnet that it uses.
    """
    for role, subnet in network.subnets.items():
        users = [user for user, taken in networks if overlap(subnet, taken)] or [
            user for user, taken in addresses if overlap(subnet, taken)
        ]
        if users:
            key = "load_balancer.socket or socket_pool" if role == "socket" else f"subnet_{role}"
            yield Refusal(
                network.name,
                f"its subnet {subnet} is in use: {', '.join(users)}",
                f"set {key} to a free subnet, or remove the other one",
            )


def _is_source(line: str) -> bool:
    """Return whether the host's own IPv4 connections may leave with an address, by its line."""
    return line.startswith("inet ") and " scope global " in line


def _addresses(
    network: Network,
    plan: Plan,
    owned: Collection[str],
    interfaces: Mapping[str, Sequence[tuple[str, str]]],
    *,
    own_ipv4: bool,
) -> Iterator[Refusal]:
    """Refuse a public address that the host itself has on another interface or with another prefix.

    Also refuse one on the wan interface that is the host's only source address for its own packets
    (`own_ipv4` says so). A managed address is never the host's own source.
    """
    if not network.lines.get("addresses"):
        return
    for address in network.addresses.values():
        if address in owned:
            continue
        full = f"{address}/{128 if ':' in address else 32}"
        for device, line in interfaces.get(address, ()):
            place = line.split()[1]
            if (device, place) != (plan.wan, full):
                yield Refusal(
                    network.name,
                    f"{address} is the host's own already ({place} on {device})",
                    "give the network another address; manage_addresses: false uses it as it is",
                )
            elif not own_ipv4 and _is_source(line):
                yield Refusal(
                    network.name,
                    f"{address} is the source address of the host's own connections: {device} has"
                    " no IPv4 address that belongs to no network",
                    f"give {device} an address for the host itself, or let one network share its"
                    " address with the host by manage_addresses: false",
                )
