"""The loop: one fault at a time, at each step of an operation, and what the host has then."""

import time
from collections.abc import Iterator
from itertools import zip_longest
from typing import TypeAlias

from providers.session import Session
from providers.ssh_host import SshHost

from providers.errors import HostError
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
from tests.lab.atomic.programs import ALL, FOLDER, OPERATOR, Fault, Mode, Step, arm, disarm

Loop: TypeAlias = tuple[Mode, tuple[Kind, ...]]
"""One fault at every step of these operations: of an update, or of both that are each other's."""

WAYS: tuple[tuple[Kind, ...], ...] = (("create", "delete"), ("update",))
MODES: tuple[Mode, ...] = ("kill before", "kill after", "drop", "fail", "fail for good")
EVERY_LOOP: tuple[Loop, ...] = tuple((mode, kinds) for kinds in WAYS for mode in MODES)

FIRED = f"! [ -e {FOLDER}/fired -o -e {FOLDER}/failing ] || echo fired\n"


def loop(
    drill: Drill, expected: Expected, mode: Mode, kinds: tuple[Kind, ...]
) -> Iterator[Outcome]:
    """Yield what became of the operations with that fault at each of their steps in turn.

    The host is bare before and afterwards. An update goes to and fro between two versions.
    """
    drill.version = 0
    if kinds == ("update",):
        drill.apply(drill.change("create"))
        most = max(len(expected.traces["update", version]) for version in (0, 1))
        for number in range(most):
            if number < len(expected.traces["update", drill.version]):
                yield one(drill, expected, "update", mode, number)
        drill.apply(drill.change("delete"))
        return
    creates, deletes = (expected.traces[kind, 0] for kind in ("create", "delete"))
    for number, (create, delete) in enumerate(zip_longest(creates, deletes)):
        if create is None:
            drill.apply(drill.change("create"))
        else:
            yield one(drill, expected, "create", mode, number)
        if delete is None:
            drill.apply(drill.change("delete"))
        else:
            yield one(drill, expected, "delete", mode, number)


def one(drill: Drill, expected: Expected, kind: Kind, mode: Mode, number: int) -> Outcome:
    """Do the operation with one fault in it; the host has the new state in the end."""
    began = time.monotonic()
    version = drill.version
    trace = expected.traces[kind, version]
    fault = Fault(mode, trace[number], ALL if mode == "fail for good" else OPERATOR)
    outcome = Outcome(kind, mode, str(fault.step))
    old, new = expected.old(kind, version), expected.new(kind, version)
    change = drill.change(kind)
    drill.ask((AGED if kind == "update" else "") + arm(fault))
    mortal = mode in ("kill before", "kill after")
    # A timer that is due at once waits for the lock, and so begins as soon as the script is dead.
    # Not so once the confirmation is under way: the timer would be before it.
    at_once = mortal and number < _confirmation(trace)
    seconds = 0 if at_once else CONFIRM_SECONDS
    session = (MortalSession if mortal else Session)(target(drill.host, seconds))
    try:
        SshHost(session).change(change.put, change.remove)
    except HostError as error:
        outcome.said = str(error)
    finally:
        session.close()
    if "fired" not in drill.ask(FIRED + disarm()):
        outcome.problems.append("the step was never reached")
    seen = drill.look(RECOVERED_SECONDS)
    _judge(outcome, seen, old, new, mortal=mortal)
    # Killed before there is a timer, it stays armed, with nothing to undo, for the next run to see.
    timer = trace.index(Step("systemd-run", 1)) + (mode == "kill before")
    timed = not mortal or number >= timer
    if seen.armed and (timed or not seen.same(old)):
        outcome.problems.append(f"still armed: {seen.armed}")
    try:
        drill.apply(change)
    except HostError as error:
        outcome.problems.append(f"the next change: {error}")
        drill.apply(change)
    if kind == "update":
        drill.version = 1 - version
    final = drill.look()
    if final != new:
        outcome.problems.append(f"after the next change:\n{told(new, final)}")
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
        closest = min(told(old, seen), told(new, seen), key=len)
        outcome.problems.append(f"between old and new:\n{closest}")
    if mortal:
        return
    # Whoever lives is told, and what he is told is so.
    if not outcome.said and not seen.same(new):
        outcome.problems.append(f"said to be done, and is not:\n{told(new, seen)}")
    if "as it was" in outcome.said and not seen.same(old):
        outcome.problems.append(f"said to be as it was, and is not:\n{outcome.said}")


def told(expected: Look, seen: Look) -> str:
    """Say in which lines and files the two differ."""
    text = expected.differences(seen)
    if expected.litter != seen.litter:
        left = sorted(set(seen.litter.split()) ^ set(expected.litter.split()))
        text += f"\nlitter: {' '.join(left[:10])}"
    return text
