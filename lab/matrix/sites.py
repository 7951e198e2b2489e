"""The setups on the hosts of the matrix: a stack per choice of families, and two shell scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from lab.api import Host
from lab.settings import ECHO_IPV4, ECHO_IPV6, NAMES_IPV4, NAMES_IPV6
from lab.stacks import SPOKEN, Config, parsed
from planner.config import Family, Network
from planner.plan import NetworkPlan, plan

Families: TypeAlias = Literal["IPv4 only", "IPv6 only", "dual stack"]

FAMILIES: dict[Families, tuple[str, ...]] = {
    "IPv4 only": ("ipv4",),
    "IPv6 only": ("ipv6",),
    "dual stack": ("ipv4", "ipv6"),
}

Way: TypeAlias = Literal["wanbound", "recipe", "docker"]

WAYS: Mapping[Way, str] = {
    "wanbound": "wanbound",
    "recipe": "the recipe",
    "docker": "Docker alone",
}
"""The ways in which hosts are set up, in words."""

SINCE: Mapping[Way, int] = {"wanbound": 20, "recipe": 20, "docker": 28}
"""The first major version of Docker that is set up with docker.sh. host_ipv6 came with 25, but
Docker's IPv6 rules need no experimental option only from 27 on."""

NETWORKS = ("web", "mail")
"""Two on each host, as the recipe's rules are about traffic between networks."""

HERE = Path(__file__).parent


def config(hosts: Sequence[Host], families: Families, first: int) -> Config:
    """Return the stack of all hosts, with addresses from 203.0.113.`first` on.

    No two hosts share a subnet, so that the answer to a check can come from one host only.
    """
    return {
        "seed": "matrix-7c0d11",
        "echo": {"ipv4": f"http://{ECHO_IPV4}/", "ipv6": f"http://[{ECHO_IPV6}]/"},
        "hosts": [
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {"interface": "wan0"},
                "dns": [NAMES_IPV4, NAMES_IPV6],
                **SPOKEN[host.firewall],
                "networks": [
                    _network(name, families, number, place, first)
                    for place, name in enumerate(NETWORKS)
                ],
            }
            for number, host in enumerate(hosts)
        ],
    }


def _network(
    name: str, families: Families, number: int, place: int, first: int
) -> dict[str, object]:
    last = first + len(NETWORKS) * number + place
    network: dict[str, object] = {
        "name": name,
        "whoami": {"domain": f"whoami.{name}.example.com"},
    }
    if "ipv4" in FAMILIES[families]:
        network |= {
            "public_ipv4": f"203.0.113.{last}",
            "subnet_ipv4": f"172.2{place}.{number + 1}.0/24",
        }
    if "ipv6" in FAMILIES[families]:
        network |= {
            "public_ipv6": f"2001:db8::{last}",
            "subnet_ipv6": f"fd2{place}:{number + 1}::/64",
        }
    return network


def part(hosts: Sequence[Host], wanted: Config, way: Way) -> tuple[list[Host], Config]:
    """Return the hosts whose Docker can be set up that way, and their part of the stack."""
    chosen = [h for h in hosts if int(h.docker_version.partition(".")[0]) >= SINCE[way]]
    names = [host.name for host in chosen]
    return chosen, {**wanted, "hosts": [h for h in wanted["hosts"] if h["name"] in names]}


@dataclass(frozen=True)
class ByHand:
    """One host that a script sets up, with the names and addresses of the stack's."""

    way: Way
    host: Host
    words: tuple[str, ...]
    addresses: tuple[str, ...]

    def set_up(self) -> None:
        """Run the script; the checks find what fails in it."""
        self._run(f"{self.way}.sh", self.words)

    def undo(self) -> None:
        """Restore the host's former state."""
        self._run("undone.sh", self.addresses)

    def _run(self, script: str, words: Sequence[str]) -> None:
        # All words are the lab's own names, addresses and subnets.
        command = f"sh -s {' '.join(words)}"
        text = "".join((HERE / name).read_text() for name in ("containers.sh", script))
        self.host.run(command, stdin=text, timeout=300, check=False)


def by_hand(hosts: Sequence[Host], wanted: Config, way: Way) -> list[ByHand]:
    """Return each host with the script's arguments for the same networks."""
    stack = parsed(wanted, "matrix")
    found = []
    for host, model, planned in zip(hosts, stack.hosts, plan(stack), strict=True):
        four, six = (
            "yes" if family else "no" for family in (model.networks[0].ipv4, model.networks[0].ipv6)
        )
        words = [four, six]
        for network, network_plan in zip(model.networks, planned.networks, strict=True):
            words += [network.name, *_words(network, network_plan)]
        addresses = tuple(_addresses(model.networks))
        found.append(ByHand(way, host, tuple(words), addresses))
    return found


def _words(network: Network, planned: NetworkPlan) -> Iterator[str]:
    (whoami,) = (each for each in planned.containers if each.role == "whoami")
    for family, address in ((network.ipv4, whoami.ipv4), (network.ipv6, whoami.ipv6)):
        yield from _family(family, address)


def _family(family: Family | None, whoami: str | None) -> tuple[str, ...]:
    if family is None:
        return ("-", "-", "-", "-")
    return (str(family.public), str(family.subnet), str(family.load_balancer), str(whoami))


def _addresses(networks: Sequence[Network]) -> Iterator[str]:
    for network in networks:
        for family in network.families:
            yield f"{family.public}/{family.public.max_prefixlen}"
