"""Hosts with a baseline, for tests."""

import re

from lab.api import Host, Lab
from lab.settings import ROUTER_IPV4, ROUTER_LINK_LOCAL
from lab.stacks import Config

OPEN_TCP, OPEN_UDP, CLOSED = 8088, 8089, 8090


def config(lab: Lab) -> Config:
    """Return a stack whose hosts have gateways, a baseline and one network without containers."""
    hosts = []
    for number, host in enumerate(lab.hosts.values()):
        hosts.append(
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {
                    "interface": "wan0",
                    "gateway_ipv4": ROUTER_IPV4,
                    "gateway_ipv6": ROUTER_LINK_LOCAL,
                },
                "baseline": {
                    "ssh_from": [str(lab.settings.management)],
                    "open": [
                        {"protocol": "tcp", "ports": [OPEN_TCP]},
                        {"protocol": "udp", "ports": [OPEN_UDP]},
                    ],
                },
                "networks": [
                    {
                        "name": "web",
                        "public_ipv4": f"203.0.113.{50 + number}",
                        "public_ipv6": f"2001:db8::{50 + number}",
                        "subnet_ipv4": "10.50.0.0/24",
                        "subnet_ipv6": "fd50::/64",
                        "load_balancer": False,
                        "ingress": [],
                        "containers": [],
                    }
                ],
            }
        )
    return {"hosts": hosts}


def parameters(host: Host) -> str:
    """Return every parameter of the network that does not change by itself."""
    return host.run(
        "sysctl -a 2>/dev/null | grep -v -e mtu -e stable_secret"
        " | grep -E '^net\\.ipv[46]\\.(ip_forward|conf\\.(all|default|wan0)\\.)'"
    ).stdout


def routes(host: Host) -> str:
    """Return all IPv4 routes and the IPv6 default routes."""
    shown = host.run("ip -4 route show; ip -6 route show default").stdout
    return re.sub(r" expires \d+sec", "", shown)
