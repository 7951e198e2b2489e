"""While the guard is replaced, a copy of it filters."""

import sys
import time
from collections.abc import Iterator

import pytest

from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files

COUNTED = """\
set -e
ip netns add container
ip link add in-mail type veth peer name eth0 netns container
ip link set in-mail master mail up
ip -n container link set lo up
ip -n container link set eth0 up
ip -n container addr add 172.20.0.2/24 dev eth0
ip -n container route add default via 172.20.0.1
sysctl -qw net.ipv4.ip_forward=1
ip neigh replace 203.0.113.1 lladdr 02:00:00:00:00:01 dev wan0
ip route replace 198.51.100.10 via 203.0.113.1 dev wan0
nft -f - <<'NFT'
table ip witness {
    counter left { }
    counter tried { }
    chain translate {
        type nat hook postrouting priority 90;
        oifname "wan0" masquerade
    }
    chain before {
        type filter hook postrouting priority 140;
        udp dport 7701 counter name "tried"
    }
    chain behind {
        type filter hook postrouting priority 200;
        udp dport 7701 counter name "left"
    }
}
NFT
"""
"""A container that sends, and NAT that comes before ours and gives it the host's own address."""

SENDS = """\
import socket, sys
while True:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(20):
            try:
                sender.sendto(b'x', ('198.51.100.10', 7701))
            except OSError:
                pass
"""

LOADS = 40


@pytest.fixture
def flooded(host: Box) -> Iterator[Box]:
    """A host whose container sends as fast as it can, only with a wrong source."""
    host.bridge("mail", "172.20.0.1/24")
    host.deploy(files("dual-stack"), "a1")
    host.out(COUNTED)
    (host.root / "mnt/sends.py").write_text(SENDS)
    with host.popen(f"exec ip netns exec container {sys.executable} /mnt/sends.py") as process:
        try:
            time.sleep(0.5)
            yield host
        finally:
            # Processes that it started end with the box.
            process.kill()


def _packets(host: Box, name: str) -> int:
    return int(host.out(f"nft list counter ip witness {name}").split("packets ")[1].split()[0])


def test_no_packet_passes_while_it_is_replaced(flooded: Box) -> None:
    """None passes, of some hundred thousand in dozens of loads."""
    for _ in range(LOADS):
        done = flooded.run("apply")
        assert done.code == 0, done
    assert _packets(flooded, "tried") > 1000
    assert _packets(flooded, "left") == 0
    flooded.out("nft delete table inet wanbound")
    flooded.until(lambda: _packets(flooded, "left") > 0)


def test_a_copy_that_was_left_is_removed(host: Box) -> None:
    """A load that is killed leaves the copy, which filters until the next run removes it."""
    host.deploy(files("dual-stack"), "a1")
    host.shim(
        "nft", 'case "$*" in *"delete table"*) kill -9 $PPID; exit ;; esac; exec "$real" "$@"'
    )
    host.out("nft flush chain inet wanbound source-mail")
    host.run("mend")
    host.no_shims()
    assert "inet wanbound-copy" in host.out("nft list tables")
    assert "the copy of the guard" in host.run("mend").err
    assert host.out("nft list tables inet") == "table inet wanbound\n"
    assert host.run("mend").err == ""
