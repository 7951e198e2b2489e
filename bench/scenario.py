"""The networks that are measured: the benchmark's own names and addresses, planned as any stack.

Pure. Everything that the benchmark makes on a host has a name that begins with `MARK`, and every
public address is of RFC 2544's and RFC 3849's space, so that it meets nothing of a stack that runs
beside it and can be removed whole by name.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeAlias

from providers.fragment import subnets
from providers.installed import installed

from planner.config import Stack
from planner.plan import HostPlan, plan

MARK = "bench-"
"""What begins the name of every network, container and unit of ours."""

LARGEST = 100
"""Networks: addresses and subnets are laid out for so many."""

_PUBLIC_IPV4 = IPv4Network("198.18.0.0/15")
_PUBLIC_IPV6 = IPv6Network("2001:db8:1::/48")

Config: TypeAlias = dict[str, Any]
Props: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A host of the lab as a stack names it; `number` decides which addresses are its."""

    name: str
    address: str
    host_key: str
    number: int
    port: int = 22


def network_name(number: int) -> str:
    """Return the name of the network of that number, 1 to LARGEST; names sort as numbers do."""
    return f"{MARK}{number:03d}"


def public_space(place: Place) -> tuple[IPv4Network, IPv6Network]:
    """Return what all public addresses of the place are in, changed ones too."""
    first = int(_PUBLIC_IPV4.network_address) + place.number * 512
    second = int(_PUBLIC_IPV6.network_address) + (place.number << 64)
    return IPv4Network((first, 23)), IPv6Network((second, 64))


def config(
    place: Place, count: int, *, changed: bool = False, load_balancer: bool = True
) -> Config:
    """Return the configuration of a stack with `count` networks, dual stack, on one host.

    `changed` gives each network another public IPv4 address.
    """
    networks = []
    four, six = public_space(place)
    for number in range(1, count + 1):
        network: Config = {
            "name": network_name(number),
            "public_ipv4": str(four[number + (256 if changed else 0)]),
            "public_ipv6": str(six[number]),
            "subnet_ipv4": str(IPv4Network((int(IPv4Address("10.110.0.0")) + number * 256, 24))),
            "subnet_ipv6": str(
                IPv6Network((int(IPv6Address("fd62:656e:6368::")) + (number << 64), 64))
            ),
        }
        if not load_balancer:
            network["load_balancer"] = False
        networks.append(network)
    ssh = {"address": place.address, "port": place.port, "host_key": place.host_key}
    host = {"name": place.name, "ssh": ssh, "wan": {"interface": "wan0"}, "networks": networks}
    return {"hosts": [host]}


def host_plan(settings: Config) -> HostPlan:
    """Return what the planner makes of a configuration of one host."""
    [host] = plan(Stack.parse(settings, "bench"))
    return host


def props(settings: Config) -> list[Props]:
    """Return the properties of each network's HostNat, as the program gives them to Pulumi."""
    host = host_plan(settings)
    connection: Mapping[str, Any] = {
        "name": host.name,
        "address": host.ssh.address,
        "port": host.ssh.port,
        "user": host.ssh.user,
        "host_key": host.ssh.host_key,
        "confirm_seconds": host.confirm_seconds,
    }
    return [
        {
            "host": dict(connection),
            "network": network.name,
            "bridge": network.bridge,
            "subnets": subnets(asdict(network.rules)),
            "installed": installed(),
            **{section: dict(lines) for section, lines in asdict(network.rules).items()},
        }
        for network in host.networks
    ]
