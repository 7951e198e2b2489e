"""The site of the faults: hosts with a small stack, and traffic of every network."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path

from lab.api import Host, Lab
from lab.checks import Check, matrix
from lab.faults.judge import Networks
from lab.settings import ECHO_IPV4, ECHO_IPV6
from lab.stacks import SPOKEN, Config, LabStack, parsed
from lab.traffic import Publics, add_floods, either, publics, sinks

FOLDER = "/root/faults"
"""The host's folder for the observer and saved rules."""

SAVE = """\
# Each table by its name, so that a family that has none yet gets them, empty.
for tool in iptables ip6tables; do
    for table in filter nat; do "$tool-save" -t "$table"; done >"$folder/$1.$tool"
done
# Docker's own tables, where it speaks nftables; a file is empty where there is none.
for family in ip ip6; do
    nft -s list table "$family" docker-bridges >"$folder/$1.$family" 2>/dev/null || true
done
"""

OBSERVER = Path(__file__).with_name("observer.py")
CONFIRM_SECONDS = 10
"""The hosts' confirmation timeout: short, as some rows wait for the rollback."""

NETWORKS = ("web", "mail")
INTERVAL = "40ms"
"""The interval between two packets of one kind of a flood. A host has 16 such flows, so that one
packet every 2.5 ms can show a leak."""

KINDS = ("egress", "whoami egress", "ingress", "own address", "other networks", "host source")
"""The checks of the acceptance matrix that run after each fault: those with an expected answer.
Each of the others takes a second, and is left to the stack tests."""


def config(hosts: Sequence[Host], first: int) -> Config:
    """Two networks of both families on each host, with addresses from 203.0.113.`first` on.

    No two hosts share a subnet: a packet's private source identifies its host.
    """
    return {
        "seed": "faults-3d81c5aa",
        "verify": True,
        "echo": {"ipv4": f"http://{ECHO_IPV4}/", "ipv6": f"http://[{ECHO_IPV6}]/"},
        "hosts": [
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {"interface": "wan0"},
                "confirm_seconds": CONFIRM_SECONDS,
                **SPOKEN[host.firewall],
                "networks": [
                    {
                        "name": name,
                        "public_ipv4": f"203.0.113.{first + 4 * number + place}",
                        "public_ipv6": f"2001:db8::{first + 4 * number + place}",
                        "subnet_ipv4": f"172.{24 + place}.{number}.0/24",
                        "subnet_ipv6": f"fd24:{number}:{place}::/64",
                        "whoami": {"domain": f"whoami.{name}.example.com"},
                    }
                    for place, name in enumerate(NETWORKS)
                ],
            }
            for number, host in enumerate(hosts)
        ],
    }


def renumbered(before: Config, first: int) -> Config:
    """Return the same with other addresses for the first network of each host."""
    after = copy.deepcopy(before)
    for number, host in enumerate(after["hosts"]):
        host["networks"][0]["public_ipv4"] = f"203.0.113.{first + 4 * number + 2}"
        host["networks"][0]["public_ipv6"] = f"2001:db8::{first + 4 * number + 2}"
    return after


@dataclass(frozen=True)
class Site:
    """A stack that is up on some hosts of a lab, with networks that send."""

    lab: Lab
    hosts: Mapping[str, Host]
    stack: LabStack
    config: Config
    other: Config
    """The same stack with other addresses."""
    ports: Mapping[int, tuple[str, str]]

    @property
    def right(self) -> Publics:
        """The right addresses while nothing is changing."""
        return publics(self.config, self.ports)

    @property
    def right_meanwhile(self) -> Publics:
        """The right addresses while they change."""
        return either(self.right, publics(self.other, self.ports))

    def networks(self, name: str, right: Publics) -> Networks:
        """Return what identifies the packets of a host."""
        subnets = {
            host["name"]: [
                ip_network(network[key])
                for network in host["networks"]
                for key in ("subnet_ipv4", "subnet_ipv6")
            ]
            for host in self.config["hosts"]
        }
        ports = {port: network for port, (host, network) in self.ports.items() if host == name}
        others = [net for host, nets in subnets.items() if host != name for net in nets]
        return Networks(ports, right, subnets[name], others)

    @cached_property
    def host_of(self) -> Mapping[str, str]:
        """The host by each public address."""
        return {
            network[key]: host["name"]
            for host in self.config["hosts"]
            for network in host["networks"]
            for key in ("public_ipv4", "public_ipv6")
        }

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """The checks after each fault."""
        everything = matrix(parsed(self.config, self.stack.name))
        return tuple(check for check in everything if check.kind in KINDS)

    @cached_property
    def variables_of(self) -> Mapping[str, dict[str, str]]:
        """The variables of the rows' scripts, by host: its addresses and its first network's."""
        return {name: self._variables(host) for name, host in self.hosts.items()}

    def _variables(self, host: Host) -> dict[str, str]:
        [configured] = [one for one in self.config["hosts"] if one["name"] == host.name]
        network = configured["networks"][0]
        shown = host.run("ip -6 -o addr show dev wan0 scope link").stdout.split()
        return {
            "folder": FOLDER,
            "own4": host.wan_ipv4,
            "own6": host.wan_ipv6,
            "link": shown[3],
            "public4": network["public_ipv4"],
            "public6": network["public_ipv6"],
            "subnet4": network["subnet_ipv4"],
            "bridge": network["name"],
        }

    def save(self, name: str, as_: str) -> None:
        """Make a host save all of its iptables rules in its folder."""
        self.hosts[name].run(f"set -e; folder={FOLDER}; set -- {shlex.quote(as_)}\n{SAVE}")


@contextmanager
def site(lab: Lab, names: Sequence[str], first: int, folder: Path) -> Iterator[Site]:
    """Bring the stack up on those hosts; they are bare again afterwards."""
    hosts = {name: lab.host(name) for name in names}
    start = config(list(hosts.values()), first)
    ports = add_floods(start, INTERVAL)
    stack = LabStack.copy(lab, "faults", start, folder)
    made = Site(lab, hosts, stack, start, renumbered(start, first), ports)
    for name, host in hosts.items():
        host.put(f"{FOLDER}/observer.py", OBSERVER.read_text())
        made.save(name, "old")
    with sinks(lab, tuple(ports)):
        try:
            stack.up()
            yield made
        finally:
            stack.destroy()
            for host in hosts.values():
                host.run(f"rm -rf {FOLDER}")
