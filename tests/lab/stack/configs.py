"""Stack configurations for tests: the demo's, on the tests' hosts, and additions to it."""

from typing import Any

from lab.api import Lab
from lab.stacks import CHECKOUT, Config, on, read
from lab.traffic import PROBE, add_floods

__all__ = ["PROBE", "add_floods", "add_listed_ports", "add_single_families", "demo", "network"]


def demo(lab: Lab) -> Config:
    """Return the configuration of stacks/Pulumi.demo.yaml, with the tests' hosts for the demo's."""
    return on(lab, read(CHECKOUT / "stacks" / "Pulumi.demo.yaml"))


def network(config: Config, host: int, name: str) -> dict[str, Any]:
    """Return the network called `name` of host `host`, counted from 1."""
    [found] = [one for one in config["hosts"][host - 1]["networks"] if one["name"] == name]
    assert isinstance(found, dict)
    return found


def add_single_families(config: Config) -> None:
    """Give each host an IPv4-only and an IPv6-only network."""
    for number, host in enumerate(config["hosts"]):
        last = 100 * number + 40
        host["networks"] += [
            {
                "name": "four",
                "public_ipv4": f"203.0.113.{last}",
                "whoami": {"domain": "whoami.four.example.com"},
            },
            {
                "name": "six",
                "public_ipv6": f"2001:db8::{last + 1}",
                "whoami": {"domain": "whoami.six.example.com"},
            },
        ]


TCP_OPEN, TCP_CLOSED = (2222, 5000, 5002), (2223, 5003)
UDP_OPEN, UDP_CLOSED = (3478, 6000, 6001), (3479, 6002)
"""Ports that are listed for the network `ports`, and unlisted ports of its servers."""


def add_listed_ports(config: Config) -> None:
    """Give each host a network without load balancer: listed ports go to two containers."""
    for number, host in enumerate(config["hosts"]):
        last = 100 * number + 60
        host["networks"].append(
            {
                "name": "ports",
                "public_ipv4": f"203.0.113.{last}",
                "public_ipv6": f"2001:db8::{last}",
                "subnet_ipv4": "10.77.0.0/24",
                "subnet_ipv6": "fd77:77::/64",
                "load_balancer": False,
                "ingress": [
                    {"protocol": "tcp", "ports": [2222, "5000-5002"], "to": "tcp-server"},
                    {"protocol": "udp", "ports": [3478, "6000-6001"], "to": "udp-server"},
                ],
                "containers": [
                    _server("tcp", (*TCP_OPEN, *TCP_CLOSED), 10),
                    _server("udp", (*UDP_OPEN, *UDP_CLOSED), 11),
                ],
            }
        )


def _server(protocol: str, ports: tuple[int, ...], last: int) -> dict[str, Any]:
    return {
        "name": f"{protocol}-server",
        "image": PROBE,
        "command": [f"serve-{protocol}", *(f":{port}" for port in ports)],
        "ipv4": f"10.77.0.{last}",
        "ipv6": f"fd77:77::{last:x}",
    }
