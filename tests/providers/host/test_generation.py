"""What a host is told to load: complete, in order, and the same for the same lines."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from planner.config import Stack
from planner.plan import plan
from planner.rule import Element, Rule, Setting
from providers.host.generation import (
    BASE,
    CHAINS,
    COMMON,
    FILES,
    UNITS,
    Generation,
    Place,
    Placed,
    compose,
)
from providers.host.plan import NOTHING, Lines, Network, Order, Plan, from_json
from tests.planner import golden
from tests.planner.nft import guard_in, guard_of
from tests.planner.strategies import Raw, stacks
from tests.providers.host.planned import case, host_plan, network

SETTINGS = settings(
    max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@pytest.mark.parametrize("name", golden.cases())
def test_a_generation_has_all_files_and_nothing_else(name: str) -> None:
    """Each ends with a line break, so that the host can read it line by line."""
    files = compose(case(name), NOTHING).files
    assert tuple(files) == FILES
    assert all(text == "" or text.endswith("\n") for text in files.values())
    assert from_json(files["plan.json"]) == case(name)


@given(stacks(moded=True))
@SETTINGS
def test_every_line_of_a_plan_is_in_its_file_once(raw: Raw) -> None:
    """And no other: the base rules of the guard are all that a file has besides."""
    for host in plan(Stack.parse(raw, "any")):
        generation = compose(host_plan(host), NOTHING)
        files = generation.files
        wanted = [*host.wanted, *(each for n in host.networks for each in n.wanted)]
        for family in ("ipv4", "ipv6"):
            rules = [e.text for e in wanted if isinstance(e, Rule) and e.family == family]
            lines = files[f"{family}.rules"].splitlines()
            loaded = [line for line in lines if line.startswith("-A WANBOUND-")]
            assert sorted(loaded) == sorted(rules)
        guard = [e for e in wanted if isinstance(e, Element) or getattr(e, "family", "") == "inet"]
        lines = re.findall("^\t\t.*$", files["guard.nft"], re.MULTILINE)
        base = sum(len(rules) for rules in (*BASE.values(), *COMMON.values())) if guard else 0
        unneeded = bool(guard) and "by-bridge" not in generation.elements
        assert len(lines) == len(guard) + base - unneeded
        settings = [e for e in wanted if isinstance(e, Setting)]
        addresses = [e.text.split()[1] for e in settings if e.section == "addresses"]
        found = files["addresses"].splitlines()
        assert sorted(line.split()[2] for line in found) == sorted(addresses)
        texts = [e.text.replace(" = ", " ") for e in settings if e.section != "addresses"]
        found = files["host"].splitlines()
        assert len(found) == len(texts)
        assert all(any(line.endswith(text) for line in found) for text in texts)


@given(stacks(moded=True))
@SETTINGS
def test_the_guards_file_makes_the_table_of_the_planners_rules(raw: Raw) -> None:
    """What test_guard.py proves of the rules is so proved of the file that is loaded."""
    for host in plan(Stack.parse(raw, "any")):
        text = compose(host_plan(host), NOTHING).files["guard.nft"]
        if not text:
            continue
        found, wanted = guard_in(text), guard_of(e for n in host.networks for e in n.wanted)
        assert found.maps == wanted.maps
        for hook, (kind, *_) in BASE.items():
            assert f"type filter hook {hook} priority {kind}; policy accept;" in text
            if not wanted.maps["by-bridge"]:
                wanted.chains[hook] = [r for r in wanted.chains[hook] if r[-1] != "@by-bridge"]
        assert found.chains == wanted.chains


@pytest.mark.parametrize("name", golden.cases())
def test_chains_have_their_rules_in_the_order_of_their_places(name: str) -> None:
    """First what comes first, last what comes last, whatever the lines are called."""
    wanted = case(name)
    generation = compose(wanted, NOTHING)
    sections = [*generation.chains.values(), *generation.guard.values()]
    assert any(sections)
    for rules in [*sections, *generation.settings.values()]:
        places = [
            _owner(wanted, each.place).order.get(each.place.section, {}).get(each.place.role, 0)
            for each in rules
        ]
        assert places == sorted(places)


def _owner(wanted: Plan, place: Place) -> Plan | Network:
    return wanted if place.network is None else wanted.networks[place.network]


def _renamed(lines: Lines, order: Order) -> tuple[Lines, Order]:
    """Return the same with roles that sort the other way round.

    Except where the role says something: a route's family, an address that the network owns.
    """
    names = {
        section: {
            role: role if section in ("routes", "addresses") else _backwards(role) for role in roles
        }
        for section, roles in lines.items()
    }
    return (
        {s: {names[s][role]: text for role, text in roles.items()} for s, roles in lines.items()},
        {s: {names[s][role]: place for role, place in o.items()} for s, o in order.items()},
    )


def _backwards(role: str) -> str:
    return "".join(chr(0x10FF - ord(letter)) for letter in role) + "\u10ff"


@given(stacks(max_hosts=1, moded=True))
@SETTINGS
def test_roles_and_names_that_sort_differently_change_nothing(raw: Raw) -> None:
    """What is loaded follows from the lines and their places alone."""
    (host,) = plan(Stack.parse(raw, "any"))
    wanted = host_plan(host)
    networks = {}
    for each in wanted.networks.values():
        lines, order = _renamed(each.lines, each.order)
        name = _backwards(each.name)
        networks[name] = replace(each, name=name, lines=lines, order=order)
    lines, order = _renamed(wanted.lines, wanted.order)
    networks = dict(sorted(networks.items()))
    other = replace(wanted, lines=lines, order=order, networks=networks)
    assert other != wanted
    assert _loaded(compose(other, NOTHING)) == _loaded(compose(wanted, NOTHING))


def _loaded(generation: Generation) -> dict[str, str]:
    """Return the files that the host loads; plan.json names the roles."""
    return {name: text for name, text in generation.files.items() if name != "plan.json"}


def test_a_host_without_the_guard_has_an_empty_file_for_it() -> None:
    """By that the host knows that the table is to be deleted; in iptables all is the same."""
    files = compose(case("guard-off"), NOTHING).files
    assert files["guard.nft"] == ""
    assert "-A WANBOUND-SNAT" in files["ipv4.rules"]


@pytest.mark.parametrize("name", golden.cases())
def test_the_map_by_bridge_is_there_only_where_docker_chooses_a_subnet(name: str) -> None:
    """postrouting knows the bridge from Linux 5.7 on; other hosts need not."""
    text = compose(case(name), NOTHING).files["guard.nft"]
    assert ("by-bridge" in text) == (name == "snat-docker")


def test_a_host_of_nobody_has_nothing_but_frames() -> None:
    """The generation that removes everything: chains that are not in it are deleted."""
    files = compose(replace(NOTHING, stack="a/b/c"), NOTHING).files
    for family in ("ipv4", "ipv6"):
        tables = [f"*{table}\n# jumps {table}\nCOMMIT\n" for table in CHAINS]
        assert files[f"{family}.rules"] == "".join(tables)
    filled = {name for name, text in files.items() if text}
    assert filled == {"ipv4.rules", "ipv6.rules", "owner", "plan.json", *UNITS}
    assert files["owner"] == "a/b/c\n"


def test_both_chains_of_nat_are_there_as_soon_as_one_has_a_rule() -> None:
    """The host counts on it; a network without ingress has rules in one of them alone."""
    rules = compose(case("snat"), NOTHING).rules("ipv4")
    assert rules["nat"]["WANBOUND-DNAT"] == []
    assert rules["nat"]["WANBOUND-SNAT"] != []
    assert list(rules["filter"]) == ["WANBOUND-FORWARD"]


A, B = "203.0.113.1", "203.0.113.2"


def _plan(*networks: Network, leaving: tuple[Network, ...] = ()) -> Plan:
    return Plan("a/b/c", "wan0", {each.name: each for each in networks}, leaving=leaving)


def _web(name: str = "web", bridge: str = "web", address: str = A) -> Network:
    return network(name, bridges={"own": bridge}, addresses={"ipv4": address})


@pytest.mark.parametrize(
    ("after", "moved"),
    [
        pytest.param(_plan(_web()), "", id="the same"),
        pytest.param(_plan(), f"{A}\n", id="network removed"),
        pytest.param(_plan(_web(address=B)), f"{A}\n", id="another address"),
        pytest.param(_plan(_web("mail", "mail")), f"{A}\n", id="another network's now"),
        pytest.param(_plan(_web("renamed")), "", id="network renamed, bridge kept"),
        pytest.param(_plan(_web(bridge="br0")), f"{A}\n", id="another bridge"),
        pytest.param(_plan(leaving=(_web(),)), "", id="still leaving"),
    ],
)
def test_the_addresses_that_change_hands_are_named(after: Plan, moved: str) -> None:
    """Their open connections end, and those of no other address."""
    assert compose(after, _plan(_web())).files["moved"] == moved


def test_nothing_moves_on_a_host_that_had_nothing() -> None:
    """An address that is new has no connections to end."""
    assert compose(_plan(_web()), NOTHING).files["moved"] == ""


def test_an_address_moves_when_the_network_that_was_leaving_has_gone() -> None:
    """Until then its connections go on."""
    before = _plan(_web("mail", "mail", B), leaving=(_web(),))
    assert compose(replace(before, leaving=()), before).files["moved"] == f"{A}\n"


def test_bridges_that_may_not_exist_are_named() -> None:
    """Sorted, as all files: the same plan is always the same generation."""
    assert compose(_plan(), _plan(), absent=["web", "mail"]).files["absent"] == "mail\nweb\n"


def test_a_leaving_network_is_loaded_and_its_bridges_are_named() -> None:
    """By the file `leaving` the host knows when it can go on to the next generation."""
    gone = network("gone", bridges={"own": "gone", "socket": "gone-sock"})
    files = compose(_plan(_web(), leaving=(gone,)), NOTHING).files
    assert files["leaving"] == "gone\ngone-sock\n"
    assert files["bridges"] == "gone\ngone-sock\nweb\n"
    assert '"gone-sock" : jump to-gone-sock' in files["guard.nft"]
    assert compose(_plan(_web()), NOTHING).files["leaving"] == ""


def test_whose_each_line_is_is_known() -> None:
    """A drift is reported for the network, section and role whose line it is."""
    wanted = case("several-networks")
    generation = compose(wanted, NOTHING)
    groups: list[Mapping[Any, tuple[Placed, ...]]] = [
        generation.chains,
        generation.guard,
        generation.elements,
        generation.settings,
    ]
    lines = [line for group in groups for section in group.values() for line in section]
    for line in lines:
        owner = _owner(wanted, line.place)
        assert owner.lines[line.place.section][line.place.role] == line.text
    owners: list[Plan | Network] = [wanted, *wanted.networks.values()]
    assert len(lines) == sum(len(roles) for each in owners for roles in each.lines.values())
