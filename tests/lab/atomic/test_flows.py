"""Connections that are open while rules change soon get the new translation.

NAT is decided once per connection. So each load and each repair ends the connections whose
translation has changed: their next packet begins a new connection under the present rules.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lab import hosts
from lab.api import Host, Lab
from lab.namespace import inside
from tests.lab.atomic.drill import Drill
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.plans import PORT, Net, plan
from tests.lab.atomic.wired import container, docker, talking

pytestmark = pytest.mark.lab

ASKER = Path(__file__).with_name("asker.py").read_text()
PLACE = "/run/asker.py"
WITHIN = 10.0
"""Seconds after a load within which the new container answers and the former one stops.

One second on an idle machine. An untouched UDP flow would time out after 30 to 120 s.
"""

LEFT, RIGHT = Net("left", 70), Net("right", 71)
OTHER = replace(LEFT, name="other", container=253)
"""Another container in the network of LEFT's container."""

FLUSHED = [
    f"{tool} -t nat -F WANBOUND-{chain}\n"
    for tool in ("iptables", "ip6tables")
    for chain in ("DNAT", "SNAT")
]

LATE = 0.01
"""Seconds that a container takes for an answer: half of the time, one is on its way."""

LOST = "ConnectionRefusedError", "ConnectionResetError", "end"
"""What an asker hears when its connection is lost."""


class Asker:
    """A client that asks continuously over one connection."""

    def __init__(self, what: str, command: Sequence[str]) -> None:
        self.what = what
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "asking\n", what

    def heard(self) -> dict[str, tuple[float, float]]:
        """End the client; return when each name was heard first and last."""
        said, _ = self.process.communicate(timeout=30)
        found = {name: (first, last) for name, (first, last) in json.loads(said).items()}
        print(self.what, found)
        return found

    def kill(self) -> None:
        """Kill the client."""
        self.process.kill()
        self.process.wait()


@contextmanager
def asking(lab: Lab, addresses: Sequence[str], kinds: Sequence[str]) -> Iterator[list[Asker]]:
    """Ask at these addresses from the internet."""
    with ExitStack() as stack:
        made = []
        for address in addresses:
            for kind in kinds:
                words = ["python3", "-c", ASKER, kind, address, str(PORT)]
                made.append(Asker(f"{kind} {address}", inside(lab.settings, words)))
                stack.callback(made[-1].kill)
        yield made


def by_one_then_another(
    asker: Asker, former: str, now: str | None, before: float, after: float
) -> None:
    """Assert that the former answers until `before`, and only the new one soon after `after`."""
    heard = asker.heard()
    wrong = {name: times for name, times in heard.items() if name not in (former, now, *LOST)}
    assert wrong == {}
    assert heard[former][0] < before
    assert heard[former][1] < after + WITHIN
    if now is None:
        assert heard["end"][0] < after + WITHIN
    else:
        assert heard[now][0] < after + WITHIN


@contextmanager
def prepared(lab: Lab, host: Host, nets: Sequence[Net], late: float = 0.0) -> Iterator[Drill]:
    """Yield Docker networks, each with a container that answers; restore the host at the end."""
    drill = Drill(host)
    bare = drill.look()
    try:
        with docker(host, nets), talking(lab, host, nets, late):
            yield drill
    finally:
        drill.apply(None)
        after = drill.look()
        drill.close()
    assert after == bare, bare.differences(after)


def timed(act: Callable[[], object]) -> tuple[float, float]:
    """Return when the call began and ended, with time before it and after it for answers."""
    time.sleep(3)
    began = time.time()
    act()
    ended = time.time()
    time.sleep(WITHIN + 0.5)
    return began, ended


@pytest.mark.parametrize("managed", [True, False], ids=["our addresses", "the operator's"])
def test_after_a_swap_the_new_owner_answers(lab: Lab, managed: bool) -> None:
    """A UDP socket gets the new owner's answers; a TCP connection to the former owner ends."""
    on_both(lab, lambda host: _swap(lab, host, managed))


def _swap(lab: Lab, host: Host, managed: bool) -> None:
    left, right = replace(LEFT, managed=managed), replace(RIGHT, managed=managed)
    publics = [*left.publics(host), *right.publics(host)]
    added = [] if managed else [f"{each}/{128 if ':' in each else 32}" for each in publics]
    for each in added:
        host.run(f"ip addr add {each} dev wan0 {'preferred_lft 0 nodad' * (':' in each)}")
    try:
        with prepared(lab, host, [left, right]) as drill:
            drill.apply(plan(host, [left, right]))
            with asking(lab, left.publics(host), ("udp", "tcp")) as askers:
                swapped = plan(host, [left.moved(71), right.moved(70)])
                began, ended = timed(lambda: drill.apply(swapped))
                for asker in askers:
                    now = "right" if asker.what.startswith("udp") else None
                    by_one_then_another(asker, "left", now, began, ended)
    finally:
        for each in added:
            host.run(f"ip addr del {each} dev wan0")


def test_a_port_that_goes_to_another_container_is_answered_by_it(lab: Lab) -> None:
    """A UDP socket gets the new container's answers, although the former one is still running.

    An answer that the former one sends after its connection has ended must not begin it again.
    """
    on_both(lab, lambda host: _target(lab, host))


def _target(lab: Lab, host: Host) -> None:
    with prepared(lab, host, [LEFT], LATE) as drill:
        host.run(container(OTHER, "left"))
        try:
            with talking(lab, host, [OTHER]):
                drill.apply(plan(host, [LEFT]))
                with asking(lab, LEFT.publics(host), ("udp", "tcp")) as askers:
                    other = plan(host, [replace(LEFT, container=253)])
                    began, ended = timed(lambda: drill.apply(other))
                    for asker in askers:
                        now = "other" if asker.what.startswith("udp") else None
                        by_one_then_another(asker, "left", now, began, ended)
        finally:
            host.run("docker rm -f other")


def test_what_begins_while_rules_are_gone_lives_after_the_repair(lab: Lab) -> None:
    """A UDP flow from the internet that began without rules works after the repair."""
    on_both(lab, lambda host: _gap(lab, host))


def _gap(lab: Lab, host: Host) -> None:
    with prepared(lab, host, [LEFT]) as drill:
        drill.apply(plan(host, [LEFT]))
        host.run("systemctl stop wanbound-watch\n" + "".join(FLUSHED))
        with asking(lab, LEFT.publics(host), ("udp",)) as askers:
            began, ended = timed(lambda: host.run("wanbound mend; systemctl start wanbound-watch"))
            for asker in askers:
                heard = asker.heard()
                assert began < heard["left"][0] < ended + WITHIN
                assert heard["left"][1] > ended + WITHIN


def test_what_runs_before_the_first_up_leaves_with_the_public_address(lab: Lab) -> None:
    """A container's flow over one socket switches from its private address to the public one."""
    on_both(lab, lambda host: _first(lab, host))


def _first(lab: Lab, host: Host) -> None:
    number = PORT + 10 + list(lab.hosts).index(host.name)
    with prepared(lab, host, [LEFT]) as drill, ExitStack() as stack:
        host.put(PLACE, ASKER)
        for outside in (lab.internet.ipv4, lab.internet.ipv6):
            words = (
                "exec nsenter -n -t $(docker inspect -f '{{.State.Pid}}' left)"
                f" python3 {PLACE} udp {outside} {number}"
            )
            asker = Asker(outside, hosts.ssh(lab.settings, host.name, [words]))
            stack.callback(asker.kill)
        with lab.internet.capture(f"udp and dst port {number}", host.wan_link) as seen:
            _, ended = timed(lambda: drill.apply(plan(host, [LEFT])))
        host.run(f"rm {PLACE}")
        for public, private in zip(LEFT.publics(host), LEFT.inside, strict=True):
            mine = [packet for packet in seen.packets if (":" in packet.src) == (":" in public)]
            first = next(packet.time for packet in mine if packet.src == public)
            print(f"{host.name}: {public} {first - ended:+.2f} s after the end of the change")
            assert first < ended + WITHIN
            assert {packet.src for packet in mine} <= {public, private}
            assert {packet.src for packet in mine if packet.time > ended} == {public}
