"""Hosts with one network of each mode, for tests."""

from dataclasses import dataclass
from typing import Any

from lab.api import Host, Lab
from lab.images import probe_program
from lab.settings import ECHO_IPV4, ECHO_IPV6, ROUTER_IPV4, ROUTER_IPV6
from lab.stacks import Config
from lab.traffic import PROBE

MAIL = (25, 465, 587, 993)
"""TCP ports of the mail container (the recipes' mail network)."""

TURN = 3478
"""A UDP port."""


@dataclass(frozen=True)
class Place:
    """Addresses of one host's networks."""

    number: int

    def ipv4(self, last: int) -> str:
        """A public IPv4 address of this host."""
        return f"203.0.113.{last + self.number}"

    def ipv6(self, last: int) -> str:
        """A public IPv6 address of this host."""
        return f"2001:db8::{last + self.number:x}"


POSTED, OUT, MANY, EXTRA = 140, 150, 160, 170
"""The last parts of each network's public addresses; EXTRA is a further one of MANY."""


def config(lab: Lab, firewall: str = "iptables") -> Config:
    """Return a stack whose hosts have a network of each mode, in one dialect."""
    return {
        # As soon as the network is up, a one-shot container in it asks the echo service.
        "verify": True,
        "echo": {"ipv4": f"http://{ECHO_IPV4}/", "ipv6": f"http://[{ECHO_IPV6}]/"},
        "hosts": [
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {"interface": "wan0"},
                "firewall": firewall,
                "networks": [_posted(Place(n)), _out(Place(n)), _many(Place(n))],
            }
            for n, host in enumerate(lab.hosts.values())
        ],
    }


def _posted(place: Place) -> dict[str, Any]:
    servers: list[dict[str, Any]] = [
        {"name": "posted-web", "command": ["serve-tcp", ":80"], "ports": [80]},
        {"name": "posted-udp", "command": ["serve-udp", f":{TURN}"], "ports": [f"{TURN}/udp"]},
    ]
    return {
        "name": "posted",
        "mode": "masquerade",
        "public_ipv4": place.ipv4(POSTED),
        "public_ipv6": place.ipv6(POSTED),
        "subnet_ipv4": "10.140.0.0/24",
        "subnet_ipv6": "fd14::/64",
        "load_balancer": False,
        "containers": [{"image": PROBE, **server} for server in servers],
    }


def _out(place: Place) -> dict[str, Any]:
    return {
        "name": "bridge-coi",
        "mode": "snat",
        "public_ipv4": place.ipv4(OUT),
        "subnet_ipv4": "docker",
        "containers": [{"name": "coi", "image": PROBE, "command": ["serve-tcp", ":80"]}],
    }


def _many(place: Place) -> dict[str, Any]:
    mail = [*(f":{port}" for port in MAIL), ":80"]
    return {
        "name": "many",
        "public_ipv4": place.ipv4(MANY),
        "public_ipv6": place.ipv6(MANY),
        "subnet_ipv4": "10.160.0.0/24",
        "subnet_ipv6": "fd16::/64",
        "load_balancer": False,
        "ingress": [
            {"ports": [80], "to": "front"},
            {"ports": [80], "to": "mail", "addresses": [place.ipv4(EXTRA), place.ipv6(EXTRA)]},
            {"ports": list(MAIL), "to": "mail"},
        ],
        "containers": [
            _at("front", 10, ["serve-tcp", ":80"]),
            _at("mail", 11, ["serve-tcp", *mail]),
            {**_at("turn", 12, ["serve-udp", f":{TURN}"]), "ports": [f"{TURN}/udp"]},
        ],
    }


def _at(name: str, last: int, command: list[str]) -> dict[str, Any]:
    addresses = {"ipv4": f"10.160.0.{last}", "ipv6": f"fd16::{last:x}"}
    return {"name": name, "image": PROBE, "command": command, **addresses}


def asked(lab: Lab, protocol: str, address: str, port: int) -> str:
    """Ask a probe from the internet; return the client that it saw, "" without an answer."""
    at = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    words = [str(probe_program(lab.settings.cache)), f"ask-{protocol}", "-timeout", "3s", at]
    return lab.internet.run(words, check=False).stdout.strip()


def seen(host: Host, container: str, family: int) -> str:
    """Return the address that the internet sees of a container, "" if it does not get out."""
    echo = f"[{ECHO_IPV6}]" if family == 6 else ECHO_IPV4
    command = f"docker exec {container} /probe get -timeout 3s http://{echo}/"
    return host.run(command, check=False).stdout.strip()


ROUTER = {4: ROUTER_IPV4, 6: ROUTER_IPV6}
"""The internet's own addresses on the hosts' link, the client addresses of `asked`."""
