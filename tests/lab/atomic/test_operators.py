"""Two operators at once, a lost reply, and a host without systemd."""

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lab.api import Host, Lab
from providers.errors import UnreachableError
from providers.ssh import session
from providers.ssh.remote import SshRemote
from providers.ssh.session import Completed, OnLine, Session
from tests.lab.atomic.drill import LONG, Drill, provider, target
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.look import Look
from tests.lab.atomic.operators import operator
from tests.lab.atomic.plans import Net, base, files, plan
from tests.lab.atomic.sides import CONFIRMED_SECONDS, SECONDS, UNDONE, Side, sides

pytestmark = pytest.mark.lab

ROUNDS = 4

WAITS = "a change by another run waits for its confirmation; waiting for that, or its rollback"
CHANGED = "its state changed after wanbound had read it"


@pytest.fixture(scope="module")
def both(lab: Lab) -> Iterator[Mapping[str, Side]]:
    """Yield both hosts; a test may leave them in either version."""
    with sides(lab) as found:
        yield found


HASTY = """\
#!/bin/sh
[ "$*" != 0.2 ] || set -- 0.02
exec /bin/sleep "$@"
"""


@contextmanager
def hasty(host: Host) -> Iterator[None]:
    """Make runs that wait for a confirmation poll ten times as often, and report as often."""
    host.put("/usr/local/sbin/sleep", HASTY, mode=0o755)
    try:
        yield
    finally:
        host.run("/bin/rm -f /usr/local/sbin/sleep")


def test_another_operator_waits_and_is_told_so(
    lab: Lab, both: Mapping[str, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second operator is told repeatedly while the first change may be confirmed; then it runs.

    A long wait is no error: the timeout counts silence, and the host reports more often than that.
    """
    # In place of 150 s; the host's note comes about every 1.5 s, in place of 12.
    monkeypatch.setattr(session, "SILENCE_SECONDS", 12.0)

    def act(host: Host) -> None:
        side = both[host.name]
        wanted = side.other
        first, second = operator(side, LONG, hold=True), operator(side)
        first.start(side, wanted)
        first.until_armed()
        with hasty(host):
            # It starts from the future state, as if it had read the host after the change.
            side.now = wanted
            second.start(side, side.other)
            began = time.monotonic()
            while len(second.notes) < 4 or time.monotonic() - began < 14:
                assert second.is_running
                assert time.monotonic() - began < 90, second.notes
                time.sleep(0.05)
        assert all(WAITS in note for note in second.notes)
        assert not second.armed.is_set()
        first.go.set()
        assert first.end().error == ""
        done = second.end()
        assert done.error == ""
        assert "rolled back" not in done.notes
        side.now = side.other

    on_both(lab, act)


def test_another_operator_goes_on_after_an_undo(lab: Lab, both: Mapping[str, Side]) -> None:
    """The first one died: the second waits for the rollback, is told of it, and decides again."""

    def act(host: Host) -> None:
        side = both[host.name]
        before = side.look()
        wanted = side.other
        old = side.generation
        first = operator(side, CONFIRMED_SECONDS, die=True)
        assert first.run(side, wanted).error == "died"
        # One operator that read the host before the first change, and one that read it after.
        for expected, error in ((side.generation, CHANGED), (old, "")):
            second = SshRemote(Session(target(host)))
            said: list[str] = []
            second._tell = said.append  # type: ignore[method-assign, assignment]
            try:
                second.change(files(wanted, side.now), expected, {})
                problem = ""
            except Exception as caught:
                problem = str(caught)
            finally:
                second.session.close()
            assert (error in problem) and bool(error) == bool(problem), problem
            if error:
                assert any(WAITS in line for line in said)
                assert side.look().same(before)
            assert any(UNDONE in line for line in said), said
        side.now = wanted

    on_both(lab, act)


def test_two_operators_at_once(lab: Lab, both: Mapping[str, Side]) -> None:
    """The second provider decides again, and the host ends with the plan of one of them."""

    def act(host: Host) -> None:
        side = both[host.name]
        plans = {
            name: plan(host, [Net("one", 64), Net(name, number)], base(number % 2 + 1, gateway=1))
            for name, number in (("left", 70), ("right", 81))
        }
        looks: dict[str, Look] = {}
        for name, wanted in plans.items():
            side.apply(wanted)
            looks[name] = side.look()
        started = threading.Barrier(2)

        def change(name: str, number: int) -> None:
            # Two operators' machines: each has a connection of its own.
            with provider(host, 30 + number) as provided:
                started.wait(60)
                provided.up(plans[name])

        with ThreadPoolExecutor(2) as pool:
            for _ in range(ROUNDS):
                for each in [pool.submit(change, *pair) for pair in (("left", 1), ("right", 2))]:
                    each.result(120)
                seen = side.look()
                [last] = [name for name, expected in looks.items() if seen == expected]
                print(f"{host.name}: the last was {last}")
        side.now = plans[last]
        side.apply(side.plans[0])

    on_both(lab, act)


def test_another_stack_is_refused(lab: Lab, both: Mapping[str, Side]) -> None:
    """A host belongs to one stack: the host itself refuses, and names that stack."""

    def act(host: Host) -> None:
        side = both[host.name]
        before = side.look()
        done = operator(side).run(side, replace(side.other, stack="other/project/prod"))
        assert "this host belongs to the stack tests/atomic/drill" in done.error
        assert "nothing has changed" in done.error
        assert side.look() == before

    on_both(lab, act)


class _Forgetful(Session):
    """A session that loses the answers to its first confirmations, though the host has them."""

    lost = 2

    def run_on_new_connection(
        self,
        program: str,
        silence: float | None = None,
        on_stderr: OnLine | None = None,
        connect_seconds: float | None = None,
    ) -> Completed:
        """See `Session.run_on_new_connection`."""
        done = super().run_on_new_connection(program, silence, on_stderr, connect_seconds)
        if self.lost:
            self.lost -= 1
            raise UnreachableError(self.target.name, "the answer was lost", "-", "-")
        return done


def test_an_answer_to_the_confirmation_is_lost(lab: Lab, both: Mapping[str, Side]) -> None:
    """The confirmation is repeated, and the change stays."""

    def act(host: Host) -> None:
        side = both[host.name]
        wanted = side.other
        forgetful = _Forgetful(target(host, 12))
        try:
            SshRemote(forgetful).change(files(wanted, side.now), side.generation, {})
        finally:
            forgetful.close()
        assert forgetful.lost == 0
        side.now = wanted
        now = side.look()
        assert not now.armed
        # Both the state to roll back to and the timer are gone.
        assert set(now.litter.split()) == LOADED
        assert "wanbound-undo" not in side.ask("ls /run/systemd/transient/; true")

    on_both(lab, act)


LOADED = {
    "run/wanbound/bridges",
    "run/wanbound/loaded",
    *(f"run/wanbound/loaded/{part}" for part in ("guard", "host", "ipv4", "ipv6")),
}

WITHOUT = """\
#!/bin/sh
[ "${1-}" = -s ] || exec /bin/sh "$@"
exec unshare --mount /bin/sh -c 'mount -t tmpfs none /run/systemd && exec /bin/sh "$@"' sh "$@"
"""


@contextmanager
def without_systemd(host: Host) -> Iterator[None]:
    """Hide systemd from SSH sessions; it still starts the host's other services."""
    host.put("/usr/local/sbin/sh", WITHOUT, mode=0o755)
    try:
        yield
    finally:
        host.run("/bin/rm /usr/local/sbin/sh")


def test_without_systemd(lab: Lab, both: Mapping[str, Side]) -> None:
    """A process of wanbound rolls back what is not confirmed, and nothing else."""

    def act(host: Host) -> None:
        side: Drill = both[host.name]
        assert isinstance(side, Side)
        before = side.look()
        with without_systemd(host):
            died = operator(side, SECONDS, die=True).run(side, side.other)
            assert died.error == "died"
            assert "wanbound-undo" not in host.run("ls /run/systemd/transient").stdout
            processes = host.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
            assert f"sleep {SECONDS}; until" in processes
        side.back(before)
        with without_systemd(host):
            done = operator(side, CONFIRMED_SECONDS).run(side, side.other)
            assert done.error == ""
            assert UNDONE in done.notes
            side.now = side.other
            now = side.look()
            time.sleep(CONFIRMED_SECONDS + 1)
            assert side.look() == now

    on_both(lab, act)
