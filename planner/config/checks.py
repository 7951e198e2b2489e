"""Checks beyond single values: inside a network, on a host, and between the hosts of a stack.

Each check yields the arguments of `Report.add`. Networks are complete (resolve.py), except for
values that could not be computed, such as a subnet without a seed: those are reported.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from typing import TypeAlias

from planner.addresses import container_address, default_whoami, last_usable, overlaps
from planner.config import dns, names, subnets, unique_names
from planner.config.daemonjson import ACCEPT_MARK, fwmark
from planner.config.report import Loc, Problems, did_you_mean, show
from planner.config.resolve import Draft, HostDraft, NetworkDraft, published
from planner.config.schema import (
    BALANCED,
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
from planner.config.subnets import POOLS, doors, engine_ranges
from planner.config.types import (
    BY_DOCKER,
    LETS_ENCRYPT,
    LOAD_BALANCER,
    SET_COMMAND,
    VERSIONS,
    Address,
    AddressPair,
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
            yield from _host(host, host.host, draft.mark, draft.secrets)
    for host, network in draft.networks():
        yield from _network(host, network, draft.secrets)
    for host in draft.hosts:
        for network in host.networks:
            if (balancer := network.network.load_balancer) is not None:
                yield from _balancer(network, balancer, draft.secrets)
        yield from _host_names(host)
    yield from _hosts(draft)
    for host in draft.hosts:
        yield from unique_names.check(host)
        for version in VERSIONS:
            yield from _overlaps(host, version)
    yield from subnets.check(draft)
    yield from _publics(draft)
    yield from dns.check(draft)
    yield from _echo(draft)


def _secret(value: object, secrets: Secrets, loc: Loc, why: str) -> Problems:
    """Check that a secret exists; `secrets` is None where they could not be read."""
    if secrets is None or not isinstance(value, SecretRef) or value.secret in secrets:
        return
    # The value is not shown: it may be the secret itself instead of its name.
    what = "refers to a secret that is not in wanbound:secrets"
    remedy = f"add it: {SET_COMMAND}"
    yield loc, what, why, f"{did_you_mean(value.secret, secrets)}{remedy}"


# --- a host itself: SSH, gateways, its own filter, Docker ----------------------------------------


def _host(draft: HostDraft, host: Host, mark: int, secrets: Secrets) -> Problems:
    yield from _ssh(draft.loc, host.ssh, secrets)
    yield from _gateways(draft, host)
    if host.baseline is not None:
        yield from _sources(draft.loc, host.baseline, host.ssh)
        yield from _open(draft.loc, host.baseline, host.ssh.port)
    if host.engine is not None:
        yield from _engine(draft, host.engine, mark)
    yield from _firewall(draft.loc, host)


def _firewall(loc: Loc, host: Host) -> Problems:
    """Check that the keys about a host's firewall fit together."""
    backend = None if host.engine is None else host.engine.firewall_backend
    if host.firewall == "iptables" and backend == "nftables":
        what = "is nftables, and firewall of the host is iptables"
        why = "Docker's own nftables rules would drop what wanbound's iptables rules accept."
        remedy = "set firewall: nftables for the host, or engine.firewall_backend: iptables"
        yield (*loc, "engine", "firewall_backend"), what, why, remedy
    if host.firewall == "nftables" and host.persist is not None:
        what = "is iptables-files, and firewall of the host is nftables"
        why = "The host would have no iptables rules to write to these files."
        remedy = "remove persist: wanbound loads its rules at boot by itself"
        yield (*loc, "persist"), what, why, remedy
    if backend == "nftables" and host.ipv6nat is not None:
        what = "is container, and engine.firewall_backend is nftables"
        why = "docker-ipv6nat copies Docker's iptables rules, and Docker would have none."
        remedy = "remove ipv6nat: Docker 29 has its own IPv6 NAT"
        yield (*loc, "ipv6nat"), what, why, remedy


def _ssh(loc: Loc, ssh: Ssh, secrets: Secrets) -> Problems:
    why = "wanbound could not log in to the host."
    yield from _secret(ssh.key, secrets, (*loc, "ssh", "key"), why)
    yield from _secret(ssh.key_passphrase, secrets, (*loc, "ssh", "key_passphrase"), why)
    if ssh.jump is not None and (ssh.jump.address, ssh.jump.port) == (ssh.address, ssh.port):
        what = f"{ssh.jump.address} port {ssh.jump.port} is the host itself"
        why = "SSH reaches the host through the jump host, so it must be another machine."
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
            yield loc, what, "The host's default route would lead to the host itself.", remedy
            continue
        for network in (each.network for each in draft.networks):
            family = _family(network, version)
            if gateway in (network.public(version), *network.extras(version)):
                what = f"{gateway} is the public address of network {network.name}"
                why = "The default route would lead to the host itself, and cut it off."
                yield loc, what, why, remedy
                break
            if family is not None and not family.derived and gateway in family.subnet:
                what = f"{gateway} lies in {family.subnet}, the subnet of {network.name}"
                why = "Packets to the router would go to the bridge, and the host would be cut off."
                yield loc, what, why, f"{remedy}, or give the network another subnet"
                break


def _family(network: Network, version: Version) -> Family | None:
    return network.ipv4 if version == 4 else network.ipv6


def _versions(network: Network) -> list[Version]:
    return [version for version, _ in network.publics]


def _sources(host: Loc, baseline: Baseline, ssh: Ssh) -> Problems:
    loc: Loc = (*host, "baseline", "ssh_from")
    for place, source in enumerate(baseline.ssh_from):
        if source in baseline.ssh_from[:place]:
            what, why = f"{source} is listed twice", "One of the two is probably a mistake."
            yield (*loc, place), what, why, "correct it, or remove it"
    if ssh.ip is not None and ssh.ip.version not in {s.version for s in baseline.ssh_from}:
        what = f"has no IPv{ssh.ip.version} range, but SSH connects to {ssh.ip}"
        why = f"The host would drop SSH from every IPv{ssh.ip.version} address and lock you out."
        remedy = f"add the IPv{ssh.ip.version} range that you (or your jump host) come from"
        yield loc, what, why, remedy


def _open(host: Loc, baseline: Baseline, ssh_port: int) -> Problems:
    seen: dict[str, list[PortRange]] = {"tcp": [], "udp": []}
    for place, entry in enumerate(baseline.open):
        loc: Loc = (*host, "baseline", "open", place, "ports")
        for ports in entry.ports:
            if entry.protocol == "tcp" and ssh_port in ports:
                what = f"{ports} opens port {ssh_port}, the host's SSH, to every address"
                why = "ssh_from limits who can log in, and would have no effect."
                remedy = f"remove {ssh_port}; to allow all, write ssh_from: [0.0.0.0/0,"
                yield loc, what, why, f'{remedy} "::/0"]'
            for other in seen[entry.protocol]:
                first = max(other.first, ports.first)
                if first in other and first in ports:
                    what = f"{entry.protocol} port {first} is opened twice"
                    why = "One of the two is probably a mistake."
                    yield loc, what, why, f"list {first} once"
                    break
            seen[entry.protocol].append(ports)


def _engine(host: HostDraft, engine: Engine, mark: int) -> Problems:
    loc: Loc = (*host.loc, "engine")
    if not (engine.settings or engine.install or engine.dns):
        what = "sets no key of daemon.json and does not install"
        remedy = "add a key like registry_mirrors or install: true, or remove engine"
        yield loc, what, "There would be nothing to do.", remedy
    if (backend := engine.firewall_backend) is not None:
        if engine.settings["firewall-backend"] != backend:
            what = f"sets another firewall-backend than engine.firewall_backend, {backend}"
            why = "One setting cannot have two values."
            yield (*loc, "settings"), what, why, "remove firewall-backend there"
        accepted = fwmark(mark)
        if backend == "nftables" and engine.settings[ACCEPT_MARK] != accepted:
            what = f"sets another {ACCEPT_MARK} than {accepted}"
            why = "Docker accepts one mark, which must be the one that wanbound's guard sets."
            yield (*loc, "settings"), what, why, f"remove {ACCEPT_MARK} there"
    yield from _daemon(host, engine, (*loc, "settings"))
    cidr, loc = engine.fixed_cidr_v6, (*loc, "fixed_cidr_v6")
    if cidr is None:
        if engine.ipv6:
            why = (
                "Docker before 27 does not start with ipv6 alone, and newer versions choose a"
                " range themselves, a different one on each host."
            )
            remedy = 'add a /64 of your own, like fixed_cidr_v6: "fd5c:1b2a:77f0:d0::/64"'
            yield loc, "is missing, and ipv6 is true", why, remedy
        return
    for network in (each.network for each in host.networks):
        family = network.ipv6
        if family is not None and not family.derived and overlaps(family.subnet, cidr):
            what = f"{cidr} overlaps {family.subnet}, the subnet of network {network.name}"
            why = "docker0 and the network's bridge would both have a route to these addresses."
            yield loc, what, why, "write another /64"
        elif network.public_ipv6 is not None and network.public_ipv6 in cidr:
            what = f"{cidr} contains {network.public_ipv6}, the public address of network"
            why = "Docker could give this address to a container of the default bridge."
            remedy = "write another /64, such as one in fd00::/8"
            yield loc, f"{what} {network.name}", why, remedy


def _daemon(host: HostDraft, engine: Engine, loc: Loc) -> Problems:
    """Refuse keys of daemon.json that take a bridge or addresses of the host's networks."""
    networks = [each.network for each in host.networks]
    bridge = engine.settings.get("bridge")
    for network in networks:
        if bridge is not None and bridge in (network.bridge, names.socket_bridge(network.bridge)):
            what = f"has {show(bridge)} for bridge, which is the bridge of network {network.name}"
            why = "Docker would connect every container that names no network to it."
            yield loc, what, why, "write another bridge, or leave it out to get docker0"
            break
    for key, subnet in engine_ranges(host):
        if key == "fixed-cidr-v6":
            continue  # Has been checked as fixed_cidr_v6.
        why = "Docker would give the same addresses to other containers."
        if key == POOLS:
            why = "Docker may give the same addresses to a network that it creates earlier."
        for network in networks:
            taken = [family.subnet for family in network.families if not family.derived]
            inside = [each for each in taken if overlaps(each, subnet)]
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


# --- inside one network -------------------------------------------------------------------------


def _network(host: HostDraft, draft: NetworkDraft, secrets: Secrets) -> Problems:
    network, loc = draft.network, draft.loc
    if not network.publics:
        what = "has neither public_ipv4 nor public_ipv6"
        why = "Its containers could not reach the internet: they use no other address."
        yield loc, what, why, "add public_ipv4, public_ipv6 or both"
        return
    yield from _halves(draft)
    yield from _mode(draft)
    for place, container in enumerate(network.containers):
        yield from _container((*loc, "containers", place), container, secrets)
    if network.mode == "nat":
        yield from _targets(draft)
        yield from _ports(draft)
        yield from _ranges(host, draft)
    if network.whoami is not None and network.load_balancer is None:
        what, why = "is set, but the load balancer is off", "The load balancer serves whoami."
        yield (*loc, "whoami"), what, why, "remove whoami, or load_balancer: false"
    elif network.whoami is not None and network.mode == "nat":
        entries = [each for each in network.ingress if each.protocol == "tcp"]
        if not any(each.to == LOAD_BALANCER for each in entries):
            what = "is set, but ingress forwards no TCP port to the load balancer"
            remedy = f"add {{ports: [80, 443], to: {LOAD_BALANCER}}} to ingress, or remove whoami"
            yield (*loc, "whoami"), what, "The load balancer serves whoami.", remedy
    if host.host is not None and host.host.ssh.ip is not None:
        yield from _ssh_address(draft, host.host.ssh.ip, host.host.ssh.port)
    for family in network.families:
        yield from _addresses(host, draft, family)


def _halves(draft: NetworkDraft) -> Problems:
    """Refuse what belongs to a family that the network does not have."""
    network = draft.network
    if network.public_ipv4 is not None and draft.written.inner_subnet is not None:
        what = f"{draft.written.inner_subnet} is set, and so is public_ipv4"
        why = "It is for the IPv4 that Docker gives to a network without public_ipv4."
        yield (*draft.loc, "inner_subnet"), what, why, "write subnet_ipv4 instead"
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
        for place, pair in _pairs(draft):
            places.append((("ingress", place, "to"), pair.address(version)))
        for inner, value in places:
            if value is not None:
                what = f"{value} is set without public_{key}"
                yield (*draft.loc, *inner), what, why, f"add public_{key}, or remove this"


_REACHED = {
    "snat": "In mode snat no connection comes in from outside.",
    "masquerade": "In mode masquerade Docker publishes the ports that containers list in ports.",
}


def _mode(draft: NetworkDraft) -> Problems:
    """Refuse keys that the network's mode does not support."""
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
        what = f"is set, and the network's mode is {mode}"
        yield (*loc, "ingress"), what, _REACHED[mode], remedy
    if mode == "snat" and network.load_balancer is not None:
        what = "is set, and the network's mode is snat"
        yield (*loc, LOAD_BALANCER), what, _REACHED["snat"], "remove it, or write mode: nat"
    if mode == "masquerade":
        yield from _published(draft)


def _by_docker(draft: NetworkDraft) -> Problems:
    """Refuse a subnet that Docker chooses where a rule or address needs it beforehand."""
    network, loc = draft.network, (*draft.loc, "subnet_ipv4")
    if network.mode != "snat":
        what = f"is {BY_DOCKER}, and the network's mode is {network.mode}"
        why = "The rules need addresses in the subnet, and Docker has not chosen it yet."
        yield loc, what, why, "write a subnet, or remove the key to get one, or write mode: snat"
    if network.public_ipv4 is None:
        what, why = f"is {BY_DOCKER}, without public_ipv4", "No packet could leave that subnet."
        yield loc, what, why, "add public_ipv4, or remove this"
    for place, container in enumerate(network.containers):
        if container.ipv4 is not None:
            what = f"{container.ipv4} is set, and Docker chooses the subnet"
            why = "The address may be outside the subnet that Docker chooses."
            at = (*draft.loc, "containers", place, "ipv4")
            yield at, what, why, "remove it, or write the subnet_ipv4"


def _default_ingress(draft: NetworkDraft) -> Problems:
    """Refuse published TCP ports beside the default ingress, which has all TCP."""
    if "ingress" in draft.written.model_fields_set or draft.network.load_balancer is None:
        return
    for place, container in enumerate(draft.network.containers):
        if any(each.protocol == "tcp" for each in container.ports):
            what = f"container {container.name} has tcp ports, and the load balancer gets all TCP"
            why = "Without ingress the load balancer gets every TCP port."
            remedy = "list the load balancer's ports, like ingress: [{ports: [80, 443]}], or"
            loc = (*draft.loc, "containers", place, "ports")
            yield loc, what, why, f"{remedy} load_balancer: false"


_MOST = 256
"""Limit of the published ports of a container in mode masquerade."""


def _published(draft: NetworkDraft) -> Problems:
    """Refuse a port that is published twice: Docker would start the first container alone."""
    seen: dict[tuple[str, int], str] = {}
    if draft.network.load_balancer is not None:
        seen = {("tcp", port): "the load balancer" for port in BALANCED}
        if draft.network.load_balancer.http3:
            seen["udp", BALANCED[-1]] = "the load balancer"
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
                    why = "A port of an address can be bound once, so this one would not start."
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


def _pairs(draft: NetworkDraft) -> Iterator[tuple[int, AddressPair]]:
    """Yield the addresses that ingress entries forward to, each with the entry's place."""
    for place, entry in enumerate(draft.written.ingress):
        if isinstance(entry.to, AddressPair):
            yield place, entry.to


def _one_container(draft: NetworkDraft) -> Problems:
    """Refuse an address that has different partners in two pairs."""
    seen: dict[Address, tuple[int, AddressPair]] = {}
    for place, pair in _pairs(draft):
        for address in pair.known:
            first, other = seen.setdefault(address, (place, pair))
            if other != pair:
                what = f"{address} is in {pair} here, and in {other} in ingress[{first}]"
                why = "Both entries mean one container, and it has one address of each family."
                yield (*draft.loc, "ingress", place, "to"), what, why, "write the same pair in both"
                break


def _targets(draft: NetworkDraft) -> Problems:
    network = draft.network
    yield from _one_container(draft)
    containers = {container.name: container for container in network.containers}
    for loc, entry in _entries(draft):
        for place, address in enumerate(entry.addresses):
            if network.public(address.version) is None:
                key = f"public_ipv{address.version}"
                what = f"{address} is set without {key}"
                why = f"The network has no IPv{address.version}: it has no {key}."
                yield (*loc, "addresses", place), what, why, f"add {key}, or remove this"
        if entry.protocol == "udp" and entry.ports == "all":
            what, why = "all is for TCP only", "DNS and NTP replies to the host would go there."
            yield (*loc, "ports"), what, why, "list the UDP ports, like [3478]"
        if entry.to == LOAD_BALANCER:
            if network.load_balancer is None:
                what, why = "is the load balancer, which is off", "The ports have no target."
                remedy = "name a container of this network, or remove load_balancer: false"
                yield (*loc, "to"), what, why, remedy
            continue
        versions = sorted({address.version for address in network.all_entrances(entry)})
        if isinstance(entry.to, AddressPair):
            lacking = [f"ipv{each}" for each in versions if entry.to.address(each) is None]
            if lacking:
                what = f"is {entry.to}, without {lacking[0]}"
                why = f"Connections to the public {lacking[0]} address are forwarded, too."
                remedy = f"add {lacking[0]}: with the container's address in this network"
                yield (*loc, "to"), what, why, remedy
            continue
        container = containers.get(entry.to)
        if container is None:
            hint = did_you_mean(entry.to, [LOAD_BALANCER, *containers])
            what = f"{entry.to} is no container of this network"
            remedy = (
                f"{hint}write load_balancer, the name of one of the network's containers, or the"
                " fixed addresses {ipv4, ipv6} of one that compose starts"
            )
            yield (*loc, "to"), what, "The ports have no target.", remedy
            continue
        missing = [f"ipv{version}" for version in versions if container.address(version) is None]
        if missing:
            what = f"container {entry.to} has no fixed {' and no '.join(missing)} address"
            why = "A rule forwards to one address, and Docker may give the container another."
            remedy = f"give {entry.to} {' and '.join(missing)}, or remove public_{missing[0]}"
            yield (*loc, "to" if "ingress" in loc else "ports"), what, why, remedy


def _ports(draft: NetworkDraft) -> Problems:
    """Refuse ports that two entries (or two items of one) forward: the target would be ambiguous.

    Each public address is checked separately: the same port of two addresses may be forwarded.
    """
    entries = [(loc, entry, draft.network.all_entrances(entry)) for loc, entry in _entries(draft)]
    found = {address for *_, addresses in entries for address in addresses}
    for protocol, address in product(("tcp", "udp"), sorted(found, key=str)):
        here = [
            (place, loc, entry.ports)
            for place, (loc, entry, addresses) in enumerate(entries)
            if entry.protocol == protocol and address in addresses
        ]
        ranged = any(entry.sources for _, entry, addresses in entries if address in addresses)
        claims = sorted(
            (each.first, each.last, place, loc)
            for place, loc, ports in here
            if ports != "all"
            for each in ports
        )
        why = "A port can be forwarded to one place only."
        if any(ports == "all" for *_, ports in here) and len(here) > 1:
            _, loc, _ = here[-1]
            what = f"more than one entry has {protocol} ports, and one of them has all"
            yield (*loc, "ports"), what, why, "list the ports of each entry instead of all"
            continue
        reach = 0
        for first, last, _, loc in claims:
            if first <= reach:
                what = f"{protocol} port {first} is forwarded twice in this network"
                remedy = f"list {first} once{', with all ranges in its from' if ranged else ''}"
                yield (*loc, "ports"), what, why, remedy
            reach = max(reach, last)


def _ranges(host: HostDraft, draft: NetworkDraft) -> Problems:
    """Refuse ranges of `from` in which no caller can be seen."""
    network = draft.network
    for place, entry in enumerate(draft.written.ingress):
        loc: Loc = (*draft.loc, "ingress", place, "from")
        versions = {address.version for address in network.all_entrances(entry)}
        for source in entry.sources:
            family = f"IPv{source.version}"
            if source.version not in versions:
                what = f"has {source}, and these ports have no public {family} address"
                why = f"No {family} packet comes to them, so the range would have no effect."
                remedy = f"remove the range, or add public_ipv{source.version} to the network"
                if entry.addresses:
                    remedy = f"remove the range, or add an {family} address to addresses"
                yield loc, what, why, remedy
            for other in (each.network for each in host.networks):
                own = other.ipv4 if source.version == 4 else other.ipv6
                if own is None or own.derived or source.prefixlen < own.subnet.prefixlen:
                    continue
                if overlaps(source, own.subnet):
                    what = f"has {source}, in {own.subnet}, the subnet of network {other.name}"
                    why = f"Containers of {other.name} are seen there with {own.public}."
                    yield loc, what, why, f"write {own.public} instead"


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
        kept = " Set manage_addresses: false too, so that the host keeps the address."
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
            why = f"SSH to the host would be forwarded, too, and lock you out. {whose}"
            remedy = f"use another address, or list the ingress ports without {port}.{kept}"
            yield (*draft.loc, key), what, why, remedy
            return
        if entry.has(port):
            what = f"forwards port {port} of {address}, which is the host's own SSH"
            why = f"You could no longer log in to the host. {whose}"
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
    for name, door in doors(host):
        if door in subnet and not family.derived:
            what = f"{subnet} contains {door}, the host's {name}"
            why = "Packets to it would go to the bridge, and SSH would be cut off."
            yield (*draft.loc, f"subnet_{key}"), what, why, "choose another subnet"
    yield from _inside(draft, family)
    room = int(last_usable(subnet)) - int(subnet.network_address)
    brought = [network.load_balancer, network.whoami]
    needed = 1 + sum(each is not None for each in brought) + len(network.containers)
    needed += sum(pair.address(family.version) is not None for pair in network.undeclared)
    if needed > room:
        what = f"{subnet} has room for {room} addresses, and {needed} are needed"
        why = "The gateway, the load balancer, whoami and each container need one."
        yield (*draft.loc, f"subnet_{key}"), what, why, "write a larger one"


def _inside(draft: NetworkDraft, family: Family) -> Problems:
    """Refuse addresses that are unusable or that two containers have; offer a free address."""
    network, subnet, key = draft.network, family.subnet, f"ipv{family.version}"
    places: list[tuple[Loc, str, Address | None]] = [
        (("load_balancer", key), "the load balancer", family.load_balancer)
    ]
    if network.whoami is not None:
        places.append((("whoami",), "whoami", default_whoami(subnet)))
    derived: list[tuple[Loc, str, Address | None]] = []
    for place, container in enumerate(network.containers):
        at: Loc = ("containers", place, key)
        owner, written = f"container {container.name}", container.address(family.version)
        if written is not None:
            places.append((at, owner, written))
        else:
            derived.append((at, owner, container_address(subnet, container.name)))
    outside: dict[Address, int] = {}
    for number, pair in _pairs(draft):
        if (given := pair.address(family.version)) is not None:
            outside.setdefault(given, number)
    for given, number in outside.items():
        places.append((("ingress", number, "to"), f"the container of ingress[{number}]", given))
    used: dict[Address, str] = {}
    met: list[tuple[Loc, str, Address, str]] = []
    # Written addresses come first, so that the error is at the derived one.
    for inner, owner, address in (*places, *derived):
        if address is None:
            continue
        wrong = _misplaced(address, family)
        if wrong is None and address in used:
            wrong = f"the address of {used[address]}"
        # Two containers with one name derive the same; the name is reported.
        if wrong is not None and ((inner, owner, address) in places or used.get(address) != owner):
            met.append((inner, owner, address, wrong))
        used.setdefault(address, owner)
    for inner, owner, address, wrong in met:
        free = _free_address(family, used)
        what, why = f"{address} is {wrong}", f"It cannot be the address of {owner} as well."
        if (inner, owner, address) in derived:
            what = f"is missing, and the derived address {what}"
            why += " A derived address is never moved: that would recreate the container."
            text = f'"{free}"' if family.version == 6 else str(free)
            remedy = f"write {key}: {text}" if free is not None else "write a larger subnet"
        else:
            if address not in subnet:
                why = f"Docker can give {owner} only an address of the network."
            remedy = f"write a free one from {family.gateway + 1} to {last_usable(subnet)}"
            remedy += f", like {free}" if free is not None else ""
            if inner[-1] == "to" and used.get(address, owner) != owner:
                remedy = f"name that container in to, if you mean that one, or {remedy}"
        if free is not None:
            used[free] = owner
        yield (*draft.loc, *inner), what, why, remedy


def _free_address(family: Family, used: Collection[Address]) -> Address | None:
    """Return an address that nothing has, in the upper half if possible."""
    subnet = family.subnet
    size = min(subnet.num_addresses, 1 << 16)
    for offset in chain(range(size // 2, size), range(1, size // 2)):
        address = subnet.network_address + offset
        if address not in used and _misplaced(address, family) is None:
            return address
    return None


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
        why = "The dashboard's password would be sent over the internet unencrypted."
        remedy = f"{needs}, or remove dashboard"
        yield (*loc, "dashboard"), "is set without acme", why, remedy
    if balancer.docker_socket == "direct" and balancer.socket_subnet is not None:
        why = "It is the subnet of the socket proxy, and there would be no proxy."
        remedy = "remove it, or docker_socket: direct"
        yield (*loc, "socket_subnet"), "is set with docker_socket: direct", why, remedy
    if balancer.http3 and balancer.acme is None:
        why = "HTTP/3 is always encrypted and needs a certificate (RFC 9114)."
        yield (*loc, "http3"), "is on without acme", why, f"{needs}, or remove http3"
    if balancer.dashboard is not None:
        yield from _dashboard(draft, balancer, balancer.dashboard, secrets)
    elif balancer.domain:
        what = f"is {balancer.domain}, but there is no dashboard"
        why = "domain is the host name of the dashboard, so it would have no effect."
        remedy = f"add dashboard: {Dashboard.example}, or remove domain"
        yield (*loc, "domain"), what, why, remedy
    served = _forwarded(draft.network, "tcp", 443)
    others = {
        to
        for address, to in _forwarded(draft.network, "udp", 443).items()
        if served.get(address) == LOAD_BALANCER and to != LOAD_BALANCER
    }
    if balancer.http3 and others:
        what = f"is on, but UDP port 443 is forwarded to {min(others)}"
        why = "HTTP/3 uses that port, and a port can be forwarded to one place only."
        yield (*loc, "http3"), what, why, "remove http3, or 443 from that ingress entry"
    # Also the entry that resolve.py adds for HTTP/3 has no ranges.
    if balancer.http3 and _ranged(draft.network, "tcp", 443) - _ranged(draft.network, "udp", 443):
        what = "is on, and `from` in ingress limits TCP port 443 but not UDP port 443"
        why = "HTTP/3 comes in by UDP, so every source would reach the load balancer."
        remedy = "add {protocol: udp, ports: [443], from: …} with the same ranges, or remove http3"
        yield (*loc, "http3"), what, why, remedy


def _certificates(network: Network, acme: Acme, loc: Loc, secrets: Secrets) -> Problems:
    port = 443 if acme.challenge == "tls-alpn" else 80
    for number, kind in ((443, "https"), (80, "http")):
        # In mode masquerade Docker publishes both ports.
        if number not in (443, port) or network.mode == "masquerade":
            continue
        # At any of its addresses: a name may lead to any of them.
        if LOAD_BALANCER in _forwarded(network, "tcp", number).values():
            continue
        what = f"is set, but TCP port {number} is not forwarded to the load balancer"
        why = f"No {kind} request would reach it from outside"
        why += ", and no certificate would be issued." if number == port else "."
        remedy = f"add {{ports: [80, 443], to: {LOAD_BALANCER}}} to ingress, or remove acme"
        yield loc, what, why, remedy
        break
    if acme.ca_server == LETS_ENCRYPT and _ranged(network, "tcp", port):
        what = f"is set, and `from` in ingress limits TCP port {port}"
        why = "Let's Encrypt validates a name at that port, and does not say from which addresses."
        other = "http" if port == 443 else "tls-alpn"
        remedy = (
            f"remove from there, write challenge: {other}, or set ca_server to a CA of your own"
        )
        yield loc, what, why, remedy
    if acme.ca_certificates is not None:
        at = (*loc, "ca_certificates")
        yield from _secret(acme.ca_certificates, secrets, at, "Traefik could not be started.")
        text = _clear(acme.ca_certificates, secrets)
        if text is not None and "-----BEGIN CERTIFICATE-----" not in text:
            what = f"is the secret {acme.ca_certificates.secret}, which holds no certificate"
            why = f"Traefik could not verify the certificate of {acme.ca_server}."
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
        why = "Traefik would reject every login."
        remedy = (
            "store what `htpasswd -nbB USER PASSWORD` prints after the colon in it: it"
            " begins with $2y$ (bcrypt), $apr1$ or {SHA}"
        )
        yield at, what, why, remedy
    if not dashboard.domain:
        why = "The dashboard needs its own host name."
        remedy = "add domain: lb.mail.example.com, with a name whose DNS leads to this network"
        yield (*loc, "domain"), "is missing, and dashboard is set", why, remedy
    elif balancer.domain and dashboard.domain != balancer.domain:
        what = f"is {dashboard.domain}, and the load balancer's own is {balancer.domain}"
        why = "The dashboard has one host name."
        yield (*loc, "dashboard", "domain"), what, why, "remove one of the two"


def _forwarded(network: Network, protocol: str, port: int) -> dict[Address, str]:
    """Return the target of a port by public address."""
    found = network.forwarding(network.ingress, protocol, port)
    return {address: str(entry.to) for address, entry in found}


def _ranged(network: Network, protocol: str, port: int) -> set[Address]:
    """Return the public addresses at which a port of the load balancer has ranges of sources."""
    found = network.forwarding(network.ingress, protocol, port)
    return {address for address, entry in found if entry.to == LOAD_BALANCER and entry.sources}


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
                why = "Only one service can answer to a name, and it is not defined which."
                yield loc, what, why, "give each service a name of its own"


def _served(draft: NetworkDraft) -> Iterator[tuple[Loc, str, str]]:
    """Yield each host name that the load balancer answers to: place, name, owner."""
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
        # DNS ignores case; ~/.ssh/config does not, and its names usually have no dots.
        address = ssh.address.lower() if "." in ssh.address else ssh.address
        door = (address, ssh.port, through)
        if name in seen:
            why = "Pulumi identifies a host's resources by its name."
            yield (*place.loc, "name"), f"{name} is used twice", why, "rename one of the two"
        elif door in doors:
            what = f"{ssh.address} port {ssh.port} is where host {doors[door]} is reached"
            why = "Both entries are one host, and each would undo the other's changes."
            remedy = "write the right address or port, or join the two hosts' networks"
            yield (*place.loc, "ssh", "address"), what, why, remedy
        seen.add(name)
        doors.setdefault(door, name)


def _overlaps(host: HostDraft, version: Version) -> Problems:
    """Refuse each network whose written subnet overlaps one that is before it in the list."""
    found = [
        (family.subnet, place)
        for place, draft in enumerate(host.networks)
        if (family := _family(draft.network, version)) is not None and not family.derived
    ]
    found.sort(key=lambda pair: (int(pair[0].network_address), pair[0].prefixlen))
    widest: tuple[Subnet, int] | None = None
    for here in found:
        if widest is not None and overlaps(here[0], widest[0]):
            (other, first), (subnet, second) = sorted((widest, here), key=lambda pair: pair[1])
            name, draft = host.networks[first].network.name, host.networks[second]
            what = f"{subnet} overlaps {other} of network {name}"
            why = "Docker refuses it, and rules could not tell the two networks apart."
            yield (*draft.loc, f"subnet_ipv{version}"), what, why, "choose a subnet of its own"
        if widest is None or int(here[0].broadcast_address) > int(widest[0].broadcast_address):
            widest = here


def _owned(draft: NetworkDraft) -> Iterator[tuple[Loc, Address]]:
    """Yield a network's public addresses, and those of its ingress, with their place.

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
        if not family.derived
    }
    lengths: dict[int, Iterable[int]] = {
        version: sorted({n for n, address in subnets if address.version == version})
        for version in VERSIONS
    }
    strangers = _strangers(draft)
    for host, network in draft.networks():
        for loc, address in _owned(network):
            for other_place, what in strangers.get(address, ()):
                if other_place is not host and address not in dict(doors(host)).values():
                    why = "Two machines with one address take each other's packets."
                    yield loc, f"{address} is {what}", why, "write an address of this host's own"
                    break
            if address in owners:
                other_host, other = owners[address]
                what = f"{address} is the public address of network {other.network.name}"
                why = "An address can belong to one network only."
                if other_host is not host:
                    known = f"number {other_host.loc[-1]}"
                    what += f" on host {other_host.host.name if other_host.host else known}"
                    why = "Two hosts with one address take each other's packets."
                yield loc, what, why, "give each network an address of its own"
            owners.setdefault(address, (host, network))
            bits = address.max_prefixlen
            for length in lengths[address.version]:
                start = type(address)(int(address) >> (bits - length) << (bits - length))
                if (length, start) in subnets:
                    what = f"{address} lies in the subnet of network {subnets[length, start]}"
                    why = "A container and the host would have the same address."
                    remedy = "write an address that your provider routes here, or another subnet"
                    yield loc, what, why, remedy
                    break


def _strangers(draft: Draft) -> Mapping[Address, Sequence[tuple[HostDraft, str]]]:
    """Return the addresses of hosts and routers: the host, and what the address is."""
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
    """Require an IP-echo service (`echo`) for each family in which `verify` or `whoami` needs one.

    It must be outside of this stack. A service inside the stack would see the caller's address as
    translated within the host, and not as the internet sees it.
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
                if address in family.subnet and not family.derived:
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
        yield ("echo",), what, why, f"add wanbound:echo: {{{keys}}} with servers that you trust"
        return
    for version in missing:
        what = f"is missing; {asker}, and network {askers[version]} has IPv{version}"
        remedy = f"add ipv{version}: {example[version]} with a server that you trust"
        yield ("echo", f"ipv{version}"), what, why, remedy
