"""A change that is killed at one of its steps: old or new, and then new without help.

The short plan; docs/atomicity.md describes the full one, `python -m tests.lab.atomic`.
"""

from collections.abc import Iterator

import pytest

from lab.api import Host, Lab
from tests.lab.atomic.drill import Drill, Expected, Outcome
from tests.lab.atomic.faults import Loop, run
from tests.lab.atomic.full import full_disks
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.programs import stand_ins
from tests.lab.atomic.report import report

pytestmark = pytest.mark.lab

LOOPS: tuple[tuple[Loop, ...], tuple[Loop, ...]] = (
    (
        Loop("kill before", "update", part=(0, 6)),
        Loop("kill before", "create", part=(3, 6), first=1),
        Loop("kill before", "delete", part=(1, 6), first=2),
        Loop("kill before", "update", undo=True, part=(4, 6)),
        Loop("kill before", "create", undo=True, part=(2, 6), first=1),
        Loop("kill before", "delete", undo=True, part=(5, 6), first=2),
    ),
    (
        Loop("kill before", "update", part=(3, 6)),
        Loop("kill before", "create", part=(0, 6), first=1),
        Loop("kill before", "delete", part=(4, 6), first=2),
        Loop("kill before", "update", undo=True, part=(1, 6)),
        Loop("kill before", "create", undo=True, part=(5, 6), first=1),
        Loop("kill before", "delete", undo=True, part=(2, 6), first=2),
    ),
)
"""Of the steps of all three operations and their undos, each host tests every sixth."""

STRIDE = 15
"""Pages that are added from one full disk to the next."""


def test_old_or_new_whatever_happens(lab: Lab) -> None:
    """SIGKILL at steps of create, update, delete and the undo of each; full disks."""

    def outcomes(host: Host) -> Iterator[Outcome]:
        drill = Drill(host)
        with stand_ins(host):
            try:
                expected = Expected(drill)
                number = list(lab.hosts).index(host.name)
                for loop in LOOPS[number]:
                    yield from run(expected, loop)
                if number == 1:
                    yield from full_disks(expected, STRIDE)
                if drill.now is not None:
                    drill.apply(None)
                after = drill.look()
                assert after == expected.bare, expected.bare.differences(after)
            finally:
                drill.close()

    def all_of(host: Host) -> list[Outcome]:
        found = []
        for outcome in outcomes(host):
            found.append(outcome)
            if outcome.problems:
                print(f"{host.name}: {outcome}", flush=True)
        return found

    report([each for found in on_both(lab, all_of) for each in found])
