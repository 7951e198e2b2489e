"""The operator's process killed, at each call of its sockets."""

import time
from collections.abc import Iterator

from providers.errors import HostError
from tests.lab.atomic import child
from tests.lab.atomic.child import Job
from tests.lab.atomic.drill import AGED, Drill, Expected, Outcome, target
from tests.lab.atomic.faults import told

SECONDS = 2
"""For which the host waits for an operator who is dead."""

DONE = 0
KILLED = -9


def clients(drill: Drill, expected: Expected) -> Iterator[Outcome]:
    """Yield what became of an update whose operator dies at the first call, the second, and so on.

    It ends with the call that is never made: then the change is done and confirmed.
    """
    drill.version = 0
    drill.apply(drill.change("create"))
    number = 0
    while True:
        number += 1
        outcome, status = _one(drill, expected, number)
        yield outcome
        if status == DONE:
            break
    if drill.version == 1:
        drill.apply(drill.change("update"))
        drill.version = 0
    drill.apply(drill.change("delete"))


def _one(drill: Drill, expected: Expected, number: int) -> tuple[Outcome, int]:
    began = time.monotonic()
    outcome = Outcome("update", "operator killed", f"at call {number}")
    version = drill.version
    old, new = expected.old("update", version), expected.new("update", version)
    change = drill.change("update")
    drill.ask(AGED)
    job = Job(target(drill.host, SECONDS), change.put, change.remove, die="call", at=number)
    done = child.run(job)
    if done.status not in (DONE, KILLED):
        outcome.problems.append(f"ended with {done.status}: {done.stdout}{done.stderr}")
    # Its command may be on the way still: what had come whole, runs.
    time.sleep(0.5)
    seen = drill.look(10)
    outcome.ended = "old" if seen.same(old) else "new" if seen.same(new) else "between"
    if outcome.ended == "between" or seen.armed:
        outcome.problems.append(f"between, or armed: {seen.armed}\n{told(new, seen)}")
    if done.status == DONE and outcome.ended != "new":
        outcome.problems.append("done, and not new")
    try:
        drill.apply(change)
    except HostError as error:
        outcome.problems.append(f"the next change: {error}")
        drill.apply(change)
    drill.version = 1 - version
    final = drill.look()
    if final != new:
        outcome.problems.append(f"after the next change:\n{told(new, final)}")
    outcome.seconds = time.monotonic() - began
    return outcome, done.status
