"""The undo itself killed, at each of its steps; whoever comes next finishes it."""

import time
from collections.abc import Iterator

from providers.session import Session
from providers.ssh_host import SshHost

from tests.lab.atomic.drill import AGED, Drill, Expected, Kind, Outcome, target
from tests.lab.atomic.faults import FIRED, told
from tests.lab.atomic.programs import FOLDER, UNDO, Fault, Step, arm, disarm, steps

UNCONFIRMED = 600
"""Seconds: no timer is earlier than the undo that is killed here."""

RUN_UNDO = """
if read -r token _ </etc/wanbound/.old/armed; then
    setsid -w sh /etc/wanbound/.old/wanbound undo $token
fi 2>/dev/null
true
"""
"""What the timer does."""


class _Unconfirmed(SshHost):
    """An operator who makes a change, and is never heard of again."""

    def _confirm(self, token: str, until: float) -> None:
        pass


def undos(drill: Drill, expected: Expected) -> Iterator[Outcome]:
    """Yield what became of the undo of each operation, killed at each of its steps."""
    for kind in ("create", "update", "delete"):
        yield from _undos_of(drill, expected, kind)


def _undos_of(drill: Drill, expected: Expected, kind: Kind) -> Iterator[Outcome]:
    drill.version = 0
    if kind != "create":
        drill.apply(drill.change("create"))
    if kind == "update":
        # Once: each undo brings it back.
        drill.ask(AGED)
    _change(drill, kind)
    trace = steps(drill.ask(arm(None, UNDO) + RUN_UNDO + disarm() + f"cat {FOLDER}/trace"))
    assert trace
    for step in trace:
        yield _one(drill, expected, kind, step)
    if kind != "create":
        drill.apply(drill.change("delete"))


def _change(drill: Drill, kind: Kind) -> None:
    session = Session(target(drill.host, UNCONFIRMED))
    try:
        change = drill.change(kind)
        _Unconfirmed(session).change(change.put, change.remove)
    finally:
        session.close()


def _one(drill: Drill, expected: Expected, kind: Kind, step: Step) -> Outcome:
    began = time.monotonic()
    outcome = Outcome(kind, "undo killed before", str(step))
    _change(drill, kind)
    killed = drill.ask(arm(Fault("kill before", step, UNDO)) + RUN_UNDO + disarm() + FIRED)
    if "fired" not in killed:
        outcome.problems.append("the step was never reached")
    drill.ask(RUN_UNDO)
    seen = drill.look()
    old = expected.old(kind, 0)
    outcome.ended = "old" if seen.same(old) else "between"
    if not seen.same(old) or seen.armed:
        outcome.problems.append(f"not as before:\n{told(old, seen)}\n{seen.armed}")
    outcome.seconds = time.monotonic() - began
    return outcome
