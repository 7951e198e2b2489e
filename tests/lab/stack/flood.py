"""Constant traffic of every network to the internet, and a look at the source of each packet."""

import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from lab.api import Lab, Packet
from lab.images import probe_program
from lab.namespace import inside
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from lab.stacks import Config

PRIVATE = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)

Publics = Mapping[int, frozenset[str]]
"""The public addresses that each flood's network has, by the flood's port."""


@dataclass(frozen=True)
class Sources:
    """Who sent to the floods' ports: how many packets by (port, family, source)."""

    counts: Mapping[tuple[int, int, str], int]
    wrong: Sequence[str]

    def right(self, port: int, family: int) -> int:
        """How many packets the network of that port got out in that family."""
        return sum(n for (p, f, _), n in self.counts.items() if (p, f) == (port, family))

    def __str__(self) -> str:
        total = sum(self.counts.values())
        return f"{total} packets of the networks, {len(self.wrong)} with a wrong source"


def publics(config: Config, ports: Mapping[int, tuple[str, str]]) -> Publics:
    """Return the addresses of `config` by port."""
    found = {}
    for port, (host_name, name) in ports.items():
        [host] = [host for host in config["hosts"] if host["name"] == host_name]
        [network] = [one for one in host["networks"] if one["name"] == name]
        keys = ("public_ipv4", "public_ipv6")
        found[port] = frozenset(str(network[key]) for key in keys if key in network)
    return found


def either(one: Publics, other: Publics) -> Publics:
    """Return what is right while the first changes into the second."""
    return {port: one[port] | other[port] for port in one}


@contextmanager
def sinks(lab: Lab, ports: Sequence[int]) -> Iterator[None]:
    """Answer the floods in the internet, so that they have connections that last."""
    addresses = [f"{host}:{port}" for port in ports for host in (CLIENT_IPV4, f"[{CLIENT_IPV6}]")]
    program = str(probe_program(lab.settings.cache))
    with ExitStack() as stack:
        for command in ("sink", "serve-udp"):
            # They must not outlive us.
            words = ["setpriv", "--pdeathsig", "KILL", "--", program, command, *addresses]
            process = subprocess.Popen(inside(lab.settings, words))
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
        yield


def expression(ports: Sequence[int]) -> str:
    """Return the pcap-filter for what the floods send, and for whatever has a private source."""
    clients = f"(dst host {CLIENT_IPV4} or dst host {CLIENT_IPV6})"
    nets = " or ".join(f"src net {net}" for net in PRIVATE)
    return f"({clients} and dst portrange {min(ports)}-{max(ports)}) or {nets}"


def sources(packets: Sequence[Packet], expected: Publics) -> Sources:
    """Judge the source of every packet; a private source is wrong, whoever sends to whom."""
    counts: Counter[tuple[int, int, str]] = Counter()
    wrong: Counter[str] = Counter()
    for packet in packets:
        if packet.dport in expected and packet.src in expected[packet.dport]:
            counts[packet.dport, packet.family, packet.src] += 1
        elif packet.dport in expected or _private(packet.src):
            wrong[str(packet)] += 1
    return Sources(counts, [f"{number}x {text}" for text, number in wrong.items()])


def _private(address: str) -> bool:
    found = ip_address(address)
    return any(found in net for net in PRIVATE if net.version == found.version)
