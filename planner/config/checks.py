"""Checks beyond single values: inside a network, on a host, and between the hosts of a stack.

Each check yields the arguments of `Report.add`. Networks are complete (resolve.py), except for
values that could not be computed, such as a subnet of an exhausted pool: those are reported.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_interface
from itertools import product
from typing import TypeAlias

from planner.addresses import last_usable, overlaps
from planner.config import dns, names
from planner.config.report import Loc, Problems, did_you_mean, show
from planner.config.resolve import Draft, HostDraft, NetworkDraft, published
from planner.config.schema import (
    BALANCED,
    IPV6NAT,
    Acme,
    Baseline,
    Container,
    Dashboard,
    Engine,
    Family,
    Host,
    Ingress,
    LoadBalancer,
    Network,
    Ssh,
)
from planner.config.types import (
    BY_DOCKER,
    LOAD_BALANCER,
    VERSIONS,
    Address,
    PortRange,
    SecretRef,
    Subnet,
    Version,
    echo_address,
    why_no_hash,
)

Secrets: TypeAlias = Mapping[str, object] | None

_SSH_PORT = 22


def check(draft: Draft) -> Problems:
    """Yield everything that is wrong with `draft`, beginning with its hosts."""
    for host in draft.hosts:
        if host.host is not None:
            yield from _host(host, host.host, draft.secrets)
    for host, network in draft.networks():
        yield from _network(host, network, draft.secrets)
    for host in draft.hosts:
        for network in host.networks:
            if (balancer := network.network.load_balancer) is not None:
                yield from _balancer(network, balancer, draft.secrets)
        yield from _host_names(host)
        yield from _volumes(host)
        yield from _sockets(host)
    yield from _hosts(draft)
    for host in draft.hosts:
        yield from _network_names(host)
        yield from _container_names(host)
        for version in VERSIONS:
            yield from _overlaps(host, version)
    yield from _resource_names(draft)
    yield from _publics(draft)
    yield from dns.check(draft)
    yield from _echo(draft)


def _secret(value: object, secrets: Secrets, loc: Loc, why: str) -> Problems:
    """Check that a secret exists; `secrets` is None where they could not be read."""
    if secrets is None or not isinstance(value, SecretRef) or value.secret in secrets:
        return
    # What stands there is not shown: it may be the secret itself in place of its name.
    what = "refers to a secret that is not in wanbound:secrets"
    remedy = "add it: pulumi config set --secret --path wanbound:secrets.NAME"
    yield loc, what, why, f"{did_you_mean(value.secret, secrets)}{remedy}"


# --- a host itself: SSH, gateways, its own filter, Docker ----------------------------------------


def _host(draft: HostDraft, host: Host, secrets: Secrets) -> Problems:
    yield from _ssh(draft.loc, host.ssh, secrets)
    yield from _gateways(draft, host)
    yield from _guard(draft, host)
    if host.baseline is not None:
        yield from _sources(draft.loc, host.baseline, host.ssh)
        yield from _open(draft.loc, host.baseline, host.ssh.port)
    if host.engine is not None:
        yield from _engine(draft, host.engine)


def _ssh(loc: Loc, ssh: Ssh, secrets: Secrets) -> Problems:
    why = "There would be nothing to log in with."
    yield from _secret(ssh.key, secrets, (*loc, "ssh", "key"), why)
    yield from _secret(ssh.key_passphrase, secrets, (*loc, "ssh", "key_passphrase"), why)
    if ssh.jump is not None and (ssh.jump.address, ssh.jump.port) == (ssh.address, ssh.port):
        what = f"{ssh.jump.address} port {ssh.jump.port} is the host itself"
        why = "A jump host stands before the host; this one could be reached through itself alone."
        remedy = "write the jump host's address, or remove jump"
        yield (*loc, "ssh", "jump", "address"), what, why, remedy


def _gateways(draft: HostDraft, host: Host) -> Problems:
    for version in VERSIONS:
        gateway = host.wan.gateway(version)
        if gateway is None:
            continue
        loc: Loc = (*draft.loc, "wan", f"gateway_ipv{version}")
        remedy = "write the address of your provider's router"
        # On another port it may be the router, which forwards that to the host's SSH.
        if gateway == host.ssh.ip and host.ssh.port == _SSH_PORT:
            what = f"{gateway} is the host's own address, its ssh.address"
            yield loc, what, "The host would send all it sends to itself.", remedy
            continue
        for network in (each.network for each in draft.networks):
            family = _family(network, version)
            if gateway in (network.public(version), *network.extras(version)):
                what = f"{gateway} is the public address of network {network.name}"
                why = "The host would send all it sends to itself, and nobody could reach it."
                yield loc, what, why, remedy
                break
            if family is not None and gateway in family.subnet:
                what = f"{gateway} lies in {family.subnet}, the subnet of {network.name}"
                why = "The bridge would take the way to the router, and the host would be cut off."
                yield loc, what, why, f"{remedy}, or give the network another subnet"
                break


def _family(network: Network, version: Version) -> Family | None:
    return network.ipv4 if version == 4 else network.ipv6


def _guard(draft: HostDraft, host: Host) -> Problems:
    bare = [n.network.name for n in draft.networks if _versions(n.network) == [6]]
    if host.guard or not bare:
        return
    listed = f"network {bare[0]} has"
    if len(bare) > 1:
        listed = f"networks {', '.join(bare[:-1])} and {bare[-1]} have"
    why = (
        "Docker gives every network IPv4 inside, asked for or not, and only the guard stops it:"
        " packets would leave with a private source."
    )
    remedy = "remove guard: false and install nftables on the host, or write public_ipv4 there"
    yield (*draft.loc, "guard"), f"is false, and {listed} no public_ipv4", why, remedy


def _versions(network: Network) -> list[Version]:
    return [version for version, _ in network.publics]


def _sources(host: Loc, baseline: Baseline, ssh: Ssh) -> Problems:
    loc: Loc = (*host, "baseline", "ssh_from")
    for place, source in enumerate(baseline.ssh_from):
        if source in baseline.ssh_from[:place]:
            what, why = f"{source} is there twice", "One of the two was meant to be another."
            yield (*loc, place), what, why, "correct it, or remove it"
    if ssh.ip is not None and ssh.ip.version not in {s.version for s in baseline.ssh_from}:
        what = f"has no IPv{ssh.ip.version} range, and SSH goes to {ssh.ip}"
        why = f"Nobody could log in any more: over IPv{ssh.ip.version} no source is let in."
        remedy = f"add the IPv{ssh.ip.version} range that you (or your jump host) come from"
        yield loc, what, why, remedy


def _open(host: Loc, baseline: Baseline, ssh_port: int) -> Problems:
    seen: dict[str, list[PortRange]] = {"tcp": [], "udp": []}
    for place, entry in enumerate(baseline.open):
        loc: Loc = (*host, "baseline", "open", place, "ports")
        for ports in entry.ports:
            if entry.protocol == "tcp" and ssh_port in ports:
                what = f"{ports} opens port {ssh_port}, the host's SSH, to everybody"
                why = "ssh_from says who may log in, and would say it for nothing."
                remedy = f"remove {ssh_port}; where all may log in, write ssh_from: [0.0.0.0/0]"
                yield loc, what, why, f'{remedy} and "::/0"'
            for other in seen[entry.protocol]:
                first = max(other.first, ports.first)
                if first in other and first in ports:
                    what = f"{entry.protocol} port {first} is opened twice"
                    why = "One of the two was meant to be another."
                    yield loc, what, why, f"list {first} once"
                    break
            seen[entry.protocol].append(ports)


def _engine(host: HostDraft, engine: Engine) -> Problems:
    loc: Loc = (*host.loc, "engine")
    if not (engine.settings or engine.install or engine.dns):
        what = "sets no key of daemon.json and does not install"
        remedy = "add a key like registry_mirrors or install: true, or remove engine"
        yield loc, what, "There would be nothing to do.", remedy
    yield from _daemon(host, engine, (*loc, "settings"))
    cidr, loc = engine.fixed_cidr_v6, (*loc, "fixed_cidr_v6")
    if cidr is None:
        if engine.ipv6:
            why = (
                "Docker before 27 does not start with ipv6 alone, and a newer one takes a range of"
                " its own choice, another one on each host."
            )
            remedy = 'add a /64 of your own, like fixed_cidr_v6: "fd5c:1b2a:77f0:d0::/64"'
            yield loc, "is missing, and ipv6 is true", why, remedy
        return
    for network in (each.network for each in host.networks):
        if network.ipv6 is not None and overlaps(network.ipv6.subnet, cidr):
            what = f"{cidr} overlaps {network.ipv6.subnet}, the subnet of network {network.name}"
            why = "docker0 and the network's bridge would both have the way to these addresses."
            yield loc, what, why, "write another /64"
        elif network.public_ipv6 is not None and network.public_ipv6 in cidr:
            what = f"{cidr} has {network.public_ipv6} in it, the public address of network"
            why = "A container of the default bridge could be given it."
            remedy = "write a /64 of its own, in fd00::/8 where none is routed"
            yield loc, f"{what} {network.name}", why, remedy


_RANGES = ("bip", "bip6", "fixed-cidr")
"""Keys of daemon.json that give docker0 addresses."""


def _daemon(host: HostDraft, engine: Engine, loc: Loc) -> Problems:
    """Refuse keys of daemon.json that take a bridge or addresses of the host's networks."""
    networks = [each.network for each in host.networks]
    bridge = engine.settings.get("bridge")
    for network in networks:
        if bridge is not None and bridge in (network.bridge, names.socket_bridge(network.bridge)):
            what = f"has {show(bridge)} for bridge, which is the bridge of network {network.name}"
            why = "Docker would put every container without a network of its own there."
            yield loc, what, why, "write another bridge, or leave it out to get docker0"
            break
    ranges = [(key, engine.settings[key]) for key in _RANGES if key in engine.settings]
    pools = engine.settings.get("default-address-pools", ())
    ranges += [("default-address-pools", pool.get("base")) for pool in pools]
    for key, text in ranges:
        try:
            subnet = ip_interface(text).network
        except ValueError:
            continue  # Docker says what is wrong with it, when it is asked to check the file.
        why = "Docker would give the same addresses to others."
        if key == "default-address-pools":
            why = "Docker may give the same addresses to another network, made before this one."
        for network in networks:
            inside = [each for each in network.private_subnets if overlaps(each, subnet)]
            publics = [public for _, public in network.publics if public in subnet]
            if inside:
                what = f"has {subnet} for {key}, which overlaps {inside[0]} of network"
            elif publics:
                what = (
                    f"has {subnet} for {key}, and in it {publics[0]}, the public address of network"
                )
            else:
                continue
            yield loc, f"{what} {network.name}", why, f"write another range for {key}"
            break


# --- inside one network, whatever its neighbours are ---------------------------------------------


def _network(host: HostDraft, draft: NetworkDraft, secrets: Secrets) -> Problems:
    network, loc = draft.network, draft.loc
    if not network.publics:
        what = "has neither public_ipv4 nor public_ipv6"
        why = "Nothing could leave the network, since nothing leaves with another address."
        yield loc, what, why, "add public_ipv4, public_ipv6 or both"
        return
    yield from _halves(draft)
    yield from _mode(draft)
    wan = None if host.host is None else host.host.wan.interface
    for key, name in (("bridge", draft.written.bridge), ("name", network.name)):
        if name == wan:
            what = f"{name} is the host's wan interface"
            why = "A bridge of that name cannot be made, and the rules tell the two apart by name."
            yield (*loc, key), what, why, "choose another name"
            break
    for place, container in enumerate(network.containers):
        yield from _container((*loc, "containers", place), container, secrets)
    if network.mode == "nat":
        yield from _targets(draft)
        yield from _ports(draft)
    if network.whoami is not None and network.load_balancer is None:
        what, why = "is there, but the load balancer is off", "Whoami is reached through it."
        yield (*loc, "whoami"), what, why, "remove whoami, or load_balancer: false"
    elif network.whoami is not None and network.mode == "nat":
        entries = [each for each in network.ingress if each.protocol == "tcp"]
        if not any(each.to == LOAD_BALANCER for each in entries):
            what = "is there, but no TCP port leads to the load balancer"
            remedy = f"add {{ports: [80, 443], to: {LOAD_BALANCER}}} to ingress, or remove whoami"
            yield (*loc, "whoami"), what, "Whoami is reached through it.", remedy
    if host.host is not None and host.host.ssh.ip is not None:
        yield from _ssh_address(draft, host.host.ssh.ip, host.host.ssh.port)
    for family in network.families:
        yield from _addresses(host, draft, family)


def _halves(draft: NetworkDraft) -> Problems:
    """Refuse what belongs to a family that the network does not have."""
    network = draft.network
    for version in VERSIONS:
        if network.public(version) is not None:
            continue
        key = f"ipv{version}"
        why = f"The network has no IPv{version}: it has no public_{key}."
        places: list[tuple[Loc, object]] = [((f"subnet_{key}",), network.subnet(version))]
        if network.load_balancer is not None:
            places.append((("load_balancer", key), network.load_balancer.address(version)))
        for place, container in enumerate(network.containers):
            places.append((("containers", place, key), container.address(version)))
        for inner, value in places:
            if value is not None:
                what = f"{value} is given without public_{key}"
                yield (*draft.loc, *inner), what, why, f"add public_{key}, or remove this"


_REACHED = {
    "snat": "In mode snat nothing comes in from outside.",
    "masquerade": "In mode masquerade Docker publishes what containers name in ports.",
}


def _mode(draft: NetworkDraft) -> Problems:
    """Refuse what the network's mode does not do."""
    network, loc, mode = draft.network, draft.loc, draft.network.mode
    if network.subnet_ipv4 == BY_DOCKER:
        yield from _by_docker(draft)
    for place, container in enumerate(network.containers):
        if container.ports and mode == "snat":
            what = f"container {container.name} publishes ports, and the network's mode is snat"
            remedy = "remove ports, or write mode: nat"
            yield (*loc, "containers", place, "ports"), what, _REACHED["snat"], remedy
    if mode == "nat":
        yield from _default_ingress(draft)
        return
    if draft.written.ingress:
        remedy = "remove it, or write mode: nat"
        if mode == "masquerade":
            remedy = "write ports at the containers instead, or mode: nat"
        what = f"is there, and the network's mode is {mode}"
        yield (*loc, "ingress"), what, _REACHED[mode], remedy
    if mode == "snat" and network.load_balancer is not None:
        what = "is there, and the network's mode is snat"
        yield (*loc, LOAD_BALANCER), what, _REACHED["snat"], "remove it, or write mode: nat"
    if mode == "masquerade":
        yield from _published(draft)


def _by_docker(draft: NetworkDraft) -> Problems:
    """Refuse a subnet of Docker's choosing where something has to know it beforehand."""
    network, loc = draft.network, (*draft.loc, "subnet_ipv4")
    if network.mode != "snat":
        what = f"is {BY_DOCKER}, and the network's mode is {network.mode}"
        why = "What comes in is forwarded to addresses, and nobody would know them."
        yield loc, what, why, "write a subnet, or remove the key to get one, or write mode: snat"
    if network.public_ipv4 is None:
        what, why = f"is {BY_DOCKER}, without public_ipv4", "Nothing would go out of that subnet."
        yield loc, what, why, "add public_ipv4, or remove this"
    for place, container in enumerate(network.containers):
        if container.ipv4 is not None:
            what = f"{container.ipv4} is given, and Docker chooses the subnet"
            why = "Nobody knows whether the address will be in it."
            at = (*draft.loc, "containers", place, "ipv4")
            yield at, what, why, "remove it, or write the subnet_ipv4"


def _default_ingress(draft: NetworkDraft) -> Problems:
    """Refuse published ports beside the ingress that is there unasked, which has all TCP."""
    if "ingress" in draft.written.model_fields_set or draft.network.load_balancer is None:
        return
    for place, container in enumerate(draft.network.containers):
        if any(each.protocol == "tcp" for each in container.ports):
            what = f"container {container.name} has tcp ports, and all TCP is the load balancer's"
            why = "Without ingress the load balancer gets all of it."
            remedy = "write what it is to have, like ingress: [{ports: [80, 443]}], or"
            loc = (*draft.loc, "containers", place, "ports")
            yield loc, what, why, f"{remedy} load_balancer: false"


_MOST = 256
"""So many ports of a container may be published in mode masquerade."""


def _published(draft: NetworkDraft) -> Problems:
    """Refuse a port that is published twice: Docker would start the first container alone."""
    seen: dict[tuple[str, int], str] = {}
    if draft.network.load_balancer is not None:
        seen = {("tcp", port): "the load balancer" for port in BALANCED}
    for place, container in enumerate(draft.network.containers):
        loc = (*draft.loc, "containers", place, "ports")
        count = sum(each.ports.last - each.ports.first + 1 for each in container.ports)
        if count > _MOST:
            what = f"publishes {count} ports, and the network's mode is masquerade"
            why = "Docker starts a process for each port and address."
            yield loc, what, why, f"list at most {_MOST}, or write mode: nat"
            continue
        for each in container.ports:
            for port in range(each.ports.first, each.ports.last + 1):
                owner = seen.get((each.protocol, port))
                if owner is not None:
                    what = f"{each.protocol} port {port} is published by {owner} already"
                    why = "Docker binds a port of an address once, and this would not start."
                    yield loc, what, why, f"list {port} once in this network"
                    break
                seen[each.protocol, port] = container.name


def _container(loc: Loc, container: Container, secrets: Secrets) -> Problems:
    if container.name == LOAD_BALANCER:
        what, why = f"{LOAD_BALANCER} is a reserved name", "In ingress it means the load balancer."
        yield (*loc, "name"), what, why, "choose another name"
    targets: set[str] = set()
    for place, volume in enumerate(container.volumes):
        if volume.target in targets:
            what, why = f"{volume.target} is mounted twice", "Docker refuses such a container."
            yield (*loc, "volumes", place), what, why, "give each volume its own target"
        targets.add(volume.target)
    for name, value in container.environment.items():
        yield from _secret(value, secrets, (*loc, "environment", name), "It would be empty.")


def _entries(draft: NetworkDraft) -> Iterator[tuple[Loc, Ingress]]:
    """Yield each written ingress entry with its place, then what containers publish with theirs."""
    for place, entry in enumerate(draft.written.ingress):
        yield (*draft.loc, "ingress", place), entry
    for place, entry in published(draft.written):
        yield (*draft.loc, "containers", place), entry


def _targets(draft: NetworkDraft) -> Problems:
    network = draft.network
    containers = {container.name: container for container in network.containers}
    for loc, entry in _entries(draft):
        for place, address in enumerate(entry.addresses):
            if network.public(address.version) is None:
                key = f"public_ipv{address.version}"
                what = f"{address} is given without {key}"
                why = f"The network has no IPv{address.version}: it has no {key}."
                yield (*loc, "addresses", place), what, why, f"add {key}, or remove this"
        if entry.protocol == "udp" and entry.ports == "all":
            what, why = "all is for TCP only", "The host's own UDP (DNS, NTP answers) would go too."
            yield (*loc, "ports"), what, why, "list the UDP ports, like [3478]"
        if entry.to == LOAD_BALANCER:
            if network.load_balancer is None:
                what, why = "is the load balancer, which is off", "There is nowhere to forward to."
                remedy = "name a container of this network, or remove load_balancer: false"
                yield (*loc, "to"), what, why, remedy
            continue
        container = containers.get(entry.to)
        if container is None:
            hint = did_you_mean(entry.to, [LOAD_BALANCER, *containers])
            what = f"{entry.to} is no container of this network"
            remedy = f"{hint}write load_balancer, or the name of one of the network's containers"
            yield (*loc, "to"), what, "There is nowhere to forward to.", remedy
            continue
        versions = sorted({address.version for address in network.all_entrances(entry)})
        missing = [f"ipv{version}" for version in versions if container.address(version) is None]
        if missing:
            what = f"container {entry.to} has no fixed {' and no '.join(missing)} address"
            why = "A rule forwards to an address, and Docker may give the container any other."
            remedy = f"give {entry.to} {' and '.join(missing)}, or remove public_{missing[0]}"
            yield (*loc, "to" if "ingress" in loc else "ports"), what, why, remedy


def _ports(draft: NetworkDraft) -> Problems:
    """Refuse ports that two entries (or two items of one) forward: which one would be chance.

    Each address that something comes in by is for itself: one port may be forwarded from two.
    """
    entries = [(loc, entry, draft.network.all_entrances(entry)) for loc, entry in _entries(draft)]
    found = {address for *_, addresses in entries for address in addresses}
    for protocol, address in product(("tcp", "udp"), sorted(found, key=str)):
        here = [
            (place, loc, entry.ports)
            for place, (loc, entry, addresses) in enumerate(entries)
            if entry.protocol == protocol and address in addresses
        ]
        claims = sorted(
            (each.first, each.last, place, loc)
            for place, loc, ports in here
            if ports != "all"
            for each in ports
        )
        why = "Two entries cannot both have a port's traffic."
        if any(ports == "all" for *_, ports in here) and len(here) > 1:
            _, loc, _ = here[-1]
            what = f"more than one entry has {protocol} ports, and one of them has all"
            yield (*loc, "ports"), what, why, "list the ports of each entry instead of all"
            continue
        reach = 0
        for first, last, _, loc in claims:
            if first <= reach:
                what = f"{protocol} port {first} is forwarded twice in this network"
                yield (*loc, "ports"), what, why, f"list {first} once"
            reach = max(reach, last)


def _ssh_address(draft: NetworkDraft, address: Address, port: int) -> Problems:
    """Refuse to forward the host's own SSH, or to manage the address that SSH uses."""
    network = draft.network
    extra = address in (each for version in VERSIONS for each in network.extras(version))
    if not extra and address not in dict(network.publics).values():
        return
    key = "ingress" if extra else f"public_ipv{address.version}"
    whose = f"The address is the host's own: {address} is its ssh.address."
    kept = ""
    if network.manage_addresses:
        kept = " Set manage_addresses: false too, so that the address stays when the network goes."
    default: list[tuple[Loc, Ingress]] = []
    if "ingress" not in draft.written.model_fields_set:
        default = [(draft.loc, entry) for entry in network.ingress if entry.ports == "all"]
    if network.mode == "masquerade" and network.load_balancer is not None:
        balanced = tuple(PortRange(each, each) for each in BALANCED)
        default.append(((*draft.loc, LOAD_BALANCER), Ingress(ports=balanced)))
    for loc, entry in (*default, *_entries(draft)):
        if entry.protocol != "tcp" or address not in network.all_entrances(entry):
            continue
        if entry.ports == "all":
            what = f"{address} is the address that SSH uses, and all TCP to it is forwarded"
            why = f"It would take the host's own SSH, and nobody could log in any more. {whose}"
            remedy = f"use another address, or list the ingress ports without {port}.{kept}"
            yield (*draft.loc, key), what, why, remedy
            return
        if entry.has(port):
            what = f"forwards port {port} of {address}, which is the host's own SSH"
            why = f"Nobody could log in to the host any more. {whose}"
            if loc[-1] == LOAD_BALANCER:
                remedy = f"write load_balancer: false, or use another {key}.{kept}"
                yield loc, what, why, remedy
                return
            remedy = f"remove {port} from the list, or use another {key}.{kept}"
            yield (*loc, "ports"), what, why, remedy
            return
    if kept:
        what = f"{address} is the address that SSH uses, and wanbound would manage it"
        why = f"Removing the network would remove the address and cut SSH off. {whose}"
        yield (*draft.loc, key), what, why, "set manage_addresses: false for this network"


def _addresses(host: HostDraft, draft: NetworkDraft, family: Family) -> Problems:
    """Check the fixed addresses in a network's subnet, and that there is room for the rest."""
    network, subnet, key = draft.network, family.subnet, f"ipv{family.version}"
    for name, door in _doors(host):
        if door in subnet:
            what = f"{subnet} contains {door}, the host's {name}"
            why = "The bridge would take the way to it, and SSH would be cut off."
            yield (*draft.loc, f"subnet_{key}"), what, why, "choose another subnet"
    used: dict[Address, str] = {}
    places: list[tuple[Loc, str, Address | None]] = [
        (("load_balancer", key), "the load balancer", family.load_balancer)
    ]
    for place, container in enumerate(network.containers):
        owner, address = f"container {container.name}", container.address(family.version)
        places.append((("containers", place, key), owner, address))
    for inner, owner, address in places:
        if address is None:
            continue
        wrong = _misplaced(address, family)
        if wrong is None and address in used:
            wrong = f"the address of {used[address]}"
        if wrong is not None:
            why = f"It cannot be the address of {owner} as well."
            if address not in subnet:
                why = f"Docker can give {owner} only an address of the network."
            remedy = f"write a free one from {family.gateway + 1} to {last_usable(subnet)}"
            yield (*draft.loc, *inner), f"{address} is {wrong}", why, remedy
        used.setdefault(address, owner)
    room = int(last_usable(subnet)) - int(subnet.network_address)
    brought = [network.load_balancer, network.whoami]
    needed = 1 + sum(each is not None for each in brought) + len(network.containers)
    if needed > room:
        what = f"{subnet} has room for {room} addresses, and {needed} are needed"
        why = "The gateway, the load balancer, whoami and each container need one."
        yield (*draft.loc, f"subnet_{key}"), what, why, "write a larger one"


def _doors(host: HostDraft) -> Iterator[tuple[str, Address]]:
    """Yield the addresses of an SSH connection to a host, each with its key."""
    if host.host is None:
        return
    ssh = host.host.ssh
    if ssh.ip is not None:
        yield "ssh.address", ssh.ip
    if ssh.jump is not None and ssh.jump.ip is not None:
        yield "ssh.jump.address", ssh.jump.ip


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


# --- load balancers: names, certificates, secrets ------------------------------------------------


def _balancer(draft: NetworkDraft, balancer: LoadBalancer, secrets: Secrets) -> Problems:
    loc: Loc = (*draft.loc, "load_balancer")
    needs = f"add acme: {Acme.example}"
    if balancer.acme is not None:
        yield from _certificates(draft.network, balancer.acme, (*loc, "acme"), secrets)
    elif balancer.dashboard is not None:
        why = "The dashboard's password would cross the internet in clear."
        remedy = f"{needs}, or remove dashboard"
        yield (*loc, "dashboard"), "is there without acme", why, remedy
    if balancer.http3 and balancer.acme is None:
        why = "HTTP/3 is always encrypted and needs a certificate (RFC 9114)."
        yield (*loc, "http3"), "is on without acme", why, f"{needs}, or remove http3"
    if balancer.dashboard is not None:
        yield from _dashboard(draft, balancer, balancer.dashboard, secrets)
    elif balancer.domain:
        what = f"is {balancer.domain}, but there is no dashboard"
        why = "Nothing else of the load balancer's own would answer to that name."
        remedy = f"add dashboard: {Dashboard.example}, or remove domain"
        yield (*loc, "domain"), what, why, remedy
    own = {public for _, public in draft.network.publics}
    others = {
        to
        for address, to in _forwarded(draft.network, "udp", 443).items()
        if address in own and to != LOAD_BALANCER
    }
    if balancer.http3 and others:
        what = f"is on, but UDP port 443 is forwarded to {min(others)}"
        why = "HTTP/3 comes in there, and a port's traffic has one place to go."
        yield (*loc, "http3"), what, why, "remove http3, or 443 from that ingress entry"


def _certificates(network: Network, acme: Acme, loc: Loc, secrets: Secrets) -> Problems:
    port = 443 if acme.challenge == "tls-alpn" else 80
    for number, kind in ((443, "https"), (80, "http")):
        if number not in (443, port):
            continue
        # At whichever of its addresses: a name may lead to any of them.
        if LOAD_BALANCER in _forwarded(network, "tcp", number).values():
            continue
        what = f"is there, but TCP port {number} is not forwarded to the load balancer"
        why = f"Nobody could reach it by {kind} from outside"
        why += "; the certificate authority least of all." if number == port else "."
        remedy = f"add {{ports: [80, 443], to: {LOAD_BALANCER}}} to ingress, or remove acme"
        yield loc, what, why, remedy
        break
    if acme.ca_certificates is not None:
        at = (*loc, "ca_certificates")
        yield from _secret(acme.ca_certificates, secrets, at, "Traefik could not be started.")
        text = _clear(acme.ca_certificates, secrets)
        if text is not None and "-----BEGIN CERTIFICATE-----" not in text:
            what = f"is the secret {acme.ca_certificates.secret}, which holds no certificate"
            why = f"Traefik would not know {acme.ca_server} by it."
            yield (
                at,
                what,
                why,
                "put the PEM text of the CA, from its BEGIN to its END line, into it",
            )


def _dashboard(
    draft: NetworkDraft, balancer: LoadBalancer, dashboard: Dashboard, secrets: Secrets
) -> Problems:
    loc: Loc = (*draft.loc, "load_balancer")
    at = (*loc, "dashboard", "password_hash")
    yield from _secret(dashboard.password_hash, secrets, at, "Traefik could not be started.")
    value = _clear(dashboard.password_hash, secrets)
    reason = why_no_hash(value) if value is not None else None
    if reason is not None:
        what = f"is the secret {dashboard.password_hash.secret}, whose value {reason}"
        why = "Traefik would let nobody in, or everybody wonder why."
        remedy = (
            "put what stands behind the colon in `htpasswd -nbB USER PASSWORD` into it: it"
            " begins with $2y$ (bcrypt), $apr1$ or {SHA}"
        )
        yield at, what, why, remedy
    if not dashboard.domain:
        why = "The dashboard is a page of its own host name."
        remedy = "add domain: lb.mail.example.com, with a name whose DNS leads to this network"
        yield (*loc, "domain"), "is missing, and there is a dashboard", why, remedy
    elif balancer.domain and dashboard.domain != balancer.domain:
        what = f"is {dashboard.domain}, and the load balancer's own is {balancer.domain}"
        why = "The dashboard has one name."
        yield (*loc, "dashboard", "domain"), what, why, "remove one of the two"


def _forwarded(network: Network, protocol: str, port: int) -> dict[Address, str]:
    """Return to whom a port goes, by the public address that it comes in by."""
    return {
        address: entry.to
        for entry in network.ingress
        if entry.protocol == protocol and entry.has(port)
        for address in network.all_entrances(entry)
    }


def _clear(reference: SecretRef, secrets: Secrets) -> str | None:
    """Return a secret's value, None where it is still encrypted (`secure: …`) or missing."""
    value = None if secrets is None else secrets.get(reference.secret)
    return value if isinstance(value, str) else None


def _host_names(host: HostDraft) -> Problems:
    """Refuse a host name that two services of one host have."""
    owners: dict[str, str] = {}
    for network in host.networks:
        for loc, name, owner in _served(network):
            other = owners.setdefault(name, owner)
            if other != owner:
                what = f"{name} is the host name of {other}, too"
                why = "A name leads to one service; which of the two would answer is chance."
                yield loc, what, why, "give each service a name of its own"


def _served(draft: NetworkDraft) -> Iterator[tuple[Loc, str, str]]:
    """Yield each host name that the load balancer answers to: place, name, whose it is."""
    network, loc = draft.network, draft.loc
    balancer, written = network.load_balancer, draft.written.load_balancer
    if balancer is None:
        return
    if balancer.host_name and written is not None and written.dashboard is not None:
        inner: Loc = ("dashboard", "domain") if written.dashboard.domain else ("domain",)
        owner = f"the dashboard of network {network.name}"
        yield (*loc, "load_balancer", *inner), balancer.host_name, owner
    if network.whoami is not None:
        yield (*loc, "whoami", "domain"), network.whoami.domain, f"whoami of network {network.name}"
    for place, container in enumerate(network.containers):
        if container.labels.get(names.ROUTING_LABEL) == network.name:
            for label, name in names.host_names_of(container.labels):
                at = (*loc, "containers", place, "labels", label)
                yield at, name, f"container {container.name}"


def _volumes(host: HostDraft) -> Problems:
    owners: dict[str, str] = {}
    for draft in host.networks:
        balancer, name = draft.network.load_balancer, draft.network.name
        if balancer is None or balancer.acme is None:
            continue
        other = owners.setdefault(balancer.acme.volume, name)
        if other != name:
            what = f"{balancer.acme.volume} is where network {other} keeps its certificates"
            why = "Two Traefiks that write one file lose each other's certificates."
            loc = (*draft.loc, "load_balancer", "acme", "volume")
            yield loc, what, why, "give each network a volume of its own"


def _sockets(host: HostDraft) -> Problems:
    """Refuse networks whose names those between a load balancer and Docker's socket have."""
    proxied = [each.network for each in host.networks if _has_proxy(each.network)]
    networks = {names.socket_network(each.name): each.name for each in proxied}
    bridges = {names.socket_bridge(each.bridge): each.name for each in proxied}
    why = "Docker and the kernel know one thing by one name."
    for draft in host.networks:
        for key, mine, taken in (
            ("name", draft.network.name, networks),
            (_bridge_key(draft), draft.network.bridge, bridges),
        ):
            if mine in taken:
                what = f"{mine} is the network between {taken[mine]}'s load balancer and Docker"
                yield (*draft.loc, key), what, why, "choose another name"
                break


def _has_proxy(network: Network) -> bool:
    balancer = network.load_balancer
    return balancer is not None and balancer.docker_socket == "proxy"


def _bridge_key(draft: NetworkDraft) -> str:
    """Return the key that the bridge's name comes from."""
    return "bridge" if draft.written.bridge else "name"


# --- between the networks of a host, and between the hosts of a stack ----------------------------


def _hosts(draft: Draft) -> Problems:
    seen: set[str] = set()
    doors: dict[tuple[str, int, tuple[str, int] | None], str] = {}
    for place in draft.hosts:
        if place.host is None:
            continue
        name, ssh = place.host.name, place.host.ssh
        # Two jump hosts may each have a host of the same private address behind them.
        through = (ssh.jump.address, ssh.jump.port) if ssh.jump is not None else None
        # DNS knows no case; names in ~/.ssh/config, which have no dots as a rule, do.
        address = ssh.address.lower() if "." in ssh.address else ssh.address
        door = (address, ssh.port, through)
        if name in seen:
            why = "A host's resources are known by its name."
            yield (*place.loc, "name"), f"{name} is there twice", why, "rename one of the two"
        elif door in doors:
            what = f"{ssh.address} port {ssh.port} is where host {doors[door]} is reached"
            why = "It would be one host with two desired states, each undoing the other."
            remedy = "write the right address or port, or join the two hosts' networks"
            yield (*place.loc, "ssh", "address"), what, why, remedy
        seen.add(name)
        doors.setdefault(door, name)


def _network_names(host: HostDraft) -> Problems:
    seen: set[str] = set()
    bridges: dict[str, str] = {}
    for draft in host.networks:
        name, bridge = draft.network.name, draft.network.bridge
        if name in seen:
            what = f"{name} is the name of another network of this host"
            why = "Docker and Pulumi tell networks apart by name."
            yield (*draft.loc, "name"), what, why, "choose another name"
        elif bridge in bridges:
            what = f"{bridge} is the bridge of network {bridges[bridge]} of this host"
            why = "Two networks on one bridge would not be apart from each other."
            remedy = "give this network another bridge: name"
            yield (*draft.loc, _bridge_key(draft)), what, why, remedy
        seen.add(name)
        bridges.setdefault(bridge, name)


def _container_names(host: HostDraft) -> Problems:
    owners: dict[str, str] = {}
    if host.host is not None and host.host.ipv6nat is not None:
        owners[IPV6NAT] = "docker-ipv6nat's container on this host"
    for draft in host.networks:
        for name, owner in _brought(draft.network):
            other = owners.setdefault(name, owner)
            # Two networks of one name have been reported.
            if other != owner:
                what = f"is {draft.network.name}: {owner} is called {name}, and so is {other}"
                why = "Docker has one set of container names for the whole host."
                yield (*draft.loc, "name"), what, why, "rename one of the two networks"
    for draft in host.networks:
        for place, container in enumerate(draft.network.containers):
            if container.name in owners:
                what = f"{container.name} is the name of {owners[container.name]}"
                why = "Docker has one set of container names for the whole host."
                loc = (*draft.loc, "containers", place, "name")
                yield loc, what, why, "choose another name"
            owners.setdefault(container.name, f"a container in network {draft.network.name}")


def _brought(network: Network) -> Iterator[tuple[str, str]]:
    """Yield the name of each container that wanbound itself brings to a network, and what it is."""
    balancer = network.load_balancer
    if balancer is not None:
        yield balancer.name, f"the load balancer of network {network.name}"
        if _has_proxy(network):
            yield balancer.socket_name, f"the socket proxy of network {network.name}"
    if network.whoami is not None:
        yield network.whoami.name, f"whoami of network {network.name}"


def _resource_names(draft: Draft) -> Problems:
    """Refuse what Pulumi could not tell apart: it knows things by "host-network"."""
    owners: dict[tuple[str, str], tuple[str, str]] = {}
    for host, network in draft.networks():
        if host.host is None:
            continue
        own = host.host.name
        for kind, inner, name in _resources(network.network):
            full = f"{own}-{name}"
            other_host, other = owners.setdefault((kind, full), (own, name))
            # Two of one host have been reported, and two hosts of one name.
            if other_host != own:
                what = f"{full} is also {kind} {other} of host {other_host}"
                why = "Pulumi knows both by that name, and refuses a program in which two have one."
                yield (*network.loc, *inner), what, why, f"rename the {kind}, or a host"
                break


def _resources(network: Network) -> Iterator[tuple[str, Loc, str]]:
    """Yield kind, key and name of each thing that is named by the network or in it."""
    yield "network", ("name",), network.name
    for name, _ in _brought(network):
        yield "container", ("name",), name
    for place, container in enumerate(network.containers):
        yield "container", ("containers", place, "name"), container.name
    if _has_proxy(network):
        yield "network", ("name",), names.socket_network(network.name)


def _overlaps(host: HostDraft, version: Version) -> Problems:
    """Refuse each network whose subnet overlaps one that is before it in the list."""
    found = [
        (family.subnet, place)
        for place, draft in enumerate(host.networks)
        if (family := _family(draft.network, version)) is not None
    ]
    found.sort(key=lambda pair: (int(pair[0].network_address), pair[0].prefixlen))
    widest: tuple[Subnet, int] | None = None
    for here in found:
        if widest is not None and overlaps(here[0], widest[0]):
            (other, first), (subnet, second) = sorted((widest, here), key=lambda pair: pair[1])
            name, draft = host.networks[first].network.name, host.networks[second]
            # Two networks of one name have been reported, and their derived subnets are the same.
            if name != draft.network.name:
                what = f"{subnet} overlaps {other} of network {name}"
                why = "Docker refuses it, and rules could not tell the two networks apart."
                yield (*draft.loc, f"subnet_ipv{version}"), what, why, "choose a subnet of its own"
        if widest is None or int(here[0].broadcast_address) > int(widest[0].broadcast_address):
            widest = here


def _owned(draft: NetworkDraft) -> Iterator[tuple[Loc, Address]]:
    """Yield a network's public addresses, and those that something comes in by, with their place.

    Several entries of the ingress may be for one address; the first one is shown.
    """
    seen = set()
    for version, address in draft.written.publics:
        seen.add(address)
        yield (*draft.loc, f"public_ipv{version}"), address
    for place, entry in enumerate(draft.written.ingress):
        for item, address in enumerate(entry.addresses):
            if address not in seen:
                seen.add(address)
                yield (*draft.loc, "ingress", place, "addresses", item), address


def _publics(draft: Draft) -> Problems:
    """Refuse a public address that two networks have, or that is in the subnet of one."""
    owners: dict[Address, tuple[HostDraft, NetworkDraft]] = {}
    subnets = {
        (family.subnet.prefixlen, family.subnet.network_address): each.network.name
        for _, each in draft.networks()
        for family in each.network.families
    }
    lengths: dict[int, Iterable[int]] = {
        version: sorted({n for n, address in subnets if address.version == version})
        for version in VERSIONS
    }
    strangers = _strangers(draft)
    for host, network in draft.networks():
        for loc, address in _owned(network):
            for other_place, what in strangers.get(address, ()):
                if other_place is not host and address not in dict(_doors(host)).values():
                    why = "Two machines that both answer for an address take it from each other."
                    yield loc, f"{address} is {what}", why, "write an address of this host's own"
                    break
            if address in owners:
                other_host, other = owners[address]
                what = f"{address} is the public address of network {other.network.name}"
                why = "One address cannot be two networks' own: what comes in has one place to go."
                if other_host is not host:
                    known = f"number {other_host.loc[-1]}"
                    what += f" on host {other_host.host.name if other_host.host else known}"
                    why = "Two hosts that both answer for an address take it from each other."
                yield loc, what, why, "give each network an address of its own"
            owners.setdefault(address, (host, network))
            bits = address.max_prefixlen
            for length in lengths[address.version]:
                start = type(address)(int(address) >> (bits - length) << (bits - length))
                if (length, start) in subnets:
                    what = f"{address} lies in the subnet of network {subnets[length, start]}"
                    why = "It would be a container's address and the host's at once."
                    remedy = "write the address that the internet knows, or another subnet"
                    yield loc, what, why, remedy
                    break


def _strangers(draft: Draft) -> Mapping[Address, Sequence[tuple[HostDraft, str]]]:
    """Return the addresses that hosts and routers have for themselves: whose, and what it is."""
    found: dict[Address, list[tuple[HostDraft, str]]] = {}
    for place in draft.hosts:
        if place.host is None:
            continue
        host, jump = place.host, place.host.ssh.jump
        # Behind a jump host, or beside it, two hosts may have the same private address.
        if host.ssh.ip is not None and jump is None:
            found.setdefault(host.ssh.ip, []).append(
                (place, f"the ssh.address of host {host.name}")
            )
        for version in VERSIONS:
            gateway = host.wan.gateway(version)
            if gateway is not None and not gateway.is_link_local:
                found.setdefault(gateway, []).append((place, f"the gateway of host {host.name}"))
    return found


def _echo(draft: Draft) -> Problems:
    """Require an echo for each family in which somebody has to ask for an address.

    It has to be somebody else: asked from inside, an address of this stack's own would answer with
    what the way through the host makes of the caller, and not with what the world sees.
    """
    root = draft.root
    if root is None:
        return
    for version in VERSIONS:
        url = None if root.echo is None else root.echo.url(version)
        address = None if url is None else echo_address(url)
        if address is None:
            continue
        for _, place in draft.networks():
            whose, name = None, place.network.name
            if address in (public for _, public in _owned(place)):
                whose = f"is a public address of network {name}"
            for family in place.network.families:
                if address in family.subnet:
                    whose = f"lies in {family.subnet}, the subnet of network {name}"
            if whose is not None:
                why = "Only a server on the internet sees which address a packet leaves with."
                remedy = "name a server that is in no network of this stack"
                yield ("echo", f"ipv{version}"), f"{address} {whose}", why, remedy
                break
    askers: dict[Version, str] = {}
    for network in (each.network for _, each in draft.networks()):
        if root.verify or network.whoami is not None:
            for version, _ in network.publics:
                askers.setdefault(version, network.name)
    missing = [v for v in askers if root.echo is None or root.echo.url(v) is None]
    example = {4: '"http://198.51.100.1/"', 6: '"http://[2001:db8:ffff::1]/"'}
    asker = "wanbound:verify is on" if root.verify else "whoami has to ask for its address"
    why = "The check asks a server on the internet which address it sees."
    if root.echo is None and missing:
        keys = ", ".join(f"ipv{version}: {example[version]}" for version in missing)
        what = f"is missing, and {asker}"
        yield ("echo",), what, why, f"add echo: {{{keys}}} with servers that you trust"
        return
    for version in missing:
        what = f"is missing; {asker}, and network {askers[version]} has IPv{version}"
        remedy = f"add ipv{version}: {example[version]} with a server that you trust"
        yield ("echo", f"ipv{version}"), what, why, remedy
