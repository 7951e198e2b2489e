"""Name queries: how they are sent, found in a capture, and judged."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab.api import Packet
from lab.checks.resolver import ASK, SILENCE, _networks, expression, judged, unique_label
from lab.stacks import CHECKOUT, parsed, read
from planner.config import Network, Stack

ANSWERS, FAILS = b"\x81\x83", b"\x81\x82"
"""Flags of an answer: NXDOMAIN, SERVFAIL (RFC 1035, 4.1.1)."""


@pytest.fixture(scope="module")
def stack() -> Stack:
    """The demo's stack."""
    return parsed(read(CHECKOUT / "stacks" / "Pulumi.demo.yaml"), "demo")


def _asked(tmp_path: Path, *flags: bytes) -> list[tuple[str, bytes]]:
    """Ask servers that answer with these flags; return the query that each received."""
    got: list[tuple[str, bytes]] = []
    servers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in flags]
    servers[0].bind(("127.0.0.2", 0))
    port = servers[0].getsockname()[1]
    for last, server in enumerate(servers[1:], 3):
        server.bind((f"127.0.0.{last}", port))

    def serve(server: socket.socket, flag: bytes) -> None:
        query, asker = server.recvfrom(512)
        got.append((server.getsockname()[0], query))
        server.sendto(query[:2] + flag + query[4:], asker)

    threads = [
        threading.Thread(target=serve, args=pair, daemon=True)
        for pair in zip(servers, flags, strict=True)
    ]
    for thread in threads:
        thread.start()
    file = tmp_path / "resolv.conf"
    file.write_text("".join(f"nameserver 127.0.0.{at}\n" for at in range(2, 2 + len(flags))))
    words = [sys.executable, "-", "bcd.names.example.org", str(file), str(port)]
    subprocess.run(words, input=ASK, text=True, check=True, timeout=30)
    return got


def test_the_first_server_that_answers_is_the_last_one_asked(tmp_path: Path) -> None:
    """NXDOMAIN is an answer."""
    assert [server for server, _ in _asked(tmp_path, ANSWERS, ANSWERS)] == ["127.0.0.2"]


def test_a_server_that_fails_is_followed_by_the_next(tmp_path: Path) -> None:
    """As the C library does it."""
    found = [server for server, _ in _asked(tmp_path, FAILS, ANSWERS)]
    assert found == ["127.0.0.2", "127.0.0.3"]


def test_a_query_is_found_by_the_first_bytes_of_its_name(tmp_path: Path) -> None:
    """Behind DNS's 12 bytes of header, 20 with UDP's; and it is a query for an A record."""
    ((_, query),) = _asked(tmp_path, ANSWERS)
    begin = f"0x{query[12:16].hex()}"
    assert begin == "0x03626364"
    assert expression("bcd").count(f"[20:4] = {begin}") == 1
    assert expression("bcd").count(f"[60:4] = {begin}") == 1
    assert query[12:].startswith(b"\x03bcd\x05names\x07example\x03org\x00\x00\x01\x00\x01")


def test_no_two_queries_have_one_name() -> None:
    """Each is identified by its first label, as several are asked at the same time."""
    labels = [unique_label() for _ in range(8000)]
    assert len(set(labels)) == 8000
    assert {len(label) for label in labels} == {3}


def test_whoami_asks_for_each_network(stack: Stack) -> None:
    """One per network of the demo with servers; without servers, no query is made."""
    assert [(host.name, container) for host, _, container in _networks(stack)] == [
        (host, f"whoami-{name}")
        for host in ("edge-1", "edge-2")
        for name in ("web", "mail", "special")
    ]
    config = read(CHECKOUT / "stacks" / "Pulumi.demo.yaml")
    for host in config["hosts"]:
        del host["dns"]
    assert list(_networks(parsed(config, "demo"))) == []


def _packet(src: str, dst: str) -> Packet:
    return Packet(0.0, 6 if ":" in src else 4, src, dst, "udp", 4711, 53, "", 60)


_OWN4 = _packet("203.0.113.20", "198.51.100.53")
_OWN6 = _packet("2001:db8::20", "2001:db8:ffff::53")
_HOST = _packet("203.0.113.101", "198.51.100.53")


@pytest.mark.parametrize(
    ("packets", "seen", "good"),
    [
        ([_OWN4], ["203.0.113.20"], True),
        ([_OWN4, _OWN4], ["203.0.113.20"], True),
        ([_OWN6], ["2001:db8::20"], True),
        ([_OWN4, _OWN6], ["203.0.113.20", "2001:db8::20"], True),
        ([_HOST], ["203.0.113.101"], False),
        # A query with the network's source does not make up for one with the host's.
        ([_OWN4, _HOST], ["203.0.113.101, 203.0.113.20"], False),
        ([_HOST, _OWN6], ["203.0.113.101", "2001:db8::20"], False),
        ([], [SILENCE], False),
    ],
)
def test_every_packet_counts(
    stack: Stack, packets: list[Packet], seen: list[str], good: bool
) -> None:
    """In each family in which a server was asked; no query at all is a failure."""
    network: Network = stack.hosts[0].networks[1]
    results = list(judged("edge-1", network, "whoami-mail", packets))
    assert [result.seen for result in results] == seen
    assert all(result.ok for result in results) is good
