"""Which loops run where: the short plan of `make test`, and everything there is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from lab.api import Host
from tests.lab.atomic.clients import clients
from tests.lab.atomic.drill import Drill, Expected, Outcome
from tests.lab.atomic.faults import Loop, loop, told
from tests.lab.atomic.full import full_disks
from tests.lab.atomic.programs import stand_ins
from tests.lab.atomic.undoing import undos

More: TypeAlias = Callable[[Drill, Expected], Iterator[Outcome]]
Plan: TypeAlias = tuple[Sequence[Loop], Sequence[More]]
"""What is done to one host: loops over the steps, and what else there is."""

EVERYTHING: tuple[More, ...] = (full_disks, undos, clients)

SHORT: tuple[Plan, Plan] = (
    ((("kill before", ("create", "delete")),), ()),
    ((("kill before", ("update",)),), (full_disks,)),
)
"""In `make test`, on the first host and on the second, at once: SIGKILL before every step of all
three operations, which is also after the step before it, and a disk that is really full. What is
not in it: the same on the other engine, the other modes, and the undo that is killed."""


def on_all(
    plans: Mapping[str, Plan], hosts: Mapping[str, Host], hear: Callable[[Host, Outcome], None]
) -> list[Outcome]:
    """Run each host's plan, all hosts at once; `hear` is told each outcome as it comes."""

    def one(name: str) -> list[Outcome]:
        outcomes = []
        for outcome in run(hosts[name], plans[name]):
            hear(hosts[name], outcome)
            outcomes.append(outcome)
        return outcomes

    with ThreadPoolExecutor(len(plans)) as pool:
        return [outcome for part in pool.map(one, plans) for outcome in part]


def run(host: Host, plan: Plan) -> Iterator[Outcome]:
    """Yield the outcomes on one host, which is bare before and afterwards."""
    loops, more = plan
    with stand_ins(host):
        drill = Drill(host)
        try:
            expected = Expected(drill)
            for mode, kinds in loops:
                yield from loop(drill, expected, mode, kinds)
            for each in more:
                yield from each(drill, expected)
            after = drill.look()
            assert after == expected.bare, told(expected.bare, after)
        finally:
            drill.close()
