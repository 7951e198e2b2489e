"""Who can reach a port with `from`: both families, every direction, both dialects."""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

import pytest

from components.host import wanted_plan
from planner.config import Stack
from planner.plan import plan
from providers.host.generation import compose
from tests.planner import golden
from tests.providers.onhost.box import DASH, Box
from tests.providers.onhost.generations import STACK
from tests.providers.onhost.test_mark import OUTSIDE, PUBLIC, stage

__all__ = ["stage"]  # the fixture

pytestmark = DASH

DIALECTS = pytest.mark.parametrize("firewall", ["iptables", "nftables"])
FAMILIES = (0, 1)
OFFICE = ("198.51.100.7", "2001:db8:aa::7")
RANGES = ("198.51.100.0/24", "2001:db8:aa::/48")
OTHER = ("203.0.113.30", "2001:db8::30")
HOST = ("203.0.113.101", "2001:db8::101")
LISTENING = (
    'for of in tcp tcp6; do until grep -q ":1538 .* 0A " /proc/net/$of; do sleep 0.1; done; done'
)
"""A server has port 5432."""

MORE = """\
set -e
container() { # container NAMESPACE BRIDGE IPV4 IPV6 GATEWAY4 GATEWAY6
    ip netns add "$1"
    ip netns exec "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0
    ip link add "in-$1" type veth peer name eth0 netns "$1"
    ip link set "in-$1" master "$2" up
    ip -n "$1" link set lo up
    ip -n "$1" link set eth0 up
    ip -n "$1" addr add "$3" dev eth0
    ip -n "$1" addr add "$4" dev eth0 nodad
    ip -n "$1" route add default via "$5"
    ip -n "$1" route add default via "$6"
}
ip addr add fd5c:1b2a:77f0:30::1/64 dev other nodad
container db mail 172.20.0.10/24 fd5c:1b2a:77f0:20::10/64 172.20.0.1 fd5c:1b2a:77f0:20::1
container other other 172.20.1.9/24 fd5c:1b2a:77f0:30::9/64 172.20.1.1 fd5c:1b2a:77f0:30::1
ip -n outside addr add 198.51.100.7/32 dev wan0-peer
ip -n outside addr add 2001:db8:aa::7/128 dev wan0-peer nodad
ip route add 198.51.100.7 via 203.0.113.1 dev wan0
ip route add 2001:db8:aa::7 via 2001:db8::1 dev wan0
"""
"""The database, a container of another network, and an office that may call it."""

MASQUERADED = """\
iptables -t nat -A POSTROUTING -s 172.31.77.0/24 ! -o plain -j MASQUERADE
ip6tables -t nat -A POSTROUTING -s fd77::/64 ! -o plain -j MASQUERADE
iptables -I DOCKER-USER -o plain -m conntrack --ctstate ESTABLISHED -j ACCEPT
ip6tables -I DOCKER-USER -o plain -m conntrack --ctstate ESTABLISHED -j ACCEPT
"""
"""Docker's masquerading for a network that is not ours."""

BRIDGE = ("172.20.0.1", "fd5c:1b2a:77f0:20::1")

TALK = """\
import socket, sys, threading, time
def push(caller):
    with caller:
        while True:
            caller.send(caller.getpeername()[0].encode() + b' ')
            time.sleep(0.05)
def serve(kind):
    server = socket.socket(kind, socket.SOCK_STREAM)
    if kind == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(('', 5432))
    server.listen()
    while True:
        threading.Thread(target=push, args=(server.accept()[0],), daemon=True).start()
if sys.argv[1] == 'serve':
    threading.Thread(target=serve, args=(socket.AF_INET,), daemon=True).start()
    serve(socket.AF_INET6)
address, source, file = sys.argv[2:5]
try:
    patience = float(sys.argv[5])
    ours = (source, 0) if source != '-' else None
    caller = socket.create_connection((address, 5432), patience, ours)
except OSError:
    sys.exit(print('nothing'))
if sys.argv[1] == 'ask':
    sys.exit(print(caller.recv(999).split()[0].decode()))
caller.settimeout(None)
with open(file, 'wb', buffering=0) as heard:
    while True:
        heard.write(caller.recv(999))
"""
"""A server that keeps telling who called it; a caller, and one that keeps listening."""

Caller = tuple[str, tuple[str, str]]
"""A network namespace, and the source that it binds to in each family."""

ANY_SOURCE = ("-", "-")


class Office:
    """A host with a database that has `from`, and all possible callers."""

    def __init__(self, host: Box, firewall: str) -> None:
        self.host, self._firewall, self._token = host, firewall, 0

    def allow(self, *ranges: str) -> None:
        """Let in callers from these ranges only; without ranges, every caller."""
        raw = golden.config("ingress-from")
        (host,) = raw["hosts"]
        host["firewall"] = self._firewall
        mail, other, _ = host["networks"]
        host["networks"] = [mail, other]
        mail["ingress"] = [{"ports": [80, 443]}, {"ports": [5432], "to": "db"}]
        if ranges:
            mail["ingress"][1]["from"] = list(ranges)
        wanted = wanted_plan(plan(Stack.parse(raw, "from"))[0], STACK, {})
        self._token += 1
        self.host.deploy(dict(compose(wanted).files), f"f{self._token}")

    def ask(self, namespace: str, address: str, source: str = "-") -> str:
        """Return the source that the database sees of a caller; "nothing" if none answers."""
        return self._said(namespace, address, source, seconds=15)

    def seen(self, caller: Caller) -> tuple[str, ...]:
        """Return the sources of a caller in both families."""
        return tuple(self.ask(caller[0], PUBLIC[at], caller[1][at]) for at in FAMILIES)

    def silent(self, namespace: str, address: str, source: str = "-") -> bool:
        """Return whether nobody answers."""
        return self._said(namespace, address, source, seconds=1) == "nothing"

    def closed_to(self, *callers: Caller) -> bool:
        """Return whether none of them gets an answer, in both families."""
        with ThreadPoolExecutor(2 * len(callers)) as pool:
            asked = [
                pool.submit(self.silent, who, PUBLIC[at], source[at])
                for (who, source), at in product(callers, FAMILIES)
            ]
        return all(each.result() for each in asked)

    def _said(self, namespace: str, address: str, source: str, seconds: int) -> str:
        return self.host.out(_talk(namespace, "ask", address, source, "-", str(seconds))).strip()

    def dropped(self) -> int:
        """Return the packets dropped because of `from`, according to the host's status."""
        lines = self.host.run("status").out.splitlines()
        found = [line.split() for line in lines if line.startswith("ingress-mail ")]
        return sum(int(words[1]) for words in found)

    @contextmanager
    def held(self, namespace: str, address: str, source: str) -> Iterator[Path]:
        """Hold a connection open, and return the file with the received data."""
        heard = self.host.root / "mnt" / f"heard-{source}"
        command = _talk(namespace, "hold", address, source, f"/mnt/{heard.name}", "15")
        with self.host.popen(f"exec {command}") as process:
            try:
                for _ in range(200):
                    if heard.exists() and heard.stat().st_size:
                        break
                    time.sleep(0.1)
                yield heard
            finally:
                # Processes that it started end with the box.
                process.kill()


def _talk(namespace: str, *words: str) -> str:
    place = "" if namespace == "host" else f"ip netns exec {namespace} "
    return f"{place}{sys.executable} /mnt/talk.py {' '.join(words)}"


def _growing(*files: Path, seconds: float = 1.5) -> list[Path]:
    """Return the files that have grown, after `seconds` or as soon as all have."""
    before = {file: file.stat().st_size for file in files}
    end = time.monotonic() + seconds
    grown: list[Path] = []
    while len(grown) < len(files) and time.monotonic() < end:
        time.sleep(0.05)
        grown = [file for file, size in before.items() if file.stat().st_size > size]
    return grown


@pytest.fixture
def office(request: pytest.FixtureRequest, firewall: str, stage: object) -> Office:
    """Add these tests' hosts and servers to the stage of test_mark.py."""
    host: Box = request.getfixturevalue("host")
    host.bridge("other", "172.20.1.1/24")
    (host.root / "mnt/talk.py").write_text(TALK)
    host.out(MORE)
    host.out(f"(setsid {_talk('db', 'serve')} >/dev/null 2>&1 &)")
    host.out(f"ip netns exec db sh -c '{LISTENING}'")
    found = Office(host, firewall)
    found.allow()
    return found


@DIALECTS
def test_who_gets_in(office: Office) -> None:
    """Callers inside the range reach the port, others do not; dropped packets are counted."""
    office.allow(*RANGES)
    assert office.seen(("outside", OFFICE)) == OFFICE
    assert office.dropped() == 0
    assert office.closed_to(("outside", OUTSIDE))
    assert office.dropped() > 0
    office.allow()
    assert office.seen(("outside", OUTSIDE)) == OUTSIDE


@DIALECTS
def test_a_family_without_a_range_is_closed(office: Office) -> None:
    """An IPv4 range opens nothing in IPv6; a single address is a range."""
    office.allow(OFFICE[0])
    assert office.ask("outside", PUBLIC[0], OFFICE[0]) == OFFICE[0]
    assert office.silent("outside", PUBLIC[1], OFFICE[1])
    office.allow("::/0")
    assert office.silent("outside", PUBLIC[0], OFFICE[0])
    assert office.ask("outside", PUBLIC[1], OUTSIDE[1]) == OUTSIDE[1]


@DIALECTS
def test_callers_on_the_same_host_count_by_what_the_container_sees(office: Office) -> None:
    """Another network has its public address, the host the address that it calls or binds to."""
    callers = ("other", "container", "host", "stranger")
    other, container, host, stranger = ((who, ANY_SOURCE) for who in callers)
    bound = ("host", HOST)
    office.allow(*RANGES)
    assert office.closed_to(other, container, host, bound)
    office.allow(*OTHER)
    assert office.seen(other) == OTHER
    assert office.closed_to(container, host, bound)
    office.allow(*PUBLIC, *HOST)
    assert office.closed_to(other)
    assert [office.seen(each) for each in (container, host, bound)] == [PUBLIC, PUBLIC, HOST]
    # Ranges match neither private sources nor the bridge's address, which Docker's NAT gives.
    office.allow("172.16.0.0/12", "fd5c:1b2a::/32")
    assert office.closed_to(other, container, host, bound)
    office.host.out(MASQUERADED)
    assert office.closed_to(stranger)
    office.allow("0.0.0.0/0", "::/0")
    assert office.seen(stranger) == BRIDGE


@DIALECTS
def test_an_open_connection_ends_with_its_range(office: Office) -> None:
    """It ends at once in both directions; a caller in the range stays connected."""
    office.allow()
    with ExitStack() as stack:
        outside, inside = (
            [stack.enter_context(office.held("outside", PUBLIC[at], of[at])) for at in FAMILIES]
            for of in (OUTSIDE, OFFICE)
        )
        assert len(_growing(*outside, *inside, seconds=30)) == 4
        office.allow(*RANGES)
        assert _growing(*inside, seconds=30) == inside
        # What a caller had received before, it may write a moment later.
        assert any(_growing(*outside) == [] for _ in range(10))
        office.allow()
        assert _growing(*outside, seconds=30) == outside


@DIALECTS
def test_without_nat_the_hosts_own_port_does_not_answer(office: Office) -> None:
    """An untranslated packet reaches the host itself, whose answer is dropped."""
    office.allow(*RANGES)
    host = office.host
    if "nat-prerouting" in host.out("nft list table inet wanbound"):
        host.out("nft flush chain inet wanbound dnat-mail")
    else:
        host.out("iptables -t nat -F WANBOUND-DNAT; ip6tables -t nat -F WANBOUND-DNAT")
    host.out(f"(setsid {_talk('host', 'serve')} >/dev/null 2>&1 &)")
    host.out(LISTENING)
    for at in FAMILIES:
        assert office.ask("outside", HOST[at], OUTSIDE[at]) == OUTSIDE[at]
        assert office.silent("outside", PUBLIC[at], OUTSIDE[at])
