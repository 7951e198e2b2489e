"""A host's plan is the same as properties, as JSON and in memory."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.host.plan import (
    NOTHING,
    Network,
    Plan,
    from_json,
    network_of,
    overlap,
    plan_of,
    properties,
    to_json,
)
from tests.planner.strategies import Raw, stacks
from tests.providers.host.planned import case, network, plans

SETTINGS = settings(
    max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def _by_engine(value: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return properties as the engine passes them: numbers are floats, keys are sorted."""
    if isinstance(value, dict):
        return {key: _by_engine(part) for key, part in sorted(value.items())}
    return float(value) if isinstance(value, int) else value


@given(stacks(moded=True))
@SETTINGS
def test_a_plan_survives_the_way_through_the_engine(raw: Raw) -> None:
    """The provider receives the plan that the program declared."""
    for wanted in plans(raw).values():
        props = _by_engine(json.loads(json.dumps(properties(wanted))))
        assert plan_of(props) == wanted
        orders = [n.order for n in plan_of(props).networks.values()]
        places = [place for order in orders for roles in order.values() for place in roles.values()]
        # 1.0 equals 1, but is written differently in plan.json.
        assert all(type(place) is int for place in places)


@given(stacks(moded=True), st.data())
@SETTINGS
def test_a_plan_survives_on_the_host(raw: Raw, data: st.DataObject) -> None:
    """A later run reads it, with leaving networks and networks that were taken over."""
    for wanted in plans(raw).values():
        cut = data.draw(st.integers(0, len(wanted.networks)))
        names = list(wanted.networks)
        written = replace(
            wanted,
            networks={name: wanted.networks[name] for name in names[cut:]},
            leaving=tuple(wanted.networks[name] for name in names[:cut]),
            taken_over=dict.fromkeys(names[cut:], "a" * 64),
        )
        text = to_json(written)
        assert text.count("\n") == 1
        assert from_json(text) == written
        assert to_json(from_json(text)) == text


def test_what_is_leaving_is_no_property() -> None:
    """Only the host needs it: a preview shows what the configuration asks for."""
    wanted = replace(case("snat"), leaving=(network("gone"),))
    assert plan_of(properties(wanted)) == replace(wanted, leaving=())
    assert wanted.bridges["gone"] == "gone"
    assert [each.name for each in wanted.all_networks][-1] == "gone"


def test_the_form_that_hosts_keep_can_be_read() -> None:
    """Hosts have files of this format, so every later format must read it too."""
    text = """
    {
      "stack": "acme/wanbound/prod", "wan": "wan0", "persist": "iptables-files",
      "own": {"links": {"wan0": "wan0 up"},
              "input_ipv4": {"strangers": "-A WANBOUND-INPUT -j DROP"},
              "order": {"input_ipv4": {"strangers": 1}}},
      "networks": {"mail": {
        "owns": {"bridges": {"own": "br-mail"}, "subnets": {"ipv4": "172.20.0.0/24"},
                 "addresses": {"ipv4": "203.0.113.20"}},
        "order": {"chain to-br-mail": {"strangers": 1}},
        "chain to-br-mail": {"strangers": "iifname != \\"br-mail\\" counter drop"}}},
      "taken_over": {"mail": "0123abcd"},
      "leaving": [{"name": "old", "owns": {"bridges": {"own": "old"}},
                   "map from": {"own": "\\"old\\" : jump from-old"}}]
    }"""
    assert from_json(text) == Plan(
        stack="acme/wanbound/prod",
        wan="wan0",
        networks={
            "mail": Network(
                "mail",
                {"own": "br-mail"},
                {"ipv4": "172.20.0.0/24"},
                {"ipv4": "203.0.113.20"},
                {"chain to-br-mail": {"strangers": 'iifname != "br-mail" counter drop'}},
                {"chain to-br-mail": {"strangers": 1}},
            )
        },
        lines={
            "links": {"wan0": "wan0 up"},
            "input_ipv4": {"strangers": "-A WANBOUND-INPUT -j DROP"},
        },
        order={"input_ipv4": {"strangers": 1}},
        persist="iptables-files",
        taken_over={"mail": "0123abcd"},
        leaving=(
            Network("old", {"own": "old"}, {}, {}, {"map from": {"own": '"old" : jump from-old'}}),
        ),
    )


def test_a_plan_of_nothing_has_no_properties_but_the_names() -> None:
    """A preview shows no empty sections."""
    assert properties(NOTHING) == {"stack": "", "wan": "", "networks": {}}
    assert from_json(to_json(NOTHING)) == NOTHING


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["stack", "wan", "networks", "own", "order", "owns", "bridges", "leaving", "name"]
            )
            | st.text(max_size=3),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(JSON)
@settings(SETTINGS, max_examples=300)
def test_junk_is_refused_with_a_value_error_or_is_a_plan(value: object) -> None:
    """root on the host can write the file; the run then reports that it is not a plan."""
    _refused_or_plan(json.dumps(value))


@given(st.data())
@settings(SETTINGS, max_examples=300)
def test_a_damaged_plan_is_refused_with_a_value_error_or_is_a_plan(data: st.DataObject) -> None:
    """Any part of a valid plan is replaced."""
    found = json.loads(to_json(replace(case("baseline"), leaving=(network("gone"),))))
    here: Any = found
    while isinstance(here, dict | list) and here:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(here[key], dict | list):
            here[key] = data.draw(JSON)
            break
        here = here[key]
    _refused_or_plan(json.dumps(found))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "1e999",
        '"plan"',
        "{}",
        "[" * 100_000,
        '{"stack": "a", "wan": "b"}',
        '{"stack": "a", "wan": "b", "leaving": [{}]}',
        '{"stack": "a", "wan": "b", "leaving": 7}',
        '{"stack": "a", "wan": "b", "leaving": [], "networks": {"n": {}}}',
        '{"stack": "a", "wan": "b", "leaving": [], "own": {"order": {"s": {"r": 1e999}}}}',
        '{"stack": "a", "wan": "b", "leaving": [], "own": {"order": {"s": {"r": NaN}}}}',
        '{"stack": "a", "wan": "b", "leaving": [], "own": {"links": "wan0"}}',
        '{"stack": 1, "wan": "b", "leaving": []}',
        '{"stack": "a", "wan": ["b"], "leaving": []}',
        '{"stack": "a", "wan": "b", "leaving": [], "persist": {}}',
        '{"stack": "a", "wan": "b", "leaving": [], "metrics": {}}',
        '{"stack": "a", "wan": "b", "leaving": [{"name": [], "owns": {}}]}',
        '{"stack": "a", "wan": "b", "leaving": [], "networks": {"n": {"owns": {"bridges": {}}}}}',
        '{"stack": "a", "wan": "b", "leaving": [{"name": "n", "owns": {"subnets": {"own": "x"}}}]}',
    ],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    """Every other text is a ValueError."""
    with pytest.raises(ValueError):
        from_json(text)


def _refused_or_plan(text: str) -> None:
    try:
        found = from_json(text)
    except ValueError:
        return
    assert from_json(to_json(found)) == found
    assert found.bridges is not None


def test_a_network_is_its_properties() -> None:
    """`order` and `owns` are not names of sections."""
    wanted = case("ingress-addresses").networks["mail"]
    assert network_of("mail", wanted.properties) == wanted
    assert set(wanted.properties) == {"owns", "order", *wanted.lines}


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("172.20.0.0/24", "172.20.0.0/24", True),
        ("172.20.0.0/24", "172.20.0.128/25", True),
        ("172.16.0.0/12", "172.20.0.0/24", True),
        ("172.20.0.7/24", "172.20.0.9/24", True),
        ("172.20.0.0/24", "172.20.1.0/24", False),
        ("fd00::/64", "fd00::1:0/112", True),
        ("fd00::/64", "fd00:0:0:1::/64", False),
        ("0.0.0.0/0", "::/0", False),
        ("172.20.0.0/24", "mail", False),
        ("", "", False),
    ],
)
def test_subnets_overlap_where_they_share_an_address(one: str, other: str, share: bool) -> None:
    """The order of the two does not matter; subnets of two families never overlap."""
    assert overlap(one, other) == share
    assert overlap(other, one) == share
