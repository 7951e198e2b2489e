"""What must hold between the networks of a host, and between the hosts of a stack."""

from collections.abc import Iterator
from typing import TypeAlias

from planner.addresses import overlaps
from planner.config.model import IPV6NAT, Address, Subnet, Version
from planner.config.names import (
    load_balancer_name,
    socket_network,
    socket_proxy,
    whoami_name,
)
from planner.config.report import Loc, Report
from planner.config.shape import VERSIONS, HostDraft, NetworkDraft, StackDraft

Door: TypeAlias = tuple[str, int, tuple[str, int] | None]
"""Address and port of a host's SSH, and those of the jump host before it."""


def check_stack(draft: StackDraft, report: Report) -> None:
    """Report what is wrong between the parts of `draft`."""
    _check_hosts(draft, report)
    for host in draft.hosts:
        _check_network_names(host, report)
        _check_container_names(host, report)
        for version in VERSIONS:
            _check_overlaps(host, version, report)
    _check_resource_names(draft, report)
    _check_public(draft, report)
    _check_echo(draft, report)


def _check_hosts(draft: StackDraft, report: Report) -> None:
    names: dict[str, str] = {}
    doors: dict[Door, str] = {}
    for host in draft.hosts:
        if host.spec is None:
            continue
        name, ssh = host.spec.name, host.spec.ssh
        # Two jump hosts may each have a host of the same private address behind them.
        through = (ssh.jump.address, ssh.jump.port) if ssh.jump is not None else None
        door = (ssh.address, ssh.port, through)
        if name in names:
            why = "A host's resources are known by its name."
            report.add((*host.loc, "name"), f"{name} is there twice", why, "rename one of the two")
        elif door in doors:
            other = doors[door]
            what = f"{ssh.address} port {ssh.port} is where host {other} is reached"
            why = "It would be one host with two desired states, each undoing the other."
            remedy = "write the right address or port, or join the two hosts' networks"
            report.add((*host.loc, "ssh", "address"), what, why, remedy)
        names.setdefault(name, name)
        doors.setdefault(door, name)


def _check_network_names(host: HostDraft, report: Report) -> None:
    names: set[str] = set()
    bridges: dict[str, str] = {}
    for network in host.networks:
        name, bridge = network.spec.name, network.bridge
        if name in names:
            what = f"{name} is the name of another network of this host"
            why = "Docker and Pulumi tell networks apart by name."
            report.add((*network.loc, "name"), what, why, "choose another name")
        elif bridge in bridges:
            key = "bridge" if network.spec.bridge is not None else "name"
            what = f"{bridge} is the bridge of network {bridges[bridge]} of this host"
            why = "Two networks on one bridge would not be apart from each other."
            report.add((*network.loc, key), what, why, "give this network another bridge: name")
        names.add(name)
        bridges.setdefault(bridge, name)


def _check_container_names(host: HostDraft, report: Report) -> None:
    owners: dict[str, str] = {}
    if host.spec is not None and host.spec.ipv6nat is not None:
        owners[IPV6NAT] = "docker-ipv6nat's container on this host"
    for network in host.networks:
        name = network.spec.name
        if network.spec.load_balancer is not None:
            owners.setdefault(load_balancer_name(name), f"the load balancer of network {name}")
        if network.spec.whoami is not None:
            owners.setdefault(whoami_name(name), f"whoami of network {name}")
    for network in host.networks:
        for place, container in enumerate(network.spec.containers):
            owner = owners.get(container.name)
            if owner is not None:
                what = f"{container.name} is the name of {owner}"
                why = "Docker has one set of container names for the whole host."
                loc = (*network.loc, "containers", place, "name")
                report.add(loc, what, why, "choose another name")
            owners.setdefault(container.name, f"a container in network {network.spec.name}")


def _check_resource_names(draft: StackDraft, report: Report) -> None:
    """Refuse what Pulumi could not tell apart: it knows things by "host-network"."""
    owners: dict[tuple[str, str], tuple[str, str]] = {}
    why = "Pulumi knows both by that name, and refuses a program in which two have one."
    for host, network in draft.networks():
        if host.spec is None:
            continue
        own = host.spec.name
        names: list[tuple[str, Loc, str]] = [("network", ("name",), network.spec.name)]
        names += [("container", loc, name) for loc, name in _container_names(network)]
        if _has_proxy(network):
            names.append(("network", ("name",), socket_network(network.spec.name)))
        for kind, inner, name in names:
            full = f"{own}-{name}"
            other_host, other = owners.setdefault((kind, full), (own, name))
            # Two of one host have been reported, and two hosts of one name.
            if other_host != own:
                what = f"{full} is also {kind} {other} of host {other_host}"
                report.add((*network.loc, *inner), what, why, f"rename the {kind}, or a host")
                break


def _container_names(network: NetworkDraft) -> Iterator[tuple[Loc, str]]:
    spec = network.spec
    if spec.load_balancer is not None:
        yield ("name",), load_balancer_name(spec.name)
    if _has_proxy(network):
        yield ("name",), socket_proxy(spec.name)
    if spec.whoami is not None:
        yield ("name",), whoami_name(spec.name)
    for place, container in enumerate(spec.containers):
        yield ("containers", place, "name"), container.name


def _has_proxy(network: NetworkDraft) -> bool:
    balancer = network.spec.load_balancer
    return balancer is not None and balancer.docker_socket == "proxy"


def _check_overlaps(host: HostDraft, version: Version, report: Report) -> None:
    """Report each network whose subnet overlaps one that is before it in the list."""
    order = {id(network): place for place, network in enumerate(host.networks)}
    found = [(n.families[version].subnet, n) for n in host.networks if version in n.families]
    found.sort(key=lambda pair: (int(pair[0].network_address), pair[0].prefixlen))
    widest: tuple[Subnet, NetworkDraft] | None = None
    for subnet, network in found:
        if widest is not None and overlaps(subnet, widest[0]):
            first, second = sorted((widest[1], network), key=lambda n: order[id(n)])
            # Two networks of one name have been reported, and their derived subnets are the same.
            if first.spec.name != second.spec.name:
                _report_overlap(first, second, version, report)
        if widest is None or int(subnet.broadcast_address) > int(widest[0].broadcast_address):
            widest = subnet, network


def _report_overlap(
    first: NetworkDraft, second: NetworkDraft, version: Version, report: Report
) -> None:
    family, other = second.families[version], first.families[version]
    what = f"{family.subnet} overlaps {other.subnet} of network {first.spec.name}"
    why = "Docker refuses it, and rules could not tell the two networks apart."
    report.add((*second.loc, f"subnet_ipv{version}"), what, why, "choose a subnet of its own")


def _publics(draft: StackDraft) -> Iterator[tuple[HostDraft, NetworkDraft, Loc, Address]]:
    for host, network in draft.networks():
        for version in network.versions:
            address = network.public(version)
            if address is not None:
                yield host, network, (*network.loc, f"public_ipv{version}"), address
        for address in network.extras:
            # Several entries of one network may be for it; the first one is shown.
            for place, entry in enumerate(network.spec.ingress or ()):
                if address in (named := entry.addresses or ()):
                    at = (*network.loc, "ingress", place, "addresses", named.index(address))
                    yield host, network, at, address
                    break


def _check_public(draft: StackDraft, report: Report) -> None:
    owners: dict[Address, tuple[HostDraft, NetworkDraft]] = {}
    subnets = {
        (family.subnet.prefixlen, family.subnet.network_address): network
        for _, network in draft.networks()
        for family in network.families.values()
    }
    lengths = {
        family: sorted({n for n, a in subnets if a.version == family}) for family in VERSIONS
    }
    for host, network, loc, address in _publics(draft):
        if address in owners:
            other_host, other = owners[address]
            what = f"{address} is the public address of network {other.spec.name}"
            why = "One address cannot be two networks' own: what comes in has one place to go."
            if other_host is not host:
                what = f"{what} on host {_name(other_host)}"
                why = "Two hosts that both answer for an address take it from each other."
            report.add(loc, what, why, "give each network an address of its own")
        owners.setdefault(address, (host, network))
        bits = address.max_prefixlen
        for length in lengths[4 if address.version == 4 else 6]:
            start = type(address)(int(address) >> (bits - length) << (bits - length))
            inside = subnets.get((length, start))
            if inside is not None:
                what = f"{address} lies in the subnet of network {inside.spec.name}"
                why = "It would be a container's address and the host's at once."
                remedy = "write the address that the internet knows, or another subnet"
                report.add(loc, what, why, remedy)
                break


def _name(host: HostDraft) -> str:
    return host.spec.name if host.spec is not None else f"number {host.loc[-1]}"


def _check_echo(draft: StackDraft, report: Report) -> None:
    """Require an echo for each family in which somebody has to ask for an address."""
    if draft.spec is None:
        return
    askers: dict[Version, NetworkDraft] = {}
    for _, network in draft.networks():
        if draft.spec.verify or network.spec.whoami is not None:
            for version in network.versions:
                askers.setdefault(version, network)
    if not askers:
        return
    echo = draft.spec.echo
    missing = [v for v in askers if echo is None or echo.of(v) is None]
    example = {4: '"http://198.51.100.1/"', 6: '"http://[2001:db8:ffff::1]/"'}
    asker = "wanbound:verify is on" if draft.spec.verify else "whoami has to ask for its address"
    why = "The check asks a server on the internet which address it sees."
    if echo is None and missing:
        keys = ", ".join(f"ipv{version}: {example[version]}" for version in missing)
        what = f"is missing, and {asker}"
        report.add(("echo",), what, why, f"add echo: {{{keys}}} with servers that you trust")
        return
    for version in missing:
        what = f"is missing; {asker}, and network {askers[version].spec.name} has IPv{version}"
        remedy = f"add ipv{version}: {example[version]} with a server that you trust"
        report.add(("echo", f"ipv{version}"), what, why, remedy)
