"""Kills the operator's process at each call of its sockets."""

import time
from collections.abc import Iterator

from tests.lab.atomic import child
from tests.lab.atomic.child import Job
from tests.lab.atomic.drill import Drill, Expected, Outcome, target, told
from tests.lab.atomic.plans import files

SECONDS = 2
"""For which the host waits for the dead operator's confirmation."""

DONE = 0
KILLED = -9


def clients(expected: Expected) -> Iterator[Outcome]:
    """Yield the outcome of an update whose operator dies at the first call, the second, and so on.

    Ends with the first call number that is never reached: the change is then done and confirmed.
    """
    number, status = 0, KILLED
    while status != DONE:
        number += 1
        expected.begin("update")
        outcome, status = _one(expected, number)
        yield outcome


def _one(expected: Expected, number: int) -> tuple[Outcome, int]:
    began = time.monotonic()
    drill: Drill = expected.drill
    outcome = Outcome("update", "operator killed", f"at call {number}")
    old, new, wanted = expected.old("update"), expected.new("update"), drill.to("update")
    contents = files(wanted, drill.now)
    job = Job(target(drill.host, SECONDS), contents, drill.generation, die="call", at=number)
    done = child.run(job)
    if done.status not in (DONE, KILLED):
        outcome.problems.append(f"ended with {done.status}: {done.stdout}{done.stderr}")
    # Its command may still be in transit: one that arrived completely is executed.
    time.sleep(0.5)
    seen = drill.look(10)
    outcome.ended = "old" if seen.same(old) else "new" if seen.same(new) else "between"
    if outcome.ended == "between" or seen.armed:
        outcome.problems.append(f"armed: {seen.armed}; {told({'old': old, 'new': new}, seen)}")
    if done.status == DONE and outcome.ended != "new":
        outcome.problems.append("done, and not new")
    if outcome.ended == "new":
        drill.now = wanted
    outcome.seconds = time.monotonic() - began
    return outcome, done.status
