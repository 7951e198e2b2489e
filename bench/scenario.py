"""The measured networks: the benchmark's own names and addresses, planned like any stack.

Pure. Everything that the benchmark makes on a host has a name that begins with `MARK`, and every
public address is from RFC 2544's and RFC 3849's space, so that all of it can be removed by name.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Literal, TypeAlias

from components.connection import connection
from components.host import wanted_plan
from planner.config import Stack
from planner.plan import HostPlan, plan
from providers.host.installed import installed
from providers.host.plan import Plan, properties

MARK = "bench-"
"""The prefix of all names of networks, containers and units."""

LARGEST = 100
"""Networks: the plan of addresses and subnets has room for this number."""

_PUBLIC_IPV4 = IPv4Network("198.18.0.0/15")
_PUBLIC_IPV6 = IPv6Network("2001:db8:1::/48")

STACK = "organization/wanbound/bench"
"""The stack that owns the hosts meanwhile: that of part (e), as Pulumi names it."""

Change: TypeAlias = Literal["none", "one", "all"]
Firewall: TypeAlias = Literal["iptables", "nftables"]
Config: TypeAlias = dict[str, Any]
Props: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A host of the lab as a stack names it; `number` determines its addresses."""

    name: str
    address: str
    host_key: str
    number: int
    port: int = 22


def network_name(number: int) -> str:
    """Return the name of the network of that number, 1 to LARGEST; names sort as numbers do."""
    return f"{MARK}{number:03d}"


def public_space(place: Place) -> tuple[IPv4Network, IPv6Network]:
    """Return the ranges of all public addresses of the place, including changed ones."""
    first = int(_PUBLIC_IPV4.network_address) + place.number * 512
    second = int(_PUBLIC_IPV6.network_address) + (place.number << 64)
    return IPv4Network((first, 23)), IPv6Network((second, 64))


def config(
    place: Place,
    count: int,
    change: Change = "none",
    *,
    load_balancer: bool = True,
    firewall: Firewall = "iptables",
) -> Config:
    """Return the configuration of a stack with `count` networks, dual stack, on one host.

    A change is another public IPv4 address, of the first network or of each. `firewall` is the
    dialect of its NAT rules.
    """
    networks = []
    four, six = public_space(place)
    for number in range(1, count + 1):
        moved = {"none": 0, "one": LARGEST if number == 1 else 0, "all": 2 * LARGEST}[change]
        network: Config = {
            "name": network_name(number),
            "public_ipv4": str(four[number + moved]),
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
    host = {
        "name": place.name,
        "ssh": ssh,
        "wan": {"interface": "wan0"},
        "firewall": firewall,
        "networks": networks,
    }
    return {"hosts": [host]}


def host_plan(settings: Config) -> HostPlan:
    """Return the plan of a configuration of one host."""
    [host] = plan(Stack.parse(settings, "bench"))
    return host


def networking(settings: Config) -> Plan:
    """Return the program's networking plan for the host of a configuration."""
    return wanted_plan(host_plan(settings), STACK, {})


def props(settings: Config) -> Props:
    """Return the properties of the host's HostNetworking, as the program passes them to Pulumi."""
    return {
        "host": connection(host_plan(settings), {}),
        **properties(networking(settings)),
        "installed": installed(networking(settings)),
    }
