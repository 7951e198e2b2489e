"""The floor loads the provider's own rules."""

import pytest

from bench import floor, scenario
from providers.host.generation import Family, compose
from tests.bench.test_scenario import PLACE

PLAN = scenario.networking(scenario.config(PLACE, 12))


def provider_lines(family: Family, table: str) -> list[str]:
    """Return the table's rules as the provider loads them, in their order."""
    text = compose(PLAN).files[f"{family}.rules"]
    part = text.partition(f"*{table}\n")[2].partition("COMMIT\n")[0]
    return [line for line in part.splitlines() if line.startswith("-A ")]


@pytest.mark.parametrize("family", floor.FAMILIES)
@pytest.mark.parametrize("table", list(floor.TABLES))
def test_its_rules_are_the_providers(family: Family, table: str) -> None:
    """The lines and their order are the same; only the chains have other names."""
    found = [floor.as_ours(line) for line in floor.lines(PLAN, family, table)]
    assert found
    assert found == provider_lines(family, table)


@pytest.mark.parametrize("family", floor.FAMILIES)
def test_its_text_has_all_rules_and_no_chain_of_the_providers(family: Family) -> None:
    """It changes nothing of a stack that runs on the host."""
    text = floor.load(PLAN, family)
    rules = [line for line in text.splitlines() if line.startswith("-A WBENCH-")]
    expected = [line for table in floor.TABLES for line in floor.lines(PLAN, family, table)]
    assert rules == expected
    assert "WANBOUND-" not in text
    assert text.count("COMMIT\n") == 2


def test_a_second_load_makes_no_second_jump() -> None:
    """The second load finds the jumps of the first."""
    again = floor.load(PLAN, "ipv4", hooked=True)
    assert "-A PREROUTING" not in again
    first = floor.load(PLAN, "ipv4")
    assert [line for line in first.splitlines() if line not in again.splitlines()] == [
        "-A PREROUTING -j WBENCH-DNAT",
        "-A OUTPUT -j WBENCH-DNAT",
        "-A POSTROUTING -j WBENCH-SNAT",
        "-A FORWARD -j WBENCH-FORWARD",
    ]


def test_unload_and_sweep_name_every_chain_and_jump_that_load_makes() -> None:
    """No chain or jump is left over."""
    loaded = floor.load(PLAN, "ipv4").splitlines()
    jumps = [line[3:] for line in loaded if line.startswith("-A ") and not line[3:].startswith("W")]
    chains = [line[1:].split()[0] for line in loaded if line.startswith(":")]
    assert (len(jumps), len(chains)) == (4, 3)
    for jump in jumps:
        assert f"-D {jump}\n" in floor.unload()
        assert floor.sweep().count(f"-D {jump} ") == 2
    for chain in chains:
        assert f"-F {chain}\n-X {chain}\n" in floor.unload()
        assert floor.sweep().count(f"-X {chain} ") == 2


def test_standing_lines_are_read_chain_by_chain() -> None:
    """Foreign lines and counters are ignored; the order inside a chain counts."""
    saved = (
        "*nat\n:WBENCH-SNAT - [0:0]\n-A WBENCH-SNAT -j one\n-A WBENCH-DNAT -j two\n"
        "-A DOCKER -j x\n-A WBENCH-SNAT -j three\n-A WANBOUND-SNAT -j four\nCOMMIT\n"
    )
    assert floor.standing(saved, "floor") == [
        "-A WANBOUND-DNAT -j two",
        "-A WANBOUND-SNAT -j one",
        "-A WANBOUND-SNAT -j three",
    ]
    assert floor.standing(saved, "ours") == ["-A WANBOUND-SNAT -j four"]


def test_damage_takes_one_rule_of_each_network() -> None:
    """The SNAT rule, without which the guard must drop."""
    text = floor.damage(scenario.networking(scenario.config(PLACE, 1)), "ipv4").splitlines()
    assert text[0] == "*nat"
    assert text[1].startswith("-D WANBOUND-SNAT -s 10.110.1.0/24 ! -o bench-001 -j SNAT")
    assert text[2:] == ["COMMIT"]


def test_unhook_takes_the_jumps_and_nothing_else() -> None:
    """Chains without a jump cost no packet anything."""
    saved = (
        "# by hand\n*nat\n:PREROUTING ACCEPT [0:0]\n:WANBOUND-DNAT - [0:0]\n"
        "-A PREROUTING -j WANBOUND-DNAT\n-A PREROUTING -j DOCKER\n-A WANBOUND-DNAT -j x\nCOMMIT\n"
    )
    assert floor.unhook(saved) == "*nat\n-D PREROUTING -j WANBOUND-DNAT\nCOMMIT\n"
