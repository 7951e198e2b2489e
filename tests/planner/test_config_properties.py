"""What must hold for every configuration that hypothesis generates."""

import copy
from itertools import combinations
from typing import Any, cast

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planner.config import Stack
from planner.errors import ConfigError
from tests.planner.strategies import Raw, junk, stacks

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@given(stacks())
@QUICK
def test_a_valid_stack_resolves_without_overlap(raw: Raw) -> None:
    """Networks of a host share no address, networks of the stack no public address."""
    stack = Stack.parse(raw, "any")
    publics = [f.public for h in stack.hosts for n in h.networks for f in n.families]
    assert len(publics) == len(set(publics))
    for host in stack.hosts:
        bridges = [network.bridge for network in host.networks]
        assert len(bridges) == len(set(bridges))
        subnets = [family.subnet for n in host.networks for family in n.families]
        subnets += [n.inner_subnet for n in host.networks if n.inner_subnet is not None]
        for one, other in combinations(subnets, 2):
            if one.version == other.version:
                assert one.network_address not in other
                assert other.network_address not in one


@given(stacks())
@QUICK
def test_every_address_has_its_place(raw: Raw) -> None:
    """Gateway, load balancer, fixed addresses: distinct and in the subnet; ingress has a target."""
    for host in Stack.parse(raw, "any").hosts:
        for network in host.networks:
            assert network.families
            for family in network.families:
                used = [family.gateway]
                if network.load_balancer is not None:
                    assert family.load_balancer is not None
                    used.append(family.load_balancer)
                used += [a for c in network.containers if (a := c.address(family.version))]
                used += [a for p in network.undeclared if (a := p.address(family.version))]
                assert len(used) == len(set(used))
                assert all(address in family.subnet for address in used)
                for entry in network.ingress:
                    assert network.address_of(entry.to, family.version) in used[1:]


@given(stacks(), st.data())
@QUICK
def test_a_damaged_stack_raises_nothing_but_config_errors(raw: Raw, data: st.DataObject) -> None:
    """With any value in one place, the error is ours and has no text of pydantic."""
    damaged = copy.deepcopy(raw)
    here: Any = damaged
    while True:
        places = list(here) if isinstance(here, dict) else list(range(len(here)))
        place = data.draw(st.sampled_from(places))
        below = here[place]
        if not below or not isinstance(below, dict | list) or data.draw(st.integers(0, 3)) == 0:
            break
        here = below
    here[place] = data.draw(junk())
    _parses_or_explains(damaged)


@given(junk())
@example({"[key]": None})  # pydantic marks the key of a mapping so; here it is a key itself
@QUICK
def test_junk_raises_nothing_but_config_errors(raw: object) -> None:
    """Values that never were a configuration give such errors too."""
    _parses_or_explains(raw)
    _parses_or_explains({"hosts": raw})
    _parses_or_explains({"hosts": [{"networks": raw}]})


def _parses_or_explains(raw: object) -> None:
    try:
        Stack.parse(cast("Raw", raw), "any")
    except ConfigError as error:
        text = str(error)
        assert error.problems
        assert all(p.key.startswith("wanbound:") and p.what and p.remedy for p in error.problems)
        assert "Input should" not in text
        assert "pydantic" not in text
        assert all(line.isprintable() for line in text.splitlines())
