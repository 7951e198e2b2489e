"""What Docker publishes of the containers of a network in mode masquerade."""

from collections.abc import Iterator
from dataclasses import dataclass

from planner.config import BALANCED, Network, Protocol


@dataclass(frozen=True)
class Port:
    """A port of a container that Docker binds at `address`, under the same number."""

    number: int
    protocol: Protocol
    address: str


def published(network: Network, role: str, name: str) -> tuple[Port, ...]:
    """Return what Docker publishes of one container: each port at each of the public addresses.

    For the load balancer these are `BALANCED`, the last of them for HTTP/3 too; for other
    containers those that they list.
    """
    return tuple(
        Port(number, protocol, str(public))
        for protocol, number in _ports(network, role, name)
        for _, public in network.publics
    )


def _ports(network: Network, role: str, name: str) -> Iterator[tuple[Protocol, int]]:
    if role == "load_balancer":
        yield from (("tcp", number) for number in BALANCED)
        if network.load_balancer is not None and network.load_balancer.http3:
            yield "udp", BALANCED[-1]
    for container in network.containers:
        if container.name == name:
            for each in container.ports:
                for number in range(each.ports.first, each.ports.last + 1):
                    yield each.protocol, number
