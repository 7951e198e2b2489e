"""What must hold inside one network, whatever its neighbours are."""

from collections.abc import Iterator
from itertools import product

from planner.addresses import last_usable
from planner.config.model import LOAD_BALANCER, Address, Family
from planner.config.modes import check_mode
from planner.config.references import check_secret, did_you_mean
from planner.config.report import Loc, Report
from planner.config.resolve import ssh_address
from planner.config.shape import VERSIONS, HostDraft, NetworkDraft
from planner.config.spec import ContainerSpec, IngressSpec


def check_network(
    host: HostDraft, network: NetworkDraft, secrets: frozenset[str] | None, report: Report
) -> None:
    """Report what is wrong with `network`; its families are known as far as they can be."""
    spec, loc = network.spec, network.loc
    if not network.versions:
        what = "has neither public_ipv4 nor public_ipv6"
        why = "Nothing could leave the network, since nothing leaves with another address."
        report.add(loc, what, why, "add public_ipv4, public_ipv6 or both")
        return
    _check_halves(network, report)
    check_mode(network, report)
    _check_names(host, network, report)
    for place, container in enumerate(spec.containers):
        _check_container((*loc, "containers", place), container, secrets, report)
    _check_targets(network, report)
    _check_ports(network, report)
    if spec.whoami is not None and spec.load_balancer is None:
        what, why = "is there, but the load balancer is off", "Whoami is reached through it."
        report.add((*loc, "whoami"), what, why, "remove whoami, or load_balancer: false")
    _check_ssh(host, network, report)
    for family in network.families.values():
        _check_addresses(host, network, family, report)


def _check_halves(network: NetworkDraft, report: Report) -> None:
    """Refuse what belongs to a family that the network does not have."""
    spec = network.spec
    for version in VERSIONS:
        if version in network.versions:
            continue
        key = f"ipv{version}"
        why = f"The network has no IPv{version}: it has no public_{key}."
        places: list[tuple[Loc, object]] = [((f"subnet_{key}",), network.subnet(version))]
        if spec.load_balancer is not None:
            places.append((("load_balancer", key), spec.load_balancer.of(version)))
        for place, container in enumerate(spec.containers):
            places.append((("containers", place, key), container.of(version)))
        for inner, value in places:
            if value is not None:
                what = f"{value} is given without public_{key}"
                report.add((*network.loc, *inner), what, why, f"add public_{key}, or remove this")


def _check_names(host: HostDraft, network: NetworkDraft, report: Report) -> None:
    if host.spec is None:
        return
    wan = host.spec.wan.interface
    for key, name in (("bridge", network.spec.bridge), ("name", network.spec.name)):
        if name == wan:
            what = f"{name} is the host's wan interface"
            why = "A bridge of that name cannot be made, and the rules tell the two apart by name."
            report.add((*network.loc, key), what, why, "choose another name")
            return


def _check_container(
    loc: Loc, container: ContainerSpec, secrets: frozenset[str] | None, report: Report
) -> None:
    if container.name == LOAD_BALANCER:
        what, why = f"{LOAD_BALANCER} is a reserved name", "In ingress it means the load balancer."
        report.add((*loc, "name"), what, why, "choose another name")
    targets: set[str] = set()
    for place, volume in enumerate(container.volumes):
        if volume.target in targets:
            what, why = f"{volume.target} is mounted twice", "Docker refuses such a container."
            report.add((*loc, "volumes", place), what, why, "give each volume its own target")
        targets.add(volume.target)
    for name, value in container.environment.items():
        at = (*loc, "environment", name)
        check_secret(value, secrets, at, "It would be empty.", report)


def _ingress(network: NetworkDraft) -> Iterator[tuple[Loc, IngressSpec]]:
    """Yield each ingress entry with its place; the default one has none and cannot be wrong.

    What containers publish is among them, with the container's place.
    """
    for place, entry in enumerate(network.spec.ingress or ()):
        yield (*network.loc, "ingress", place), entry
    yield from network.published()


def _check_targets(network: NetworkDraft, report: Report) -> None:
    if network.spec.mode != "nat":
        return
    containers = {container.name: container for container in network.spec.containers}
    for loc, entry in _ingress(network):
        _check_entrances(network, loc, entry, report)
        if entry.protocol == "udp" and entry.ports == "all":
            what, why = "all is for TCP only", "The host's own UDP (DNS, NTP answers) would go too."
            report.add((*loc, "ports"), what, why, "list the UDP ports, like [3478]")
        if entry.to == LOAD_BALANCER:
            if network.spec.load_balancer is None:
                what, why = "is the load balancer, which is off", "There is nowhere to forward to."
                remedy = "name a container of this network, or remove load_balancer: false"
                report.add((*loc, "to"), what, why, remedy)
            continue
        container = containers.get(entry.to)
        if container is None:
            hint = did_you_mean(entry.to, [LOAD_BALANCER, *containers])
            what = f"{entry.to} is no container of this network"
            remedy = f"{hint}write load_balancer, or the name of one of the network's containers"
            report.add((*loc, "to"), what, "There is nowhere to forward to.", remedy)
            continue
        versions = {address.version for address in network.entrances(entry)}
        missing = [f"ipv{v}" for v in sorted(versions) if container.of(v) is None]
        if missing:
            what = f"container {entry.to} has no fixed {' and no '.join(missing)} address"
            why = "A rule forwards to an address, and Docker may give the container any other."
            remedy = f"give {entry.to} {' and '.join(missing)}, or remove public_{missing[0]}"
            key = "to" if "ingress" in loc else "ports"
            report.add((*loc, key), what, why, remedy)


def _check_entrances(network: NetworkDraft, loc: Loc, entry: IngressSpec, report: Report) -> None:
    for place, address in enumerate(entry.addresses or ()):
        if address.version not in network.versions:
            key = f"public_ipv{address.version}"
            what = f"{address} is given without {key}"
            why = f"The network has no IPv{address.version}: it has no {key}."
            report.add((*loc, "addresses", place), what, why, f"add {key}, or remove this")


def _check_ports(network: NetworkDraft, report: Report) -> None:
    """Refuse ports that two entries (or two items of one) forward: which one would be chance.

    Each address that something comes in by is for itself: one port may be forwarded from two.
    """
    if network.spec.mode != "nat":
        return
    entries = list(_ingress(network))
    addresses = {each for _, entry in entries for each in network.entrances(entry)}
    for protocol, address in product(("tcp", "udp"), sorted(addresses, key=str)):
        here = [
            (place, loc, entry)
            for place, (loc, entry) in enumerate(entries)
            if entry.protocol == protocol and address in network.entrances(entry)
        ]
        claims = sorted(
            (ports.first, ports.last, place, loc)
            for place, loc, entry in here
            if entry.ports != "all"
            for ports in entry.ports
        )
        everything = [(place, loc) for place, loc, entry in here if entry.ports == "all"]
        why = "Two entries cannot both have a port's traffic."
        if everything and (claims or len(everything) > 1):
            _, loc = max([*(claim[2:] for claim in claims), *everything])
            what = f"more than one entry has {protocol} ports, and one of them has all"
            remedy = "list the ports of each entry instead of all"
            report.add((*loc, "ports"), what, why, remedy)
            continue
        reach = 0
        for first, last, _, loc in claims:
            if first <= reach:
                what = f"{protocol} port {first} is forwarded twice in this network"
                report.add((*loc, "ports"), what, why, f"list {first} once")
            reach = max(reach, last)


def _check_ssh(host: HostDraft, network: NetworkDraft, report: Report) -> None:
    address = ssh_address(host)
    own = [*map(network.public, VERSIONS), *network.extras]
    if host.spec is None or address is None or address not in own:
        return
    key, port = f"public_ipv{address.version}", host.spec.ssh.port
    if address in network.extras:
        key = "ingress"
    whose = f"The address is the host's own: {address} is its ssh.address."
    kept = ""
    if network.spec.manage_addresses:
        kept = " Set manage_addresses: false too, so that the address stays when the network goes."
    default: list[tuple[Loc, IngressSpec]] = []
    if network.spec.ingress is None:
        default = [(network.loc, entry) for entry in network.ingress if entry.ports == "all"]
    for loc, entry in (*default, *_ingress(network)):
        if entry.protocol != "tcp" or address not in network.entrances(entry):
            continue
        if entry.ports == "all":
            what = f"{address} is the address that SSH uses, and all TCP to it is forwarded"
            why = f"It would take the host's own SSH, and nobody could log in any more. {whose}"
            remedy = f"use another address, or list the ingress ports without {port}.{kept}"
            report.add((*network.loc, key), what, why, remedy)
            return
        if any(ports.first <= port <= ports.last for ports in entry.ports):
            what = f"forwards port {port} of {address}, which is the host's own SSH"
            why = f"Nobody could log in to the host any more. {whose}"
            remedy = f"remove {port} from the list, or use another {key}.{kept}"
            report.add((*loc, "ports"), what, why, remedy)
            return
    if kept:
        what = f"{address} is the address that SSH uses, and wanbound would manage it"
        why = f"Removing the network would remove the address and cut SSH off. {whose}"
        report.add((*network.loc, key), what, why, "set manage_addresses: false for this network")


def _check_addresses(
    host: HostDraft, network: NetworkDraft, family: Family, report: Report
) -> None:
    key, subnet = f"ipv{family.version}", family.subnet
    own = ssh_address(host)
    if own is not None and own in subnet:
        what = f"{subnet} contains {own}, the host's ssh.address"
        why = "The bridge would take the way to it, and SSH would be cut off."
        report.add((*network.loc, f"subnet_{key}"), what, why, "choose another subnet")
    used: dict[Address, str] = {}
    places: list[tuple[Loc, str, Address | None]] = [
        (("load_balancer", key), "the load balancer", family.load_balancer)
    ]
    for place, container in enumerate(network.spec.containers):
        owner, address = f"container {container.name}", container.of(family.version)
        places.append((("containers", place, key), owner, address))
    for inner, owner, address in places:
        if address is None:
            continue
        wrong = _misplaced(address, family)
        if wrong is None and address in used:
            wrong = f"the address of {used[address]}"
        if wrong is not None:
            what, why = f"{address} is {wrong}", f"It cannot be the address of {owner} as well."
            if address not in subnet:
                why = f"Docker can give {owner} only an address of the network."
            low, high = family.gateway + 1, last_usable(subnet)
            report.add((*network.loc, *inner), what, why, f"write a free one from {low} to {high}")
        used.setdefault(address, owner)
    _check_room(network, family, report)


def _misplaced(address: Address, family: Family) -> str | None:
    """Return why a container cannot have this address, None where it can."""
    subnet = family.subnet
    if address not in subnet:
        return f"outside {subnet}"
    if address == family.gateway:
        return f"the gateway of {subnet}"
    if address == subnet.network_address:
        return f"the address of the subnet {subnet} itself"
    if int(address) > int(last_usable(subnet)):
        return f"the broadcast address of {subnet}"
    return None


def _check_room(network: NetworkDraft, family: Family, report: Report) -> None:
    spec, subnet = network.spec, family.subnet
    room = int(last_usable(subnet)) - int(subnet.network_address)
    ours = [True, spec.load_balancer is not None, spec.whoami is not None]
    needed = sum(ours) + len(spec.containers)
    if needed > room:
        what = f"{subnet} has room for {room} addresses, and {needed} are needed"
        why = "The gateway, the load balancer, whoami and each container need one."
        report.add((*network.loc, f"subnet_ipv{family.version}"), what, why, "write a larger one")
