"""What speaks against a change, by what is on the host; asked before anything is touched. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from providers.engine.usable import refusal
from providers.host.facts import DockerNetwork, Facts
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
    found: list[Refusal] = []
    for network in plan.networks.values():
        found += _by_hand(host, network, plan, facts)
        found += _links(host, network, plan, old, facts)
        found += _subnets(host, network, plan, old, facts)
        found += _addresses(network, plan, old, facts)
    return found


def renewed(host: str, plan: Plan, facts: Facts) -> list[str]:
    """Return the networks in whose place Docker has one that was made by hand."""
    networks = facts.docker.networks if facts.docker is not None else ()
    return [
        network
        for network in plan.networks
        if any(each.name == network and not _ours(host, each, plan) for each in networks)
    ]


def label(host: str, network: str) -> str:
    """Return the label `wanbound` of the Docker network that the program makes."""
    return f"{host}/{network}"


def _ours(host: str, found: DockerNetwork, plan: Plan) -> bool:
    """Return whether a Docker network was made by this program, or taken over by it."""
    if found.label is not None:
        return found.label.startswith(f"{host}/")
    return plan.taken_over.get(found.name) == found.id


def _by_hand(host: str, network: Network, plan: Plan, facts: Facts) -> Iterator[Refusal]:
    """Refuse a Docker network of the same name that is not ours.

    It would be cut off by rules that are not for it, and Docker would then refuse to make ours.
    """
    if network.name not in renewed(host, plan, facts):
        return
    labels = [
        each.label
        for each in (facts.docker.networks if facts.docker else ())
        if each.name == network.name
    ]
    whose = "made by hand" if None in labels else f"made for {labels[0]}"
    yield Refusal(
        network.name,
        f"there is a Docker network {network.name} already, {whose}",
        "set adopt: true for the host, and it is taken over where it is just what is declared here"
        " (docs/adopt.md); or take its containers out of it and run"
        f" `docker network rm {network.name}`",
    )


def _links(host: str, network: Network, plan: Plan, old: Plan, facts: Facts) -> Iterator[Refusal]:
    """Refuse a bridge whose name a link has that is not ours: its traffic would be dropped."""
    known = {
        each.bridge
        for each in (facts.docker.networks if facts.docker else ())
        if _ours(host, each, plan)
    } | set(old.bridges)
    for bridge in network.bridges.values():
        if bridge in facts.links and bridge not in known:
            yield Refusal(
                network.name,
                f"there is an interface {bridge} already, and it is no bridge of this network",
                f"give the network another bridge name than {bridge}",
            )


def _subnets(host: str, network: Network, plan: Plan, old: Plan, facts: Facts) -> Iterator[Refusal]:
    """Refuse a subnet that a foreign link or a foreign Docker network uses."""
    bridges = {*old.bridges, *plan.bridges, *facts.renamed}
    foreign = [
        each
        for each in (facts.docker.networks if facts.docker else ())
        if each.name not in plan.networks and not _ours(host, each, plan)
    ]
    for role, subnet in network.subnets.items():
        users = [
            f"the Docker network {each.name} ({taken})"
            for each in foreign
            for taken in each.subnets
            if overlap(subnet, taken)
        ] or [
            f"the interface {device} ({line.split()[1]})"
            for device, line in facts.addresses
            if device not in bridges and overlap(subnet, line.split()[1].partition("/")[0])
        ]
        if users:
            key = "load_balancer.socket or socket_pool" if role == "socket" else f"subnet_{role}"
            yield Refusal(
                network.name,
                f"its subnet {subnet} is in use: {', '.join(users)}",
                f"set {key} to a free subnet, or remove the other one",
            )


def _addresses(network: Network, plan: Plan, old: Plan, facts: Facts) -> Iterator[Refusal]:
    """Refuse a public address that the host has elsewhere, or with another prefix, for itself."""
    owned = {address for each in old.all_networks for address in each.addresses.values()}
    if not network.lines.get("addresses"):
        return
    for address in network.addresses.values():
        if address in owned:
            continue
        full = f"{address}/{128 if ':' in address else 32}"
        for device, line in facts.addresses:
            place = line.split()[1]
            if place.partition("/")[0] == address and (device, place) != (plan.wan, full):
                yield Refusal(
                    network.name,
                    f"{address} is the host's own already ({place} on {device})",
                    "give the network another address; manage_addresses: false uses it as it is",
                )
