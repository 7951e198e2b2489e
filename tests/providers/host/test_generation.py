"""The files that a host loads: complete, in order, and the same for the same lines."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from planner.config import Stack
from planner.plan import plan
from planner.rule import Element, Rule, Setting
from providers.host.generation import (
    AS_NEEDED,
    BASE,
    CHAINS,
    COMMON,
    FILES,
    MAPS,
    METRICS,
    UNITS,
    Family,
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
    """Each ends with a newline, so that the host can read it line by line."""
    files = compose(case(name)).files
    assert tuple(files) == (FILES if case(name).metrics is None else (*FILES, *METRICS))
    assert all(text == "" or text.endswith("\n") for text in files.values())
    assert from_json(files["plan.json"]) == case(name)


@given(stacks(moded=True))
@SETTINGS
def test_every_line_of_a_plan_is_in_its_file_once(raw: Raw) -> None:
    """Beside them, a file has only the base rules of the guard."""
    for host in plan(Stack.parse(raw, "any")):
        generation = compose(host_plan(host))
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
        unneeded = len(_unneeded(generation.elements)) if guard else 0
        assert len(lines) == len(guard) + base - unneeded
        settings = [e for e in wanted if isinstance(e, Setting)]
        addresses = [e.text.split()[1] for e in settings if e.section == "addresses"]
        found = files["addresses"].splitlines()
        assert sorted(line.split()[2] for line in found) == sorted(addresses)
        texts = [e.text.replace(" = ", " ") for e in settings if e.section != "addresses"]
        found = files["host"].splitlines()
        assert len(found) == len(texts)
        assert all(any(line.endswith(text) for line in found) for text in texts)


def _unneeded(maps: Collection[str]) -> set[str]:
    """Return the maps that the rules of a guard without these elements do not name."""
    return {f"@{name}" for name in AS_NEEDED if name in MAPS and name not in maps}


@given(stacks(moded=True))
@SETTINGS
def test_the_guards_file_makes_the_table_of_the_planners_rules(raw: Raw) -> None:
    """So the results of test_guard.py also hold for the file that is loaded."""
    for host in plan(Stack.parse(raw, "any")):
        text = compose(host_plan(host)).files["guard.nft"]
        if not text:
            continue
        networks = [each for network in host.networks for each in network.wanted]
        found, wanted = guard_in(text), guard_of([*host.wanted, *networks])
        assert found.maps == wanted.maps
        for chain, (hook, *_) in BASE.items():
            assert f"type filter hook {hook}; policy accept;" in text
            unneeded = _unneeded({name for name, elements in wanted.maps.items() if elements})
            wanted.chains[chain] = [r for r in wanted.chains[chain] if r[-1] not in unneeded]
        assert found.chains == wanted.chains


@pytest.mark.parametrize("name", golden.cases())
def test_chains_have_their_rules_in_the_order_of_their_places(name: str) -> None:
    """The names of the lines do not matter."""
    wanted = case(name)
    generation = compose(wanted)
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
    """Return the same lines with roles that sort in reverse.

    Roles with a meaning stay: a route's family, an address that the network owns.
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
    """The loaded files depend only on lines and places."""
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
    assert _loaded(compose(other)) == _loaded(compose(wanted))


def _loaded(generation: Generation) -> dict[str, str]:
    """Return the files that the host loads; two others name roles and networks."""
    named = ("plan.json", "wanbound-metrics.networks")
    return {name: text for name, text in generation.files.items() if name not in named}


@pytest.mark.parametrize("name", golden.cases())
def test_the_map_by_bridge_is_there_only_where_docker_chooses_a_subnet(name: str) -> None:
    """postrouting knows the bridge from Linux 5.7 on; hosts without the map may be older."""
    text = compose(case(name)).files["guard.nft"]
    assert ("map by-bridge" in text) == (name in ("snat-docker", "nftables", "log-drops"))
    assert ("snat-by-bridge" in text) == (name == "nftables")


def test_an_empty_plan_gives_tables_without_rules() -> None:
    """This generation removes everything: chains that are not in it are deleted."""
    files = compose(replace(NOTHING, stack="a/b/c")).files
    for family in ("ipv4", "ipv6"):
        tables = [f"*{table}\n# jumps {table}\nCOMMIT\n" for table in CHAINS]
        assert files[f"{family}.rules"] == "".join(tables)
    filled = {name for name, text in files.items() if text}
    assert filled == {"ipv4.rules", "ipv6.rules", "owner", "plan.json", *UNITS}
    assert files["owner"] == "a/b/c\n"


def test_both_chains_of_nat_are_there_as_soon_as_one_has_a_rule() -> None:
    """The host relies on it; a network without ingress has rules in only one of them."""
    rules = compose(case("snat")).rules("ipv4")
    assert rules["nat"]["WANBOUND-DNAT"] == []
    assert rules["nat"]["WANBOUND-SNAT"] != []
    assert list(rules["filter"]) == ["WANBOUND-FORWARD"]


A = "203.0.113.1"


def _plan(*networks: Network, leaving: tuple[Network, ...] = ()) -> Plan:
    return Plan("a/b/c", "wan0", {each.name: each for each in networks}, leaving=leaving)


def _web(name: str = "web", bridge: str = "web", address: str = A) -> Network:
    return network(name, bridges={"own": bridge}, addresses={"ipv4": address})


def test_the_rules_of_nat_are_there_as_data() -> None:
    """The host compares open connections with them; a leaving network is still translated."""
    flows = {"ipv4": f"from 172.16.0.0/24 {A}", "ipv4 tcp": f"to {A} tcp 0-65535 172.16.0.2"}
    web = replace(_web(), flows=flows)
    said = "".join(f"{text}\n" for text in flows.values())
    assert compose(_plan(web)).files["flows"] == said
    added = replace(web, lines={"addresses": {"ipv4": f"inet {A}/32 scope global wan0"}})
    assert compose(_plan(leaving=(added,))).files["flows"] == (
        f"from 172.16.0.0/24 {A}\nonly {A}\nto {A} tcp 0-65535 172.16.0.2\n"
    )


@pytest.mark.parametrize("name", golden.cases())
def test_each_rule_of_nat_has_its_data(name: str) -> None:
    """Their number and their addresses are the same."""
    generation = compose(case(name))
    said = [line.split() for line in generation.files["flows"].splitlines()]
    families: tuple[tuple[Family, bool], ...] = (("ipv4", False), ("ipv6", True))
    for family, colon in families:
        mine = [words for words in said if (":" in " ".join(words)) == colon]
        to = [[*words[1:3], words[-1]] for words in mine if words[0] == "to"]
        sources = [words[1:3] for words in mine if words[0] == "from"]
        nat = _in_nftables if name.startswith("nftables") else _in_iptables
        wanted_to, wanted_sources = nat(generation, family)
        assert (sorted(to), sorted(sources)) == (sorted(wanted_to), sorted(wanted_sources))


Nat = tuple[list[list[str]], list[list[str]]]
"""Address, protocol and target of ingress; subnet or bridge, and address of egress."""


def _in_iptables(generation: Generation, family: Family) -> Nat:
    nat = generation.rules(family).get("nat", {})
    dnat, snat = (
        [rule.split() for rule in nat.get(chain, []) if not rule.endswith(" -j RETURN")]
        for chain in ("WANBOUND-DNAT", "WANBOUND-SNAT")
    )
    return (
        [[rule[3].partition("/")[0], rule[5], rule[-1]] for rule in dnat],
        [[rule[3], rule[-1]] for rule in snat if "!" in rule],
    )


def _in_nftables(generation: Generation, family: Family) -> Nat:
    ip = {"ipv4": "ip", "ipv6": "ip6"}[family]
    to, sources = [], []
    for chain, rules in generation.guard.items():
        for rule in (each.text.split() for each in rules):
            if chain.startswith("dnat-") and rule[0] == ip:
                to.append([rule[2], rule[5] if rule[3] == "meta" else rule[3], rule[-1]])
    maps = [(f"snat-{family}", "")] + [("snat-by-bridge", "@")] * (family == "ipv4")
    for name, sign in maps:
        for element in generation.elements.get(name, ()):
            key, chain = element.text.split(" : jump ")
            sources += [
                [sign + key.strip('"'), rule.text.split()[-1]]
                for rule in generation.guard[chain]
                if f'!= "{chain.removeprefix("snat-")}" snat {ip} to' in rule.text
            ]
    return to, sources


def test_bridges_that_may_not_exist_are_named() -> None:
    """They are sorted, as in all files: the same plan always gives the same generation."""
    assert compose(_plan(), absent=["web", "mail"]).files["absent"] == "mail\nweb\n"


def test_connections_of_a_leaving_network_do_not_return_early() -> None:
    """Its subnet need not be in the common one of the networks that are wanted."""
    many, former = case("many"), case("ipv4-only")
    assert "-j RETURN" in compose(many).files["ipv4.rules"]
    mixed = replace(many, leaving=tuple(former.networks.values()))
    assert "-j RETURN" not in compose(mixed).files["ipv4.rules"]
    # One whose bridge is only closed has no rules of NAT.
    closed = replace(many, leaving=(network("gone", bridges={"own": "gone"}),))
    assert "-j RETURN" in compose(closed).files["ipv4.rules"]


def test_a_leaving_network_is_loaded_and_its_bridges_are_named() -> None:
    """The file `leaving` tells the host when to load the next generation."""
    gone = network("gone", bridges={"own": "gone", "socket": "gone-sock"})
    files = compose(_plan(_web(), leaving=(gone,))).files
    assert files["leaving"] == "gone\ngone-sock\n"
    assert files["bridges"] == "gone\ngone-sock\nweb\n"
    assert '"gone-sock" : jump to-gone-sock' in files["guard.nft"]
    assert compose(_plan(_web())).files["leaving"] == ""


def test_the_owner_of_each_line_is_known() -> None:
    """Drift is reported for the network, section and role of a line."""
    wanted = case("several-networks")
    generation = compose(wanted)
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
