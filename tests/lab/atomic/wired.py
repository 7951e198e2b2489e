"""Docker networks with a container that sends and answers, and checks of their packets outside."""

import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import hosts
from lab.api import Host, Lab, Packet
from tests.lab.atomic.plans import IMAGE, PORT, Net

TALK = Path(__file__).with_name("talk.py").read_text()
PLACE = "/run/talk.py"
FIRST_PORT = 7100
"""To which the first network of the first host sends; each network has a port of its own."""

OUT_OF_ORDER = 0.1
"""Seconds. Two packets of one moment may be captured in either order: a host has two processors."""

_ASK = """
import socket, sys
for pair in sys.argv[2:]:
    kind, address = pair.split("=")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    link = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    link.settimeout(10)
    try:
        link.connect((address, int(sys.argv[1])))
        if kind == "udp":
            link.send(b"?")
        print(link.recv(64).decode().strip())
    except OSError as error:
        print(type(error).__name__)
    link.close()
"""


def port(host: Host, net: Net) -> int:
    """Return the port to which a network's container sends."""
    return FIRST_PORT + int(net.subnets[0].split(".")[2]) + (100 * (int(host.name[-1]) % 2 == 0))


@contextmanager
def docker(host: Host, nets: Iterable[Net], command: str = "sleep 99999") -> Iterator[None]:
    """Run Docker networks with a container each that restarts after a reboot."""
    made = list(nets)
    try:
        host.run("set -e\n" + "".join(_made(host, net, command) for net in made), timeout=120)
        yield
    finally:
        names = " ".join(net.name for net in made)
        host.run(f"docker rm -f {names}; docker network rm {names}", check=False, timeout=60)


def _made(host: Host, net: Net, command: str) -> str:
    four, six = net.subnets
    return (
        f"docker network create --ipv6 --subnet {four} --subnet {six}"
        f" -o com.docker.network.bridge.name={net.name}"
        f" -o com.docker.network.bridge.enable_ip_masquerade=false"
        f" --label wanbound={host.name}/{net.name} {net.name}\n"
        f"{container(net, net.name, command)}\n"
    )


def container(net: Net, network: str, command: str = "sleep 99999") -> str:
    """Return the command that runs the container of a net in a Docker network."""
    return (
        f"docker run -d --name {net.name} --network {network} --restart always"
        # Process 1 ignores TERM by default, and Docker would wait for 10 s.
        " --stop-signal KILL"
        f" --ip {net.inside[0]} --ip6 {net.inside[1]} {IMAGE} sh -c '{command}'"
    )


def remove(host: Host, net: Net) -> None:
    """Remove a network's container and the network."""
    host.run(f"docker rm -f {net.name} && docker network rm {net.name}")


@contextmanager
def talking(lab: Lab, host: Host, nets: Sequence[Net], late: float = 0.0) -> Iterator[None]:
    """Make their containers send continuously, to the internet in both families.

    They answer questions `late` seconds later.
    """
    host.put(PLACE, TALK)
    started = []
    try:
        for net in nets:
            command = (
                f"exec nsenter -n -t $(docker inspect -f '{{{{.State.Pid}}}}' {net.name})"
                f" python3 {PLACE} {net.name} {port(host, net)} {PORT} {late}"
                f" {lab.internet.ipv4} {lab.internet.ipv6}"
            )
            process = subprocess.Popen(
                hosts.ssh(lab.settings, host.name, [command]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            started.append(process)
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield
    finally:
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        host.run(f"rm -f {PLACE}")


def answers(lab: Lab, addresses: Sequence[str]) -> list[str]:
    """Return who answers at each address, by TCP and by UDP: a name, or an error's name."""
    pairs = [f"{kind}={address}" for address in addresses for kind in ("tcp", "udp")]
    said = lab.internet.run(["python3", "-c", _ASK, str(PORT), *pairs], timeout=120).stdout
    return said.splitlines()


def sources(host: Host, packets: Iterable[Packet], net: Net) -> set[str]:
    """Return the source addresses of the packets of a network's container."""
    return {packet.src for packet in packets if packet.dport == port(host, net)}


def wrong(
    host: Host, packets: Iterable[Packet], states: Sequence[Mapping[str, Net]]
) -> list[Packet]:
    """Return the packets whose source is not their network's address at that time.

    `states` are the host's networks by name, in order. In each family all networks change at one
    moment: a packet of an earlier state may not follow one of a later state.
    """
    names = {port(host, net): name for name, net in states[0].items()}
    found = []
    now, since = {4: 0, 6: 0}, {4: 0.0, 6: 0.0}
    for packet in packets:
        name = names.get(packet.dport)
        if name is None or packet.proto != "udp":
            continue
        family = packet.family
        fits = [
            number
            for number, state in enumerate(states)
            if state[name].publics(host)[family == 6] == packet.src
        ]
        later = [number for number in fits if number >= now[family]]
        if later and later[0] > now[family]:
            now[family], since[family] = later[0], packet.time
        elif not later:
            just_now = packet.time - since[family] < OUT_OF_ORDER
            if not (just_now and now[family] - 1 in fits):
                found.append(packet)
    return found
