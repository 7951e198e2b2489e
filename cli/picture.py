"""What a picture of a stack shows, as data: no shape and no language."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from planner.config import LOAD_BALANCER, VERSIONS, AddressPair, Network, PortRange, Stack
from planner.docker import ContainerPlan
from planner.plan import NetworkPlan, plan

_Ports: TypeAlias = tuple[str, bool, PortRange | None]
"""Protocol, whether `from` limits who gets in, and ports, None for all."""

_ROLES = {"load_balancer": "load balancer", "whoami": "whoami", "socket_proxy": "socket proxy"}


@dataclass(frozen=True)
class Way:
    """A way in: `ports` (`tcp 25, 465-466, udp 3478`) of an entrance, and the container there.

    Ports with `from` in ingress are marked: `tcp 5432 (limited)`.
    """

    ports: str
    to: str


@dataclass(frozen=True)
class Entrance:
    """Public addresses with the same ways in; traffic goes `out` by a network's own."""

    addresses: tuple[str, ...]
    out: bool
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class ContainerBox:
    """A container: what it is to the network (empty for the operator's own) and where it is."""

    name: str
    role: str
    image: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class NetworkBox:
    """A network; `about` are its subnets, and its mode where that is not nat."""

    name: str
    about: tuple[str, ...]
    entrances: tuple[Entrance, ...]
    containers: tuple[ContainerBox, ...]


@dataclass(frozen=True)
class HostBox:
    """A host; `wan` is the interface of the public addresses."""

    name: str
    wan: str
    networks: tuple[NetworkBox, ...]


def picture(stack: Stack) -> tuple[HostBox, ...]:
    """Return what is to be drawn of a stack, in the order of its file."""
    return tuple(
        HostBox(
            planned.name,
            planned.wan,
            tuple(map(_network, host.networks, planned.networks)),
        )
        for host, planned in zip(stack.hosts, plan(stack), strict=True)
    )


def _network(network: Network, planned: NetworkPlan) -> NetworkBox:
    socket = planned.socket
    plans = [*planned.containers, *([] if socket is None else [socket.proxy])]
    containers = [_container(each, "" if socket is None else socket.docker.name) for each in plans]
    containers += map(_undeclared, network.undeclared)
    return NetworkBox(
        network.name,
        tuple(_about(network)),
        tuple(_entrances(network, planned)),
        tuple(containers),
    )


def _about(network: Network) -> Iterator[str]:
    if network.mode != "nat":
        yield f"mode {network.mode}"
    if network.docker_ipv4 is not None:
        yield "IPv4 subnet: Docker chooses it"
    if network.inner_subnet is not None:
        yield f"{network.inner_subnet}, no way out"
    yield from (str(family.subnet) for family in network.families)


def _container(planned: ContainerPlan, socket_network: str) -> ContainerBox:
    addresses = [each for each in (planned.ipv4, planned.ipv6) if each is not None]
    if planned.socket_ipv4 is not None:
        addresses.append(f"{planned.socket_ipv4} in {socket_network}")
    return ContainerBox(planned.name, _ROLES.get(planned.role, ""), planned.image, tuple(addresses))


def _undeclared(pair: AddressPair) -> ContainerBox:
    """Return the box of a container that is started by others, by compose for example."""
    addresses = tuple(map(str, pair.known))
    return ContainerBox(f"container at {addresses[0]}", "", "not declared in this stack", addresses)


def _entrances(network: Network, planned: NetworkPlan) -> Iterator[Entrance]:
    """Yield the public addresses, those together that have the same ways in."""
    own = [str(address) for _, address in network.publics]
    extras = [str(address) for version in VERSIONS for address in network.extras(version)]
    found: dict[tuple[bool, tuple[Way, ...]], list[str]] = {}
    for address in (*own, *extras):
        ways = tuple(_ways(address, network, planned))
        found.setdefault((address in own, ways), []).append(address)
    for (out, ways), addresses in found.items():
        yield Entrance(tuple(addresses), out, ways)


def _ways(address: str, network: Network, planned: NetworkPlan) -> Iterator[Way]:
    """Yield what an address leads to, one way for each container, in the order of these."""
    for container in planned.containers:
        target = LOAD_BALANCER if container.role == "load_balancer" else container.name
        ports = [*_forwarded(address, network, target), *_published(address, container)]
        if ports:
            yield Way(_text(ports), container.name)
    for pair in network.undeclared:
        if ports := [*_forwarded(address, network, pair)]:
            yield Way(_text(ports), _undeclared(pair).name)


def _forwarded(address: str, network: Network, target: str | AddressPair) -> Iterator[_Ports]:
    """Yield what wanbound's rules forward to a container."""
    for entry in network.ingress:
        if entry.to == target and address in map(str, network.all_entrances(entry)):
            for ports in [None] if entry.ports == "all" else entry.ports:
                yield entry.protocol, bool(entry.sources), ports


def _published(address: str, container: ContainerPlan) -> Iterator[_Ports]:
    """Yield what Docker publishes there (mode masquerade)."""
    ports = {(port.protocol, port.number) for port in container.ports if port.address == address}
    # Of neighbours, the difference between number and place is the same.
    runs = groupby(enumerate(sorted(ports)), lambda each: (each[1][0], each[1][1] - each[0]))
    for (protocol, _), run in runs:
        numbers = [number for _, (_, number) in run]
        yield protocol, False, PortRange(numbers[0], numbers[-1])


def _text(ports: Iterable[_Ports]) -> str:
    """Return ports as a person writes them: each protocol once, and once with `from`."""
    by_protocol: dict[tuple[str, bool], list[PortRange]] = {}
    for protocol, limited, each in ports:
        listed = by_protocol.setdefault((protocol, limited), [])
        if each is not None:
            listed.append(each)
    return ", ".join(
        (
            f"{protocol} {', '.join(map(str, sorted(listed, key=lambda each: each.first)))}"
            if listed
            else f"all {protocol}"
        )
        + " (limited)" * limited
        for (protocol, limited), listed in sorted(by_protocol.items())
    )
