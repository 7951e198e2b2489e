"""A full disk, at every number of free pages."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from providers.errors import HostError
from providers.ssh.remote import SshRemote
from providers.ssh.session import Session
from tests.lab.atomic.drill import Drill, Expected, Outcome, target, told
from tests.lab.atomic.plans import files
from tests.lab.atomic.sides import CONFIRMED_SECONDS

PLACES = ("/etc/wanbound", "/run/wanbound")
"""Where the script keeps its generations, and where it works."""

FULL = ("No space left on device", "I/O error")
"""ENOSPC in words, or what the `echo` of dash makes of it."""

PAGE = 4096
ROOM = 4 * 1024 * 1024


def full_disks(expected: Expected, stride: int = 1) -> Iterator[Outcome]:
    """Yield outcomes of an update with 0 free pages, then `stride` more, until it succeeds.

    The host has the old state before each, and the new one at the end.
    """
    drill = expected.drill
    for place in PLACES:
        expected.begin("update")
        with _small(drill, place):
            pages = 0
            while True:
                expected.begin("update")
                outcome = _one(expected, place, pages)
                yield outcome
                if not outcome.said:
                    break
                pages += stride


@contextmanager
def _small(drill: Drill, place: str) -> Iterator[None]:
    """Mount a small disk there, with the same content."""
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


def _one(expected: Expected, place: str, pages: int) -> Outcome:
    began = time.monotonic()
    drill = expected.drill
    outcome = Outcome("update", f"full disk at {place}", f"with {pages} pages left")
    old, new, wanted = expected.old("update"), expected.new("update"), drill.to("update")
    filling = f"{place}/.filling"
    drill.ask(
        f"cat /dev/zero >{filling} 2>/dev/null;"
        f" size=$(stat -c %s {filling}); truncate -s $((size - {pages * PAGE})) {filling}"
    )
    session = Session(target(drill.host, CONFIRMED_SECONDS))
    try:
        SshRemote(session).change(files(wanted, drill.now), drill.generation, {})
    except HostError as error:
        outcome.said = str(error)
    finally:
        session.close()
    seen = drill.look(2 * CONFIRMED_SECONDS)
    outcome.ended = "old" if seen.same(old) else "new" if seen.same(new) else "between"
    if outcome.said:
        if "as it was" not in outcome.said or not any(word in outcome.said for word in FULL):
            outcome.problems.append(f"said: {outcome.said}")
        if outcome.ended != "old":
            outcome.problems.append(f"refused, and not as it was: {old.differences(seen)}")
    elif outcome.ended != "new":
        outcome.problems.append(f"done? {told({'new': new}, seen)}")
    drill.ask(f"rm {filling}")
    if outcome.ended == "new":
        drill.now = wanted
    elif pages == 0:
        drill.apply(wanted)
        final = drill.look()
        if final != new:
            outcome.problems.append(f"after the next change: {new.differences(final)}")
    outcome.seconds = time.monotonic() - began
    return outcome
