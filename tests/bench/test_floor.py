"""The floor loads the provider's very rules."""

import pytest

from bench import floor, scenario
from providers.fragment import SECTIONS, fragment
from tests.bench.test_scenario import PLACE

NETWORKS = scenario.props(scenario.config(PLACE, 12))


def provider_lines(family: str, table: str) -> list[str]:
    """Return the table's lines of all fragments, in the order in which the host reads them."""
    texts = {
        each["network"]: fragment(
            each["network"], each["bridge"], {section: each[section] for section in SECTIONS}
        )
        for each in NETWORKS
    }
    prefix = f"{family} {table} "
    return [
        line.removeprefix(prefix)
        for _, text in sorted(texts.items())
        for line in text.splitlines()
        if line.startswith(prefix)
    ]


@pytest.mark.parametrize("family", floor.FAMILIES)
@pytest.mark.parametrize("table", list(floor.TABLES))
def test_its_rules_are_the_providers(family: floor.Family, table: str) -> None:
    """Line by line and in the same order; only the chains have other names."""
    found = [floor.as_ours(line) for line in floor.lines(NETWORKS, family, table)]
    assert found
    assert found == provider_lines(family, table)


@pytest.mark.parametrize("family", floor.FAMILIES)
def test_its_text_has_all_rules_and_no_chain_of_the_providers(family: floor.Family) -> None:
    """Nothing of a stack that runs on the host is touched."""
    text = floor.load(NETWORKS, family)
    rules = [line for line in text.splitlines() if line.startswith("-A WBENCH-")]
    expected = [line for table in floor.TABLES for line in floor.lines(NETWORKS, family, table)]
    assert rules == expected
    assert "WANBOUND-" not in text
    assert text.count("COMMIT\n") == 2


def test_a_second_load_makes_no_second_jump() -> None:
    """The jumps of the first are there."""
    again = floor.load(NETWORKS, "ipv4", hooked=True)
    assert "-A PREROUTING" not in again
    first = floor.load(NETWORKS, "ipv4")
    assert [line for line in first.splitlines() if line not in again.splitlines()] == [
        "-A PREROUTING -j WBENCH-DNAT",
        "-A OUTPUT -j WBENCH-DNAT",
        "-A POSTROUTING -j WBENCH-SNAT",
        "-A FORWARD -j WBENCH-FORWARD",
    ]


def test_unload_and_sweep_name_every_chain_and_jump_that_load_makes() -> None:
    """Nothing stays behind."""
    loaded = floor.load(NETWORKS, "ipv4").splitlines()
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
    """Other programs' lines and counters do not matter, the order inside a chain does."""
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
    """Its SNAT, the one without which the guard has to hold."""
    text = floor.damage(NETWORKS[:1], "ipv4").splitlines()
    assert text[0] == "*nat"
    assert text[1].startswith("-D WANBOUND-SNAT -s 10.110.1.0/24 ! -o bench-001 -j SNAT")
    assert text[2:] == ["COMMIT"]
