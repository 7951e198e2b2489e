"""The plans of these tests, made by the planner, with their generations."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from components.host import wanted_plan
from lab.api import Host
from planner.config import Stack
from planner.plan import plan as planned
from providers.host.generation import compose
from providers.host.plan import NOTHING, Lines, Plan

STACK = "tests/atomic/drill"
IMAGE = "busybox:1"
PORT = 7000
"""On which the container of a network can be reached by its public addresses, TCP and UDP."""


@dataclass(frozen=True)
class Net:
    """A network, named after its bridge; the numbers are the last parts of addresses and subnets.

    No two hosts may share an address, so the second host adds 100 to `public`.
    """

    name: str
    public: int
    subnet: int = 0
    container: int = 254
    """The last part of its container's IPv4 address, and of its IPv6 address in hexadecimal."""
    managed: bool = True
    """Whether wanbound adds its public addresses."""

    def publics(self, host: Host) -> tuple[str, str]:
        """The public addresses of the network on a host."""
        number = self.public + 100 * (int(host.name[-1]) % 2 == 0)
        return f"203.0.113.{number}", f"2001:db8::{number}"

    @property
    def subnets(self) -> tuple[str, str]:
        """Its subnets, by `subnet`, or by `public` where that is 0."""
        number = self.subnet or self.public
        return f"10.66.{number}.0/24", f"fd66:{number}::/64"

    @property
    def inside(self) -> tuple[str, str]:
        """The addresses of its container."""
        four, six = self.subnets
        return four.replace("0/24", f"{self.container}"), six.replace(
            "/64", f"ff{self.container:x}"
        )

    def moved(self, public: int) -> "Net":
        """The same network with other public addresses."""
        return dataclasses.replace(self, public=public, subnet=self.subnet or self.public)


def plan(
    host: Host,
    nets: Iterable[Net] = (),
    lines: Lines | None = None,
    firewall: str = "iptables",
) -> Plan:
    """Return the plan of a host with these networks and these lines of its own."""
    raw = {
        "hosts": [
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {"interface": "wan0"},
                "firewall": firewall,
                "networks": [_config(host, net) for net in nets],
            }
        ]
    }
    [found] = planned(Stack.parse(raw, "test"))
    wanted = wanted_plan(found, STACK, {})
    return dataclasses.replace(wanted, lines={**wanted.lines, **(lines or {})})


def _config(host: Host, net: Net) -> dict[str, object]:
    four, six = net.publics(host)
    return {
        "name": net.name,
        "bridge": net.name,
        "public_ipv4": four,
        "public_ipv6": six,
        "subnet_ipv4": net.subnets[0],
        "subnet_ipv6": net.subnets[1],
        "load_balancer": False,
        "manage_addresses": net.managed,
        "ingress": [
            {"protocol": protocol, "ports": [PORT], "to": net.name} for protocol in ("tcp", "udp")
        ],
        "containers": [
            {"name": net.name, "image": IMAGE, "ipv4": net.inside[0], "ipv6": net.inside[1]}
        ],
    }


def base(version: int, gateway: int = 0) -> Lines:
    """The host's own lines: routes, kernel parameters and INPUT differ by version.

    `gateway` is the last number of the gateway. By default it differs from the host's original one:
    wanbound leaves a route alone that is already there.
    """
    gateway = gateway or 252 + version
    ipv6 = f"-A WANBOUND-INPUT -s 2001:db8:ffff::{version}/128 -p udp -j DROP"
    return {
        "links": {"wan0": "wan0 up"},
        "routes": {
            "ipv4": f"default via 203.0.113.{gateway} dev wan0",
            "ipv6": f"default via fe80::{gateway} dev wan0",
        },
        "sysctls": {
            "forwarding": "net.ipv4.ip_forward = 1",
            "redirects": f"net.ipv4.conf.wan0.accept_redirects = {version - 1}",
        },
        "input_ipv4": {"udp": f"-A WANBOUND-INPUT -s 198.51.100.{version}/32 -p udp -j DROP"},
        "input_ipv6": {"udp": ipv6},
    }


def files(wanted: Plan | None, old: Plan | None) -> dict[str, str]:
    """Return the files of a change from one plan to another; None is a host with nothing."""
    before = NOTHING if old is None else old
    if wanted is None:
        generation = compose(
            dataclasses.replace(NOTHING, stack=before.stack), absent=before.bridges
        )
    else:
        generation = compose(wanted)
    found = {f"new/{name}": text for name, text in generation.files.items()}
    if wanted is not None and wanted.leaving:
        final = compose(dataclasses.replace(wanted, leaving=()))
        found |= {f"then/{name}": text for name, text in final.files.items()}
    return found


def with_line(lines: Lines, section: str, role: str, text: str) -> dict[str, Mapping[str, str]]:
    """Return the lines with one more, or another in its place."""
    return {**lines, section: {**lines.get(section, {}), role: text}}
