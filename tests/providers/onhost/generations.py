"""Generations composed from the planner's golden cases, as for an operator's stack."""

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
def plan_of(case: str, stack: str = STACK, firewall: str | None = None) -> Plan:
    """Return the plan of the first host of a case; the case "nothing" is the plan of a destroy.

    `firewall` is its dialect, None for the case's own.
    """
    if case == "nothing":
        return replace(NOTHING, stack=stack)
    raw = golden.config(case)
    if firewall is not None:
        raw["hosts"] = [{**host, "firewall": firewall} for host in raw["hosts"]]
        for host in raw["hosts"]:
            host.pop("persist", None)
    return wanted_plan(plan(Stack.parse(raw, case))[0], stack, {})


def files(
    case: str, before: str = "nothing", *, absent: bool = False, firewall: str | None = None
) -> dict[str, str]:
    """Return the files of a case, for a host on which the case `before` is loaded."""
    old = plan_of(before)
    return dict(compose(plan_of(case, firewall=firewall), old.bridges if absent else ()).files)
