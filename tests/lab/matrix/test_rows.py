"""What is asked in the matrix, of whom, and how it is counted: without a host."""

import shlex
from typing import cast

import pytest

from lab.api import Host
from lab.checks import Check, Question, Result, matrix
from lab.checks.matrix import Kind, Origin
from lab.matrix.rows import KINDS, Column, cell, failures, table, totals
from lab.matrix.sites import FAMILIES, HERE, Families, by_hand, config
from lab.stacks import parsed


class _Host:
    def __init__(self, name: str) -> None:
        self.name, self.address, self.host_key = name, "10.0.0.9", None
        self.address = f"192.0.2.{len(name)}"


HOSTS = [cast("Host", _Host(name)) for name in ("matrix-1", "matrix-22")]
ALL = pytest.mark.parametrize("families", FAMILIES)


@ALL
def test_every_choice_is_a_stack_with_every_check(families: Families) -> None:
    """Each kind of check is asked, on each host and in each of its families."""
    wanted = config(HOSTS, families, 40)
    for entry in wanted["hosts"]:
        del entry["ssh"]["host_key"]
    checks = matrix(parsed(wanted, "matrix"))
    for host in ("matrix-1", "matrix-22"):
        for name in FAMILIES[families]:
            family = int(name[-1])
            found = {c.kind for c in checks if c.host == host and c.family == family}
            # What stands before Docker's socket has IPv4 alone; who asks for names is captured.
            without = {"resolver", "socket"} if family == 6 else {"resolver"}
            assert found == set(KINDS) - without


@ALL
def test_the_recipe_gets_the_same_addresses(families: Families) -> None:
    """As words of a shell, nine to each network; and what is added is removed."""
    wanted = config(HOSTS, families, 40)
    for entry in wanted["hosts"]:
        del entry["ssh"]["host_key"]
    for number, hand in enumerate(by_hand(HOSTS, wanted)):
        words = list(hand.words)
        assert shlex.split(" ".join(words)) == words
        assert len(words) == 3 + 2 * 9
        assert words[1:3] == ["yes" if f in FAMILIES[families] else "no" for f in ("ipv4", "ipv6")]
        for network in wanted["hosts"][number]["networks"]:
            for key in FAMILIES[families]:
                assert network[f"public_{key}"] in words
                assert network[f"subnet_{key}"] in words
        assert len(hand.addresses) == 2 * len(FAMILIES[families])


def test_the_recipe_is_the_recipes() -> None:
    """Its mistakes are what the column is for; whoever mends them here must say so."""
    text = (HERE / "recipe.sh").read_text()
    for words in (
        "container_interface_prefix",
        "-P INPUT DROP",
        "-P FORWARD DROP",
        "-m state --state RELATED,ESTABLISHED",
        "trustedIPs=172.20.0.1/24",
    ):
        assert words in text
    assert "-A OUTPUT" not in text
    assert "--ctstate DNAT" not in text


def _result(kind: Kind, good: bool, host: str = "matrix-1") -> Result:
    question = Question(Origin(), "203.0.113.40")
    check = Check(kind, host, "web", 4, "asks", question, "203.0.113.40")
    return Result(check, "203.0.113.40" if good else "no answer")


def test_what_failed_is_counted() -> None:
    """Of how many, in its own row and column, and in words at the end where it is ours."""
    ours = Column("IPv4 only", True, (_result("egress", True), _result("ingress", False)))
    recipe = Column("IPv4 only", False, (_result("egress", False), _result("egress", True)))
    assert cell(ours, "matrix-1", "egress", 4) == "[green]✓ 1[/]"
    assert cell(recipe, "matrix-1", "egress", 4) == "[red]1/2[/]"
    assert cell(ours, "matrix-1", "egress", 6) == ""
    assert cell(ours, "matrix-22", "egress", 4) == ""
    assert cell(None, "matrix-1", "egress", 4) == ""
    assert len(failures([ours, recipe], ours=True)) == 1
    assert len(failures([ours, recipe], ours=False)) == 1
    assert "1 of 2" in totals([ours, recipe])
    assert table([ours, recipe], {"matrix-1": "20.10.24 nft"}).row_count == 2
    assert not ours.good
    assert not Column("IPv4 only", True, ()).good
