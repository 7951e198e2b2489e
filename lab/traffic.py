"""Constant traffic of every network to the internet, and checks of each packet's source."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network

from lab.api import Lab, Packet
from lab.images import probe_program
from lab.namespace import inside
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from lab.stacks import Config

PROBE = "wanbound/probe:1"

FLOOD_PORT = 7700
"""The floods of all networks go to the outside client, each to its own port above this one."""

PRIVATE = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)

Publics = Mapping[int, frozenset[str]]
"""The public addresses that each flood's network has, by the flood's port."""


@dataclass(frozen=True)
class Sources:
    """The senders to the floods' ports: the number of packets by (port, family, source)."""

    counts: Mapping[tuple[int, int, str], int]
    wrong: Sequence[str]

    def right(self, port: int, family: int) -> int:
        """Return how many packets of the network of that port got out in that family."""
        return sum(n for (p, f, _), n in self.counts.items() if (p, f) == (port, family))

    def __str__(self) -> str:
        total = sum(self.counts.values())
        return f"{total} packets of the networks, {len(self.wrong)} with a wrong source"


def add_floods(config: Config, interval: str = "20ms") -> dict[int, tuple[str, str]]:
    """Give each network a container that sends continuously from its start.

    Returns (host, network) by the port to which its container sends, in every family it has.
    """
    ports: dict[int, tuple[str, str]] = {}
    for host in config["hosts"]:
        for each in host["networks"]:
            port = FLOOD_PORT + len(ports) + 1
            ports[port] = (host["name"], each["name"])
            targets = []
            if "public_ipv4" in each:
                targets.append(f"{CLIENT_IPV4}:{port}")
            if "public_ipv6" in each:
                targets.append(f"[{CLIENT_IPV6}]:{port}")
            each.setdefault("containers", []).append(
                {
                    "name": f"flood-{each['name']}",
                    "image": PROBE,
                    "command": ["flood", "-interval", interval, *targets],
                }
            )
    return ports


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
    """Answer the floods in the internet, so that they have long connections."""
    addresses = [f"{host}:{port}" for port in ports for host in (CLIENT_IPV4, f"[{CLIENT_IPV6}]")]
    program = str(probe_program(lab.settings.cache))
    with ExitStack() as stack:
        for command in ("sink", "serve-udp"):
            # They must not outlive this process.
            words = ["setpriv", "--pdeathsig", "KILL", "--", program, command, *addresses]
            process = subprocess.Popen(inside(lab.settings, words))
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
        yield


def expression(ports: Sequence[int]) -> str:
    """Return the pcap-filter for the floods' packets, and for all with a private source."""
    clients = f"(dst host {CLIENT_IPV4} or dst host {CLIENT_IPV6})"
    nets = " or ".join(f"src net {net}" for net in PRIVATE)
    return f"({clients} and dst portrange {min(ports)}-{max(ports)}) or {nets}"


def is_right(packet: Packet, expected: Publics) -> bool | None:
    """Judge the source of a packet; None for other traffic.

    A private source is wrong for every sender and destination.
    """
    if packet.dport in expected:
        return packet.src in expected[packet.dport]
    return False if is_private(packet.src) else None


def sources(packets: Sequence[Packet], expected: Publics) -> Sources:
    """Judge the source of every packet."""
    counts: Counter[tuple[int, int, str]] = Counter()
    wrong: Counter[str] = Counter()
    for packet in packets:
        right = is_right(packet, expected)
        if right:
            counts[packet.dport, packet.family, packet.src] += 1
        elif right is not None:
            wrong[str(packet)] += 1
    return Sources(counts, [f"{number}x {text}" for text, number in wrong.items()])


@lru_cache(maxsize=4096)
def is_private(address: str) -> bool:
    """Whether the address is private: no host on the internet may have it."""
    found = ip_address(address)
    return any(found in net for net in PRIVATE if net.version == found.version)
