"""A disk that is really full, page by page."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from providers.session import Session
from providers.ssh_host import SshHost

from providers.errors import HostError
from tests.lab.atomic.drill import AGED, CONFIRM_SECONDS, Drill, Expected, Outcome, target
from tests.lab.atomic.faults import told

PLACES = ("/etc/wanbound", "/run/wanbound")
"""What the script writes its fragments to, and what it works in."""

FULL = ("No space left on device", "I/O error")
"""What says why: ENOSPC in words, or what the `echo` of dash makes of it."""

PAGE = 4096
ROOM = 4 * 1024 * 1024


def full_disks(drill: Drill, expected: Expected) -> Iterator[Outcome]:
    """Yield what became of an update with no page left, with one, with two, until it succeeds."""
    drill.version = 0
    drill.apply(drill.change("create"))
    for place in PLACES:
        with _small(drill, place):
            pages = 0
            while True:
                outcome = _one(drill, expected, place, pages)
                yield outcome
                if not outcome.said:
                    break
                pages += 1
            while drill.version != 0:
                drill.apply(drill.change("update"))
                drill.version = 1 - drill.version
    drill.apply(drill.change("delete"))


@contextmanager
def _small(drill: Drill, place: str) -> Iterator[None]:
    """Have a small disk there, with the same content."""
    drill.ask(
        f"exec 9</run/wanbound/lock; flock 9; cp -a {place} /run/kept;"
        f" mount -t tmpfs -o size={ROOM},mode=755 none {place}; cp -a /run/kept/. {place}/"
    )
    try:
        yield
    finally:
        drill.ask(
            f"systemctl stop wanbound-watch; rm -rf /run/kept; cp -a {place} /run/kept;"
            f" umount {place}; rm -rf {place}/*; cp -a /run/kept/. {place}/; rm -rf /run/kept;"
            " systemctl start wanbound-watch"
        )


def _one(drill: Drill, expected: Expected, place: str, pages: int) -> Outcome:
    began = time.monotonic()
    outcome = Outcome("update", f"full disk at {place}", f"with {pages} pages left")
    version = drill.version
    old, new = expected.old("update", version), expected.new("update", version)
    change = drill.change("update")
    filling = f"{place}/.filling"
    drill.ask(
        f"{AGED}\ncat /dev/zero >{filling} 2>/dev/null;"
        f" size=$(stat -c %s {filling}); truncate -s $((size - {pages * PAGE})) {filling}"
    )
    session = Session(target(drill.host, CONFIRM_SECONDS))
    try:
        SshHost(session).change(change.put, change.remove)
    except HostError as error:
        outcome.said = str(error)
    finally:
        session.close()
    seen = drill.look(10)
    outcome.ended = "old" if seen.same(old) else "new" if seen.same(new) else "between"
    if outcome.said:
        if "as it was" not in outcome.said or not any(word in outcome.said for word in FULL):
            outcome.problems.append(f"said: {outcome.said}")
        if outcome.ended != "old":
            outcome.problems.append(f"refused, and not as it was:\n{told(old, seen)}")
    elif outcome.ended != "new":
        outcome.problems.append(f"said to be done, and is not:\n{told(new, seen)}")
    drill.ask(f"rm {filling}")
    drill.apply(change)
    drill.version = 1 - version
    final = drill.look()
    if final != new:
        outcome.problems.append(f"after the next change:\n{told(new, final)}")
    outcome.seconds = time.monotonic() - began
    return outcome
