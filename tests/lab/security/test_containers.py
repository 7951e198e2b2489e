"""What a container can do to other networks: it sends arbitrary packets, as root.

Counters before all other rules prove that a packet was really sent.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lab.api import Host, Packet
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from tests.lab.security.stage import ATTACKER, CLOSED, NEIGHBOUR, OPEN, Place, Stage
from tests.lab.security.witness import FIRST, witness
from tests.lab.together import each, on_each

pytestmark = pytest.mark.lab
NUMBERS = (1, 2)
"""The hosts' numbers."""

HOSTS = pytest.mark.parametrize("number", NUMBERS)
FAMILIES = pytest.mark.parametrize("family", [4, 6])
CLIENT = {4: CLIENT_IPV4, 6: CLIENT_IPV6}
STRANGER = {4: "198.51.100.250", 6: "2001:db8:ffff::bad"}
"""An address that no machine of the lab has."""

COUNT = 10
"""Packets per forgery."""

FIRST_PORT = 7000

KINDS = ("udp", "syn", "stray", "broken", "other")
"""Of `probe spoof`: a datagram, a SYN, an ACK without connection, a bad checksum, protocol 253."""

SOURCES = ("own", "other's private", "other's public", "own public", "host", "gateway", "stranger")


@dataclass(frozen=True)
class Forgery:
    """Packets of one kind with one source; the port identifies them."""

    family: int
    source: str
    kind: str
    address: str
    port: int

    @property
    def command(self) -> str:
        """The command with which the attacker sends them."""
        to = CLIENT[self.family]
        to = f"[{to}]:{self.port}" if self.family == 6 else f"{to}:{self.port}"
        words = f"-from {self.address} -kind {self.kind} -count {COUNT} -interval 2ms {to}"
        return f"docker exec {ATTACKER} /probe spoof {words}"


def forgeries(place: Place) -> list[Forgery]:
    """Every source with every kind, in both families."""
    found: list[Forgery] = []
    for family in (4, 6):
        at = 0 if family == 4 else 1
        addresses = {
            "own": place.private("one")[at],
            "other's private": place.private("two")[at],
            "other's public": place.public("two")[at],
            "own public": place.public("one")[at],
            "host": place.wan[at],
            "gateway": place.gateway("one")[at],
            "stranger": STRANGER[family],
        }
        for source in SOURCES:
            for kind in KINDS:
                port = FIRST_PORT + len(found)
                found.append(Forgery(family, source, kind, addresses[source], port))
    return found


@contextmanager
def counting(host: Host, matches: Sequence[str]) -> Iterator[dict[str, int]]:
    """Count matching packets that reach the host, before conntrack and all other rules.

    The yielded map has the packets per match once the context has ended.
    """
    counted: dict[str, int] = {}
    with witness(host, {"prerouting": (FIRST, matches)}) as found:
        yield counted
    counted |= zip(matches, found["prerouting"], strict=True)


@dataclass(frozen=True)
class Spoofed:
    """The packets that one host's attacker sent, that reached the host, and that got out."""

    place: Place
    sent: Sequence[Forgery]
    seen_by_host: Mapping[str, int]
    outside: Sequence[Packet]

    def match(self, family: int, address: str) -> str:
        """Return what matches such packets on the bridge."""
        ip = "ip" if family == 4 else "ip6"
        return f'iifname "one" {ip} saddr {address} {ip} daddr {CLIENT[family]}'

    def got_out(self, forgery: Forgery) -> list[Packet]:
        """Return the packets of a forgery that the internet saw."""
        if forgery.kind == "other":
            return [p for p in self.outside if p.proto == "253" and p.family == forgery.family]
        return [packet for packet in self.outside if packet.dport == forgery.port]


@pytest.fixture(scope="module")
def spoofed(stage: Stage) -> dict[int, Spoofed]:
    """Send every forgery on each host, under one capture."""

    def send(number: int) -> Spoofed:
        place = stage.place(number)
        sent = forgeries(place)
        one = Spoofed(place, sent, {}, ())
        matches = list(dict.fromkeys(one.match(f.family, f.address) for f in sent))
        script = "".join(f"{forgery.command} >/dev/null || exit 1\n" for forgery in sent)
        expression = f"dst host {CLIENT_IPV4} or dst host {CLIENT_IPV6}"
        link = place.host.wan_link
        with (
            stage.lab.internet.capture(expression, link) as capture,
            counting(place.host, matches) as counted,
        ):
            place.host.run("sh -s", stdin=script, timeout=180)
        return Spoofed(place, sent, counted, capture.packets)

    return dict(zip(NUMBERS, each(NUMBERS, send), strict=True))


@HOSTS
@FAMILIES
@pytest.mark.parametrize("source", SOURCES)
def test_the_attacker_really_sends(
    spoofed: dict[int, Spoofed], number: int, family: int, source: str
) -> None:
    """Each forged packet reached the host by the bridge, so the host dropped the missing ones."""
    one = spoofed[number]
    mine = [f for f in one.sent if (f.family, f.source) == (family, source)]
    match = one.match(family, mine[0].address)
    assert one.seen_by_host[match] == COUNT * len(mine) == COUNT * len(KINDS)


@HOSTS
@FAMILIES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES)
def test_no_packet_leaves_with_a_forged_source(
    spoofed: dict[int, Spoofed], number: int, family: int, source: str, kind: str
) -> None:
    """Whatever source the container writes, packets that get out have the network's own address."""
    one = spoofed[number]
    [forgery] = [f for f in one.sent if (f.family, f.source, f.kind) == (family, source, kind)]
    public = one.place.public("one")[0 if family == 4 else 1]
    sources = Counter(packet.src for packet in one.got_out(forgery))
    print(dict(sources))
    assert sources.keys() <= {public}
    # The gateway's address belongs to the network's subnet, and is translated like the others.
    if source not in ("own", "gateway") and kind != "other":
        assert sum(sources.values()) == 0


@HOSTS
@FAMILIES
def test_what_is_not_forged_gets_out(spoofed: dict[int, Spoofed], number: int, family: int) -> None:
    """The program works with the container's own source, so the forged packets were dropped."""
    one = spoofed[number]
    for kind in ("udp", "syn"):
        [forgery] = [f for f in one.sent if (f.family, f.source, f.kind) == (family, "own", kind)]
        public = one.place.public("one")[0 if family == 4 else 1]
        assert {packet.src for packet in one.got_out(forgery)} == {public}
        assert len(one.got_out(forgery)) >= COUNT


# --- other networks, and the host ----------------------------------------------------------------


HOSTS_ADDRESSES = ("gateway", "other's gateway", "wan", "public", "other's public")
"""Addresses of the host itself, from a container's view."""


def _ask(host: Host, container: str, address: str, port: int, seconds: int = 10) -> str:
    """Return the answer to the container, "" without one."""
    to = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    done = host.run(f"docker exec {container} /probe ask-tcp -timeout {seconds}s {to}", check=False)
    return done.stdout.strip()


@pytest.fixture
def numbers() -> Sequence[int]:
    """The numbers of the hosts, which are asked at the same time."""
    return NUMBERS


@FAMILIES
@on_each
def test_another_network_is_reached_by_its_public_address_alone(
    number: int, stage: Stage, family: int
) -> None:
    """Its private address gives no answer, although the question reached the host."""
    place, at = stage.place(number), 0 if family == 4 else 1
    ip = "ip" if family == 4 else "ip6"
    private, public = place.private("two")[at], place.public("two")[at]
    match = f'iifname "one" {ip} daddr {private} tcp dport 80'
    with counting(place.host, [match]) as counted:
        assert _ask(place.host, ATTACKER, private, 80, 1) == ""
    assert counted[match] > 0
    assert _ask(place.host, ATTACKER, public, 80) == place.public("one")[at]
    # The server works: its own container is answered.
    assert _ask(place.host, NEIGHBOUR, private, 80) == private


@FAMILIES
@pytest.mark.parametrize("address", HOSTS_ADDRESSES)
@on_each
def test_the_hosts_own_ports_are_closed_to_containers(
    number: int, stage: Stage, family: int, address: str
) -> None:
    """With a baseline, a container reaches the ports that are open to everybody, and no other."""
    place, at = stage.place(number), 0 if family == 4 else 1
    found = {
        "gateway": place.gateway("one"),
        "other's gateway": place.gateway("two"),
        "wan": place.wan,
        "public": place.public("one"),
        "other's public": place.public("two"),
    }[address][at]
    match = f'iifname "one" {"ip" if family == 4 else "ip6"} daddr {found} tcp dport'
    with counting(place.host, [f"{match} {port}" for port in (22, CLOSED)]) as counted:
        assert _ask(place.host, ATTACKER, found, 22, 1) == ""
        assert _ask(place.host, ATTACKER, found, CLOSED, 1) == ""
    assert all(count > 0 for count in counted.values()), counted
    # The other bridge's address is private to the other network, so even open ports are closed.
    closed = address == "other's gateway"
    answer = _ask(place.host, ATTACKER, found, OPEN, 1 if closed else 10)
    assert (answer == "") == closed


@on_each
def test_the_management_address_is_closed_to_containers(number: int, stage: Stage) -> None:
    """SSH is for `ssh_from`, which has no container, whatever way its packets take."""
    host = stage.place(number).host
    assert _ask(host, ATTACKER, host.address, 22, 1) == ""
    assert _ask(host, ATTACKER, host.address, CLOSED, 1) == ""
    assert _ask(host, ATTACKER, host.address, OPEN) != ""
    assert host.run("echo in").stdout == "in\n"


@FAMILIES
@on_each
def test_the_hosts_own_ports_are_closed_to_the_internet(
    number: int, stage: Stage, family: int
) -> None:
    """The same from outside, on every address that the host has on the wan."""
    place, at = stage.place(number), 0 if family == 4 else 1
    for address in (place.wan[at], place.public("one")[at], place.public("two")[at]):
        for port, answers in ((22, False), (CLOSED, False), (OPEN, True)):
            ask = f"exec 3<>/dev/tcp/{address}/{port} && cat <&3 | head -c 3"
            patience = "10" if answers else "2"
            done = stage.lab.internet.run(["timeout", patience, "bash", "-c", ask], check=False)
            assert bool(done.stdout) == answers, (address, port, done)


@on_each
def test_a_container_that_plays_the_router_is_not_believed(number: int, stage: Stage) -> None:
    """Router advertisements on a bridge would send the host's own IPv6 traffic to the container."""
    host = stage.place(number).host
    routes = "ip -6 route show default; ip -6 route show table all | grep -c 'proto ra.* dev one'"
    before = host.run(routes, check=False).stdout
    assert before.splitlines()[-1] == "0"
    match = 'iifname "one" icmpv6 type nd-router-advert'
    with counting(host, [match]) as counted:
        listed = host.run(f"docker exec {ATTACKER} /probe advertise {_link(host)}")
    assert json.loads(listed.stdout)["sent"] == 5
    assert counted[match] == 5
    assert host.run(routes, check=False).stdout == before


def _link(host: Host) -> str:
    """Return the attacker's own interface."""
    pid = host.run(f"docker inspect -f '{{{{.State.Pid}}}}' {ATTACKER}").stdout.strip()
    listed = host.run(f"nsenter -t {pid} -n ip -o link show").stdout
    [link] = re.findall(r"^\d+: (\w+)@", listed, re.MULTILINE)
    return str(link)
