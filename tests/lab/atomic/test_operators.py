"""Two operators at once, a lost answer, and a host without systemd."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from providers.exchange import Completed, OnLine
from providers.session import Session
from providers.ssh_host import SshHost

from providers.errors import UnreachableError
from tests.lab.atomic import child
from tests.lab.atomic.child import Job
from tests.lab.atomic.drill import Drill, network, target
from tests.lab.atomic.test_confirm import ENGINES, SECONDS, UNDONE, back, told
from tests.lab.atomic.test_confirm import drill as drill

pytestmark = pytest.mark.lab

ROUNDS = 10
WAITING = 12
"""Seconds for which a change waits here: a second operator has to come meanwhile."""

WAITS = "a change by another run waits for its confirmation; waiting until that comes, or its undo"


@ENGINES
def test_another_operator_waits_and_says_so(drill: Drill) -> None:
    """While the first one's change may still be confirmed; then both are there."""
    first = child.start(Job(target(drill.host, 30), drill.versions[1], die="hold"))
    assert first.stdout is not None
    assert first.stdout.readline() == "armed\n"
    third = {"three": network(drill.host, "three", 67)}
    second = child.start(Job(target(drill.host), third))
    assert second.stderr is not None
    # It is said while it waits, not afterwards.
    assert WAITS in second.stderr.readline()
    assert second.poll() is None
    assert "/etc/wanbound/three.rules" not in drill.ask("ls /etc/wanbound/*")
    one, two = child.finish(first), child.finish(second)
    assert (one.status, two.status) == (0, 0), (one, two)
    assert "undone" not in one.stderr + two.stderr
    drill.version = 1
    rules = drill.ask("iptables-save; ip6tables-save; nft list table inet wanbound")
    for number in (65, 67):
        assert network(drill.host, "any", number).split("claim address ")[1].split()[0] in rules
    drill.seam.change({}, ("three",))


@ENGINES
def test_another_operator_goes_on_after_an_undo(drill: Drill) -> None:
    """The first one died: the second waits for the undo, is told of it, and loses nothing."""
    first = child.start(Job(target(drill.host, WAITING), drill.versions[1], die="hold"))
    assert first.stdout is not None
    assert first.stdout.readline() == "armed\n"
    second = child.start(
        Job(target(drill.host), {"three": network(drill.host, "three", 67)}),
    )
    assert second.stderr is not None
    assert WAITS in second.stderr.readline()
    first.kill()
    done = child.finish(second)
    assert done.status == 0, done.stdout
    assert UNDONE in done.stderr
    assert drill.ask("cat /etc/wanbound/one.rules") == drill.versions[0]["one"]
    assert drill.ask("cat /etc/wanbound/three.rules") == network(drill.host, "three", 67)
    drill.seam.change({}, ("three",))


@ENGINES
def test_two_operators_at_once(drill: Drill) -> None:
    """Ten times each their own network, back and forth: none of the changes is lost."""
    started = threading.Barrier(2)

    def operator(name: str, number: int) -> str:
        session = Session(target(drill.host))
        seam = SshHost(session)
        text = ""
        try:
            for turn in range(ROUNDS):
                text = network(drill.host, name, number + turn % 2)
                started.wait(60)
                seam.change({name: text}, ())
                assert drill_of[name].ask(f"cat /etc/wanbound/{name}.rules") == text
        except BaseException:
            started.abort()
            raise
        finally:
            session.close()
        return text

    drill_of = {"left": drill, "right": Drill(drill.host)}
    with ThreadPoolExecutor(2) as pool:
        left = pool.submit(operator, "left", 70)
        right = pool.submit(operator, "right", 80)
        texts = {"left": left.result(), "right": right.result()}
    drill_of["right"].close()
    rules = drill.ask("iptables-save; ip6tables-save; ip -o addr show dev wan0")
    for name, text in texts.items():
        assert drill.ask(f"cat /etc/wanbound/{name}.rules") == text
        for line in text.splitlines():
            if line.startswith("address "):
                assert f" {line.split()[2]} " in rules
            elif line.startswith("ip"):
                assert line.split(" ", 2)[2] in rules
    drill.seam.change({}, ("left", "right"))


class _Forgetful(Session):
    """A session that loses the answers to its first confirmations, though the host has them."""

    lost = 2

    def run_on_new_connection(
        self,
        program: str,
        seconds: float,
        on_stderr: OnLine | None = None,
        connect_seconds: float | None = None,
    ) -> Completed:
        """See `Session.run_on_new_connection`."""
        done = super().run_on_new_connection(program, seconds, on_stderr, connect_seconds)
        if self.lost:
            self.lost -= 1
            raise UnreachableError(self.target.name, "the answer was lost", "-", "-")
        return done


@ENGINES
def test_an_answer_to_the_confirmation_is_lost(drill: Drill) -> None:
    """It is confirmed again, and stands."""
    session = _Forgetful(target(drill.host, WAITING))
    try:
        SshHost(session).change(drill.versions[1], ())
    finally:
        session.close()
    assert session.lost == 0
    drill.version = 1
    now = drill.look()
    assert not now.armed
    # Neither what it was undone from nor its timer is there any more.
    assert (now.litter, now.timers) == ("run/wanbound/guard\n", "")
    assert drill.ask("cat /etc/wanbound/one.rules") == drill.versions[1]["one"]


WITHOUT = """\
#!/bin/sh
[ "${1-}" = -s ] || exec /bin/sh "$@"
exec unshare --mount /bin/sh -c 'mount -t tmpfs none /run/systemd && exec /bin/sh "$@"' sh "$@"
"""


@contextmanager
def without_systemd(drill: Drill) -> Iterator[None]:
    """Hide systemd from whatever comes over SSH; it goes on starting the host's other services."""
    drill.host.put("/usr/local/sbin/sh", WITHOUT, mode=0o755)
    try:
        yield
    finally:
        drill.host.run("/bin/rm /usr/local/sbin/sh")


@ENGINES
def test_without_systemd(drill: Drill) -> None:
    """A process of its own undoes what is not confirmed, and nothing else."""
    before = drill.look()
    with without_systemd(drill):
        done = child.run(Job(target(drill.host, SECONDS), drill.versions[1], die="armed"))
        assert done.status == -9
        assert "wanbound-undo" not in drill.host.run("ls /run/systemd/transient").stdout
        processes = drill.host.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
        assert f"sleep {SECONDS}; until" in processes
    back(drill, before)
    with without_systemd(drill):
        told(drill)
        now = drill.look()
        time.sleep(SECONDS + 1)
        assert drill.look() == now
