"""The loop: one fault at a time, at each step of an operation, and what the host has then."""

import time
from collections.abc import Iterator

from providers.errors import HostError
from providers.session import Session
from providers.ssh_host import SshHost
from tests.lab.atomic.drill import (
    AGED,
    CONFIRM_SECONDS,
    RECOVERED_SECONDS,
    Drill,
    Expected,
    Kind,
    MortalSession,
    Outcome,
    target,
)
from tests.lab.atomic.look import Look
from tests.lab.atomic.programs import FOLDER, Fault, Mode, Step, arm, disarm

FIRED = f"[ -e {FOLDER}/fired ] && echo fired; true\n"


def every_step(drill: Drill, expected: Expected, kind: Kind, mode: Mode) -> Iterator[Outcome]:
    """Yield what became of the operation with that fault at each of its steps in turn."""
    number = 0
    while True:
        # An update goes to and fro, and its two ways need not have the same steps.
        ways = [0, 1] if kind == "update" else [0]
        left = [number < len(expected.traces[kind, way]) for way in ways]
        if not any(left):
            return
        way = drill.version if kind == "update" else 0
        trace = expected.traces[kind, way]
        if number < len(trace):
            yield one(drill, expected, kind, Fault(mode, trace[number]), number)
        number += 1


def one(drill: Drill, expected: Expected, kind: Kind, fault: Fault, number: int) -> Outcome:
    """Do the operation with one fault in it; the host has the new state in the end."""
    began = time.monotonic()
    outcome = Outcome(kind, str(fault))
    version = drill.version
    old, new = expected.old(kind, version), expected.new(kind, version)
    change = drill.change(kind)
    drill.ask((AGED if kind == "update" else "") + arm(fault))
    # A timer that is due at once waits for the lock, and so begins as soon as the script is dead.
    # Not so once the confirmation is under way: the timer would be before it.
    confirms = number >= _confirmation(expected.traces[kind, version])
    where = target(drill.host, CONFIRM_SECONDS if confirms else 0)
    session = MortalSession(where) if fault.mode.startswith("kill") else Session(target(drill.host))
    try:
        SshHost(session).change(change.put, change.remove)
    except HostError as error:
        outcome.said = str(error)
    finally:
        session.close()
    mortal = fault.mode.startswith("kill")
    left = drill.ask(FIRED + disarm())
    if "fired" not in left:
        outcome.problems.append("the step was never reached")
    seen = drill.look(RECOVERED_SECONDS)
    _judge(outcome, seen, old, new, mortal=mortal)
    try:
        drill.apply(change)
    except HostError as error:
        outcome.problems.append(f"the next change: {error}")
        drill.apply(change)
    if kind == "update":
        drill.version = 1 - version
    final = drill.look()
    if final != new:
        outcome.problems.append(f"after the next change:\n{_told(new, final)}")
    outcome.seconds = time.monotonic() - began
    return outcome


def _confirmation(trace: list[Step]) -> int:
    """Return where in a trace the confirmation begins: the second time that the script is run."""
    return trace.index(Step("sh", 2)) - 2


def _judge(outcome: Outcome, seen: Look, old: Look, new: Look, *, mortal: bool) -> None:
    if seen.same(old):
        outcome.ended = "old"
    elif seen.same(new):
        outcome.ended = "new"
    else:
        outcome.ended = "between"
        closest = min(_told(old, seen), _told(new, seen), key=len)
        outcome.problems.append(f"between old and new:\n{closest}")
    if seen.armed:
        outcome.problems.append(f"still armed: {seen.armed}")
    if mortal:
        return
    if not outcome.said and seen != new:
        outcome.problems.append(f"said to be done, and is not:\n{_told(new, seen)}")
    if "as it was" in outcome.said and seen.force != old.force:
        outcome.problems.append(f"said to be as it was, and is not:\n{outcome.said}")


def _told(expected: Look, seen: Look) -> str:
    text = expected.differences(seen)
    if expected.litter != seen.litter:
        left = sorted(set(seen.litter.split()) ^ set(expected.litter.split()))
        text += f"\nlitter: {' '.join(left[:10])}"
    return text
