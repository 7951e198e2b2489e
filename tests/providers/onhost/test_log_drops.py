"""`log_drops` on a host: the kernel's log lines for packets that the guard drops."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from providers.host.status import parse
from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files

CONTAINER = """\
set -e
ip netns add container
ip link add in-mail type veth peer name eth0 netns container
ip link set in-mail master br-mail up
inside='ip -n container'
$inside link set lo up; $inside link set eth0 up
$inside addr add 172.20.0.2/24 dev eth0; $inside addr add 10.9.9.9/32 dev eth0
$inside route add default via 172.20.0.1
"""

SENDS = """\
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.bind((sys.argv[1], 0))
    for _ in range(int(sys.argv[2])):
        sender.sendto(b"x", ("203.0.113.101", 9))
"""

_ALL_NAMESPACES = Path("/proc/sys/net/netfilter/nf_log_all_netns")
"""Without it the kernel does not log packets of a network namespace."""


@contextmanager
def _kernel_log() -> Iterator[list[str]]:
    """Collect the kernel's log lines for a box's packets during the block."""
    before = _ALL_NAMESPACES.read_text()
    found: list[str] = []
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.lseek(log, 0, os.SEEK_END)
        _ALL_NAMESPACES.write_text("1\n")
        yield found
        while True:
            # Each read returns one message.
            found.append(os.read(log, 8192).decode(errors="replace").split(";", 1)[1])
    except BlockingIOError:
        pass
    finally:
        _ALL_NAMESPACES.write_text(before)
        os.close(log)


def _send(host: Box, source: str, number: int) -> list[str]:
    """Return the messages about packets that a container sends to the host from `source`."""
    (host.root / "mnt/sends.py").write_text(SENDS)
    with _kernel_log() as lines:
        host.out(f"ip netns exec container python3 /mnt/sends.py {source} {number}")
    return [line for line in lines if f" SRC={source} " in line]


@pytest.fixture
def container(host: Box) -> Box:
    """A host that logs, with one container in the network mail."""
    host.bridge("br-mail", "172.20.0.1/24")
    host.deploy(files("log-drops"), "a1")
    host.out(CONTAINER)
    return host


def test_a_dropped_packet_is_logged_with_network_and_reason(container: Box) -> None:
    """A packet that passes is not logged."""
    [line] = _send(container, "10.9.9.9", 1)
    assert line.startswith("wanbound mail source: IN=br-mail ")
    assert _send(container, "172.20.0.2", 1) == []


def test_packets_above_the_rate_are_dropped_without_a_line(container: Box) -> None:
    """The counter of the chain that names the reason includes all of them."""
    assert 10 <= len(_send(container, "10.9.9.9", 50)) < 15
    [drop] = parse(container.run("status").out).drops or ()
    assert (drop.chain, drop.packets) == ("source-br-mail", 50)
    assert drop.rule.endswith(" counter goto drop-source-br-mail")


def test_a_repair_brings_the_log_back(container: Box) -> None:
    """The log lines belong to the guard, so a repair covers them."""
    assert container.run("mend").err == ""
    container.out("nft flush chain inet wanbound drop-source-br-mail")
    assert "repairing what differs from what was loaded: guard" in container.run("mend").err
    assert len(_send(container, "10.9.9.9", 1)) == 1
