"""Plans of hosts in the form of their resource, for the tests of this folder."""

from collections.abc import Mapping

from components.host import wanted_plan
from planner.config import Stack
from planner.plan import HostPlan, plan
from providers.host.plan import Network, Plan
from tests.planner import golden
from tests.planner.strategies import Raw

STACK = "acme/wanbound/prod"


def host_plan(host: HostPlan) -> Plan:
    """Return what components/host.py passes to the resource."""
    return wanted_plan(host, STACK, {})


def plans(raw: Raw) -> dict[str, Plan]:
    """Return the plan of each host of a configuration, by name."""
    return {host.name: host_plan(host) for host in plan(Stack.parse(raw, "any"))}


def case(name: str) -> Plan:
    """Return the plan of the first host of a case of tests/planner/golden."""
    return next(iter(plans(golden.config(name)).values()))


def network(
    name: str,
    *,
    bridges: Mapping[str, str] | None = None,
    subnets: Mapping[str, str] | None = None,
    addresses: Mapping[str, str] | None = None,
) -> Network:
    """Return a network with one line in each direction for each of its bridges."""
    own = {"own": name} if bridges is None else bridges
    lines: dict[str, dict[str, str]] = {}
    for role, bridge in own.items():
        for way, match in (("source", "oifname"), ("to", "iifname")):
            lines.setdefault(f"map {way}", {})[role] = f'"{bridge}" : jump {way}-{bridge}'
            lines[f"chain {way}-{bridge}"] = {"others": f'{match} != "{bridge}" counter drop'}
    return Network(name, own, subnets or {}, addresses or {}, lines)
