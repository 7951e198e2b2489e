"""No network depends on another: if one is removed, the others do not change."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.config import Stack
from planner.plan import NetworkPlan, plan
from tests.planner.samples import settled
from tests.planner.strategies import Raw, stacks, without_one

_SMALL = {"ipv4_pool": "10.6.0.0/20", "socket_pool": "10.6.16.0/24"}
"""Pools of 16 and 32 subnets, where derived ones collide."""

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@given(stacks(max_networks=6, moded=True), st.sampled_from([{}, _SMALL]))
@SETTINGS
def test_a_network_that_goes_changes_no_other(raw: Raw, pools: Raw) -> None:
    """Addresses, rules, guard, Docker's arguments and containers of the others stay."""
    raw = settled({**raw, **pools})
    whole = _networks(raw)
    for less, *gone in without_one(raw):
        others = {key: found for key, found in whole.items() if key != tuple(gone)}
        assert _networks(less) == others


def _networks(raw: Raw) -> dict[tuple[str, str], NetworkPlan]:
    """Return the plan of each network, by host and name."""
    hosts = plan(Stack.parse(raw, "any"))
    return {(host.name, network.name): network for host in hosts for network in host.networks}
