"""The loops: one fault at a time, at each step of an operation, and the host's state afterwards."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from providers.errors import HostError
from providers.host.plan import Plan
from providers.ssh.remote import SshRemote, shell_program
from providers.ssh.session import Session
from tests.lab.atomic.drill import (
    KINDS,
    LONG,
    REBOOTED,
    RUN_UNDO,
    Expected,
    Kind,
    Outcome,
    target,
    told,
)
from tests.lab.atomic.look import Look
from tests.lab.atomic.plans import files
from tests.lab.atomic.programs import (
    ALL,
    FOLDER,
    OPERATOR,
    UNDO,
    Fault,
    Mode,
    Recorded,
    Step,
    arm,
    disarm,
)

Way: TypeAlias = Literal["timer", "boot", "next run"]
WAYS: tuple[Way, ...] = ("timer", "next run", "boot")
"""What cleans up after a kill: the timer, the unit that runs at boot, or the next change."""

LIVING: tuple[Mode, ...] = ("drop", "fail", "fail for good")
"""Faults that the operator's run survives, and that it reports."""

MODES: tuple[Mode, ...] = ("kill before", "kill after", *LIVING)

CONFIRM_SECONDS = 4
"""For which the host waits for the confirmation of an operator's run that survives."""

RECOVERED_SECONDS = 10.0

FIRED = f"! [ -e {FOLDER}/fired -o -e {FOLDER}/failing ] || echo fired\n"


@dataclass(frozen=True)
class Loop:
    """A fault at the steps of an operation, or of its undo.

    With `every`, at all steps; else at those that change something: a kill before a step that only
    reads leaves the same state as a kill before the next changing step. `part` is (K, N): each N-th
    step, from the K-th on. The ways alternate, from `first` on; with `every`, each step gets all.
    """

    mode: Mode
    kind: Kind
    undo: bool = False
    every: bool = False
    part: tuple[int, int] = (0, 1)
    first: int = 0

    def steps(self, recorded: Sequence[Recorded]) -> Iterator[tuple[int, Step, Way]]:
        """Yield the index of each step, the step, and what cleans up."""
        places = [n for n, each in enumerate(recorded) if self.every or each.changes]
        start, every = self.part
        for turn, place in enumerate(places[start::every]):
            # The simulated boot does not reset the kernel parameters of a bare host.
            possible = WAYS[:2] if self.kind == "create" else WAYS
            turns = (possible[(self.first + turn) % len(possible)],)
            for way in possible if self.every else turns:
                yield place, recorded[place].step, way


EVERY_LOOP: tuple[Loop, ...] = (
    *(Loop(mode, kind, every=True) for mode in MODES for kind in KINDS),
    *(Loop("kill before", kind, undo=True, every=True) for kind in KINDS),
)


def run(expected: Expected, loop: Loop) -> Iterator[Outcome]:
    """Yield the operation's outcome, with the fault at each of the loop's steps in turn."""
    recorded = (expected.undos if loop.undo else expected.changes)[loop.kind]
    for place, step, way in loop.steps(recorded):
        began = time.monotonic()
        expected.begin(loop.kind)
        if loop.undo:
            outcome = _undo(expected, loop.kind, step, way)
        elif loop.mode in LIVING:
            outcome = _living(expected, loop.kind, loop.mode, step)
        else:
            outcome = _killed(expected, loop, place, way)
        outcome.seconds = time.monotonic() - began
        yield outcome


def _killed(expected: Expected, loop: Loop, place: int, way: Way) -> Outcome:
    """Kill the change or its confirmation at one step."""
    drill, kind = expected.drill, loop.kind
    recorded = expected.changes[kind]
    step = recorded[place].step
    outcome = Outcome(kind, f"{loop.mode}, {way}", str(step))
    old, new, wanted = expected.old(kind), expected.new(kind), drill.to(kind)
    # A timer that is due at once waits for the lock, so it begins as soon as the script is dead.
    # Once all is loaded it would fire before the confirmation, for which the next run has to wait.
    loaded = place > _loaded(recorded)
    seconds = LONG if way == "boot" or (way == "next run" and not loaded) else 3 * loaded
    token, program = drill.program(wanted, seconds)
    drill.ask(arm(Fault(loop.mode, step)))
    for each in (program, shell_program(drill.confirmation(token, wanted), {})):
        # Like a machine without power: after the kill it sends nothing more.
        if not drill.run_once(each):
            break
    if "fired" not in drill.ask(disarm() + FIRED):
        outcome.problems.append("the step was never reached")
    if way == "next run":
        _finish(outcome, expected, wanted)
        outcome.ended = "new"
        return outcome
    if way == "boot":
        drill.ask(REBOOTED)
    seen = drill.look(RECOVERED_SECONDS)
    _judge(outcome, seen, old, new)
    if outcome.ended == "new":
        drill.now = wanted
    elif seen.armed:
        # The next fault must begin with nothing armed.
        drill.ask(RUN_UNDO)
    return outcome


def _loaded(recorded: Sequence[Recorded]) -> int:
    """Return the index of the step from which the host waits: the second write of `armed`."""
    armed = Step("mv /etc/wanbound/armed.next /etc/wanbound/armed", 2)
    return [each.step for each in recorded].index(armed)


def _living(expected: Expected, kind: Kind, mode: Mode, step: Step) -> Outcome:
    """Make one call fail under an operator's run that survives: its report must be true."""
    drill = expected.drill
    outcome = Outcome(kind, mode, str(step))
    old, new, wanted = expected.old(kind), expected.new(kind), drill.to(kind)
    drill.ask(arm(Fault(mode, step, ALL if mode == "fail for good" else OPERATOR)))
    session = Session(target(drill.host, CONFIRM_SECONDS))
    try:
        SshRemote(session).change(files(wanted, drill.now), drill.generation, {})
    except HostError as error:
        outcome.said = str(error)
    finally:
        session.close()
    if "fired" not in drill.ask(disarm() + FIRED):
        outcome.problems.append("the step was never reached")
    seen = drill.look(RECOVERED_SECONDS)
    _judge(outcome, seen, old, new)
    if not outcome.said and not seen.same(new):
        outcome.problems.append(f"said to be done, and is not: {new.differences(seen)}")
    if "as it was" in outcome.said and not seen.same(old):
        outcome.problems.append(f"said to be as it was, and is not: {outcome.said}")
    _finish(outcome, expected, wanted)
    return outcome


def _undo(expected: Expected, kind: Kind, step: Step, way: Way) -> Outcome:
    """Kill the undo at one step; the timer, the boot unit or the next run finishes it."""
    drill = expected.drill
    outcome = Outcome(kind, f"undo killed, {way}", str(step))
    old, wanted = expected.old(kind), drill.to(kind)
    drill.unconfirmed(wanted)
    fired = drill.ask(arm(Fault("kill before", step, UNDO)) + RUN_UNDO + disarm() + FIRED)
    if "fired" not in fired:
        outcome.problems.append("the step was never reached")
    if way == "next run":
        _finish(outcome, expected, wanted)
        outcome.ended = "new"
        return outcome
    drill.ask(REBOOTED if way == "boot" else RUN_UNDO)
    seen = drill.look(RECOVERED_SECONDS)
    _judge(outcome, seen, old, old)
    return outcome


def _judge(outcome: Outcome, seen: Look, old: Look, new: Look) -> None:
    if seen.same(old):
        outcome.ended = "old"
    elif seen.same(new):
        outcome.ended = "new"
    else:
        outcome.ended = "between"
        outcome.problems.append(told({"old": old, "new": new}, seen))
    # A change killed before its timer exists stays armed, with nothing to undo, for the next run.
    if seen.armed and outcome.ended != "old":
        outcome.problems.append(f"still armed: {seen.armed}")


def _finish(outcome: Outcome, expected: Expected, wanted: Plan | None) -> None:
    """Make the next change: it must bring the new state and leave nothing behind."""
    drill, new = expected.drill, expected.new(outcome.kind)
    try:
        drill.apply(wanted)
    except HostError as error:
        outcome.problems.append(f"the next change: {error}")
        drill.apply(wanted)
    final = drill.look()
    if final != new:
        outcome.problems.append(f"after the next change: {new.differences(final)}")
