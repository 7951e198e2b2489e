"""What speaks against a change, by what is on the host; asked before anything is touched. Pure."""

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
    """Return all that speaks against `plan` on a host that has `old`; nothing has been changed."""
    if facts.docker is not None and plan.networks:
        why = refusal(facts.docker.version, facts.docker.backend)
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
    owned = {address for each in old.all_networks for address in each.addresses.values()}
    interfaces = facts.interfaces_by_address
    found: list[Refusal] = []
    for network in plan.networks.values():
        found += _by_hand(host, network, plan, named.get(network.name, ()))
        found += _links(network, known, facts)
        found += _subnets(network, foreign_networks, foreign_addresses)
        found += _addresses(network, plan, owned, interfaces)
    return found


def renewed(host: str, plan: Plan, facts: Facts) -> list[str]:
    """Return the networks in whose place Docker has one that was made by hand."""
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

    It would be cut off by rules that are not for it, and Docker would then refuse to make ours.
    `found` are the Docker networks of that name.
    """
    if all(_ours(host, each, plan) for each in found):
        return
    labels = [each.label for each in found]
    whose = "made by hand" if None in labels else f"made for {labels[0]}"
    yield Refusal(
        network.name,
        f"there is a Docker network {network.name} already, {whose}",
        "set adopt: true for the host, and it is taken over where it is just what is declared here"
        " (docs/adopt.md); or take its containers out of it and run"
        f" `docker network rm {network.name}`",
    )


def _links(network: Network, known: Collection[str], facts: Facts) -> Iterator[Refusal]:
    """Refuse a bridge whose name a link has that is not ours: its traffic would be dropped."""
    for bridge in network.bridges.values():
        if bridge in facts.links and bridge not in known:
            yield Refusal(
                network.name,
                f"there is an interface {bridge} already, and it is no bridge of this network",
                f"give the network another bridge name than {bridge}",
            )


def _subnets(
    network: Network, networks: Iterable[tuple[str, str]], addresses: Iterable[tuple[str, str]]
) -> Iterator[Refusal]:
    """Refuse a subnet that a foreign Docker network or a foreign link uses.

    Both are given as what to call the user, and what it uses.
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


def _addresses(
    network: Network,
    plan: Plan,
    owned: Collection[str],
    interfaces: Mapping[str, Sequence[tuple[str, str]]],
) -> Iterator[Refusal]:
    """Refuse a public address that the host has elsewhere, or with another prefix, for itself."""
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
