"""Generations composed from the planner's golden cases, as an operator's stack would have them."""

from dataclasses import replace
from functools import cache

from components.host import wanted_plan
from planner.config import Stack
from planner.plan import plan
from providers.host.generation import compose
from providers.host.plan import NOTHING, Plan
from tests.planner import golden

STACK = "organization/wanbound/demo"


@cache
def plan_of(case: str, stack: str = STACK) -> Plan:
    """Return the plan of the first host of a case; of "nothing", that of a destroy."""
    if case == "nothing":
        return replace(NOTHING, stack=stack)
    return wanted_plan(plan(Stack.parse(golden.config(case), case))[0], stack, {})


def files(case: str, before: str = "nothing", *, absent: bool = False) -> dict[str, str]:
    """Return the files of a case, for a host that has the case `before`."""
    old = plan_of(before)
    return dict(compose(plan_of(case), old, old.bridges if absent else ()).files)
