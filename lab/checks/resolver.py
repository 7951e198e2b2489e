"""With which source address does a DNS server see a network's name queries? Found by capture.

A container asks as a program in it would: the servers of its resolv.conf in order, which on a
Docker network is Docker's own resolver. Docker decides who then asks the server (docs/engine.md),
so the packets are captured where they arrive.
"""

import itertools
import random
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from lab.api import Lab, Packet
from lab.checks.matrix import Check, Origin, Question, Result
from planner.config import Host, Network, Stack
from planner.docker import ContainerPlan
from planner.plan import plan

AT_A_TIME = 6
"""Captures that run at the same time."""

ZONE = "names.example.org"
"""A domain without any name."""

SILENCE = "no query"
"""The result if no server was asked."""

_LETTERS = "bcdfghjklmnpqrstvwxz"
_NUMBERS = itertools.count(random.randrange(len(_LETTERS) ** 3))  # noqa: S311
"""A random start: another run at the same time most likely uses other names."""

# Arguments: the name, the resolv.conf, and the servers' port. If a server does not answer, or
# fails, the next one is asked, as in resolv.conf(5).
ASK = """\
import re, socket, struct, sys
name, file, port = sys.argv[1:]
labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
query = struct.pack("!6H", 4711, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!B2H", 0, 1, 1)
for server in re.findall(r"^nameserver (\\S+)", open(file).read(), re.MULTILINE):
    kind = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(kind, socket.SOCK_DGRAM) as end:
        end.settimeout(2)
        try:
            end.sendto(query, (server, int(port)))
            answer = end.recv(512)
        except OSError:
            continue
    if answer[3] & 15 != 2:
        break
"""


def resolvers(lab: Lab, stack: Stack) -> list[Result]:
    """Return a result for each network with `dns` and containers, in each family of its queries."""
    asked = list(_networks(stack))
    with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
        seen = pool.map(lambda one: queries(lab, one[0].name, one[2]), asked)
        return [
            result
            for (host, network, container), packets in zip(asked, seen, strict=True)
            for result in judged(host.name, network, container, packets)
        ]


def _networks(stack: Stack) -> Iterator[tuple[Host, Network, str]]:
    """Yield each network to be checked, with the container that asks for it."""
    for host, planned in zip(stack.hosts, plan(stack), strict=True):
        for network, network_plan in zip(host.networks, planned.networks, strict=True):
            if network.dns and network_plan.containers:
                yield host, network, _first(network_plan.containers)


def _first(containers: Sequence[ContainerPlan]) -> str:
    return min(containers, key=lambda each: each.role != "whoami").name


def queries(lab: Lab, host: str, container: str) -> Sequence[Packet]:
    """Make a container look up a unique name; return the packets that a server got."""
    label = unique_label()
    with lab.internet.capture(expression(label)) as capture:
        command = (
            f"pid=$(docker inspect -f '{{{{.State.Pid}}}}' {shlex.quote(container)}) &&"
            f' nsenter --target "$pid" --net -- python3 - {label}.{ZONE}'
            ' "/proc/$pid/root/etc/resolv.conf" 53'
        )
        # A container that is not running sends no query, which the result shows.
        lab.host(host).run(command, stdin=ASK, check=False)
    return capture.packets


def unique_label() -> str:
    """Return three letters that this process has not used for a while (8,000 names)."""
    number, label = next(_NUMBERS), ""
    for _ in range(3):
        number, place = divmod(number, len(_LETTERS))
        label += _LETTERS[place]
    return label


def expression(label: str) -> str:
    """Return the pcap-filter(7) for queries whose name begins with a label of three characters.

    The name follows the headers of UDP and DNS, 20 bytes; `udp[…]` is for IPv4 alone.
    """
    begin = f"0x{bytes([len(label)]).hex()}{label.encode().hex()}"
    return f"udp dst port 53 and (udp[20:4] = {begin} or ip6[60:4] = {begin})"


def judged(
    host: str, network: Network, container: str, packets: Sequence[Packet]
) -> Iterator[Result]:
    """Yield one result for each family in which a server was asked, or one for none at all."""
    families = sorted({packet.family for packet in packets}) or [network.dns[0].version]
    for version in (4, 6):
        if version not in families:
            continue
        found = [packet for packet in packets if packet.family == version]
        server = found[0].dst if found else str(network.dns[0])
        check = Check(
            "resolver",
            host,
            network.name,
            version,
            f"{container} asks {server} for a name",
            Question(Origin(host, container), server, port=53),
            str(network.public(version)),
        )
        seen = ", ".join(sorted({packet.src for packet in found}))
        yield Result(check, seen or SILENCE)
