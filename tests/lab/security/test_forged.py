"""Forged sources from every side: the incoming interface determines which sources are allowed.

Each packet is marked before all other rules, and its mark is counted behind all rules: in input,
where the host would answer it, and in postrouting, where it would leave. So a packet that counts as
dropped was really sent, and reached nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from lab.api import Host
from lab.images import probe_program
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from tests.lab.security.stage import ATTACKER, LISTENER, OPEN, Place, Stage, stranger
from tests.lab.security.witness import FIRST, LAST, witness
from tests.lab.together import each

pytestmark = pytest.mark.lab
NUMBERS = (1, 2)
"""The hosts' numbers."""

COUNT = 3
"""Packets of each kind per forgery."""

KINDS = ("udp", "syn")
CLIENT = CLIENT_IPV4, CLIENT_IPV6
PLAIN = "plain"
"""A container, its Docker network and its bridge, which wanbound does not manage."""

_SUBNET = "172.31.77.0/24", "fd77::/64"
_ADDRESS = "172.31.77.10", "fd77::10"

SENDERS = ("container", "plain container", "neighbour", "host process")


@dataclass(frozen=True)
class Forgery:
    """A sender, a source and a target; the mark identifies the packets."""

    sender: str
    family: int
    source: str
    target: str
    addresses: tuple[str, str]
    port: int
    passes: bool = False
    mark: int = 0

    def __str__(self) -> str:
        return f"{self.sender}, IPv{self.family}: {self.source} to {self.target}"


def forgeries(place: Place) -> list[Forgery]:
    """Every sender with every foreign source, and with its own for comparison."""
    found: list[Forgery] = []
    for family in (4, 6):
        at = 0 if family == 4 else 1
        sources = {
            "private of one": place.private("one")[at],
            "private of two": place.private("two")[at],
            "public of one": place.public("one")[at],
            "public of two": place.public("two")[at],
            "gateway of two": place.gateway("two")[at],
            "stranger": CLIENT[at],
            "plain": _ADDRESS[at],
        }
        targets = {
            "client": (CLIENT[at], 7007),
            "network two": (place.public("two")[at], 80),
            "host": (place.wan[at], OPEN),
            "bridge of two": (place.gateway("two")[at], OPEN),
        }
        for sender, source, target in _combinations():
            ends, port = targets[target]
            own = _OWN.get(sender) == source
            found.append(
                Forgery(
                    sender, family, source, target, (sources[source], ends), port,
                    own, 1000 + len(found),
                )
            )  # fmt: skip
    return found


_OWN = {"container": "private of one", "plain container": "plain", "neighbour": "stranger"}


def _combinations() -> Iterator[tuple[str, str, str]]:
    ours = ("private of one", "private of two", "public of one", "public of two", "gateway of two")
    for source in (*ours, "stranger", "plain"):
        for target in ("client", "network two", "host", "bridge of two"):
            yield "container", source, target
    for source in (*ours, "plain"):
        for target in ("client", "network two", "host"):
            yield "plain container", source, target
    for source in (*ours, "stranger"):
        for target in ("network two", "host"):
            yield "neighbour", source, target
    # The public addresses are the host's own, so it may use them.
    for source in ("private of one", "private of two"):
        yield "host process", source, "client"


@dataclass
class Seen:
    """How many packets of each forgery reached the host, and how many passed all rules."""

    came: Counter[int] = field(default_factory=Counter)
    passed: Counter[int] = field(default_factory=Counter)


LINKS = {"container": "one", "plain container": PLAIN, "neighbour": "wan0"}
"""The host's interface on which each sender's packets arrive; the host's own arrive on none."""


@contextmanager
def _counting(host: Host, sent: Sequence[Forgery]) -> Iterator[Seen]:
    ways_in = {
        "prerouting": [one for one in sent if one.sender in LINKS],
        "output": [one for one in sent if one.sender not in LINKS],
    }
    chains = {hook: (FIRST, [_marked(one) for one in here]) for hook, here in ways_in.items()}
    # The guard adds one bit to the mark of what it accepts.
    behind = [f"meta mark & 0xffff == {one.mark} {_still(one)}" for one in sent]
    seen = Seen()
    with witness(host, chains | dict.fromkeys(("input", "postrouting"), (LAST, behind))) as counted:
        yield seen
    for hook, here in ways_in.items():
        for one, packets in zip(here, counted[hook], strict=True):
            seen.came[one.mark] += packets
    for hook in ("input", "postrouting"):
        for one, packets in zip(sent, counted[hook], strict=True):
            seen.passed[one.mark] += packets


def _marked(forgery: Forgery) -> str:
    """Return the expression that matches the forgery's packets and marks them."""
    ip = "ip" if forgery.family == 4 else "ip6"
    source, target = forgery.addresses
    link = f'iifname "{LINKS[forgery.sender]}" ' if forgery.sender in LINKS else ""
    return (
        f"{link}{ip} saddr {source} {ip} daddr {target} meta l4proto {{ tcp, udp }}"
        f" th dport {forgery.port} th sport 20000-20099 meta mark set {forgery.mark}"
    )


def _still(forgery: Forgery) -> str:
    """Return the match of packets that count: of the host's own, only those with a private source.

    A packet that was translated to a public address meanwhile is allowed: the address is its own.
    """
    if forgery.sender in LINKS:
        return ""
    return f"{'ip' if forgery.family == 4 else 'ip6'} saddr {forgery.addresses[0]}"


def _words(forgery: Forgery, kind: str) -> str:
    source, target = forgery.addresses
    to = f"[{target}]:{forgery.port}" if forgery.family == 6 else f"{target}:{forgery.port}"
    return f"spoof -from {source} -kind {kind} -count {COUNT} -interval 1ms {to}"


def _send(stage: Stage, place: Place, sent: Sequence[Forgery]) -> None:
    program = {
        "container": f"docker exec {ATTACKER} /probe",
        "plain container": f"docker exec {PLAIN} /probe",
        "host process": LISTENER,
    }
    script = ""
    for forgery in sent:
        for kind in KINDS:
            words = _words(forgery, kind)
            if forgery.sender == "neighbour":
                tool = str(probe_program(stage.lab.settings.cache))
                stage.lab.internet.run([tool, *words.split()])
            else:
                # The kernel may refuse to send for the host what it sends for a container.
                script += f"{program[forgery.sender]} {words} >/dev/null || echo refused\n"
    place.host.run("sh -s", stdin=script, timeout=300)


@pytest.fixture(scope="module")
def forged(stage: Stage) -> dict[int, tuple[list[Forgery], Seen]]:
    """Send every forgery on each host."""

    def send(number: int) -> tuple[list[Forgery], Seen]:
        place = stage.place(number)
        sent = forgeries(place)
        network = ["--ipv6", "--subnet", _SUBNET[0], "--subnet", _SUBNET[1]]
        container = ["--ip", _ADDRESS[0], "--ip6", _ADDRESS[1]]
        with stranger(place.host, PLAIN, network, container), _counting(place.host, sent) as seen:
            _send(stage, place, sent)
        return sent, seen

    return dict(zip(NUMBERS, each(NUMBERS, send), strict=True))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("sender", SENDERS)
def test_a_source_comes_from_its_own_side_alone(
    forged: dict[int, tuple[list[Forgery], Seen]],
    number: int,
    sender: str,
    count: Callable[[str], None],
) -> None:
    """Packets with a foreign source do not get out, to another network or to the host."""
    sent, seen = forged[number]
    mine = [each_one for each_one in sent if each_one.sender == sender]
    false = [each_one for each_one in mine if not each_one.passes]
    came = sum(seen.came[each_one.mark] for each_one in false)
    passed = {str(one): seen.passed[one.mark] for one in false if seen.passed[one.mark]}
    through = sum(passed.values())
    count(f"forged by a {sender}, host {number}: {came} packets sent, {through} passed")
    assert {str(one) for one in false if not seen.came[one.mark]} == set()
    assert passed == {}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("sender", sorted(_OWN))
def test_its_own_source_passes(
    forged: dict[int, tuple[list[Forgery], Seen]], number: int, sender: str
) -> None:
    """The same packets with the sender's own source pass, so others are dropped for theirs."""
    sent, seen = forged[number]
    own = [each_one for each_one in sent if each_one.sender == sender and each_one.passes]
    # A container reaches no bridge's address except its own.
    closed = {f"container, IPv{family}: private of one to bridge of two" for family in (4, 6)}
    # With how many of its packets came to the host.
    lost = {str(one): seen.came[one.mark] for one in own if not seen.passed[one.mark]}
    assert {name: came for name, came in lost.items() if name not in closed} == {}
    assert any(seen.passed[each_one.mark] for each_one in own)
