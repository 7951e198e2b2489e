"""The matrix's stacks, scripts and totals, without a host."""

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from lab.api import Host
from lab.checks import Check, Question, Result, matrix
from lab.checks.matrix import Kind, Origin
from lab.matrix.rows import KINDS, Column, cell, failures, table, totals
from lab.matrix.sites import FAMILIES, HERE, Families, Way, by_hand, config, part
from lab.stacks import Config, parsed
from planner.config import Firewall


class _Host:
    def __init__(self, name: str, docker: str, firewall: Firewall) -> None:
        self.name, self.address, self.host_key = name, f"192.0.2.{len(name)}", None
        self.docker_version, self.firewall = docker, firewall


HOSTS = [
    cast("Host", _Host("matrix-1", "20.10.24+dfsg1", "iptables")),
    cast("Host", _Host("matrix-22", "29.3.0", "nftables")),
]
ALL = pytest.mark.parametrize("families", FAMILIES)


def _config(families: Families) -> Config:
    wanted = config(HOSTS, families, 40)
    for entry in wanted["hosts"]:
        del entry["ssh"]["host_key"]
    return wanted


@ALL
def test_every_choice_is_a_stack_with_every_check(families: Families) -> None:
    """Each kind of check exists for each host and each of its families."""
    stack = parsed(_config(families), "matrix")
    assert [host.firewall for host in stack.hosts] == ["iptables", "nftables"]
    checks = matrix(stack)
    for host in ("matrix-1", "matrix-22"):
        for name in FAMILIES[families]:
            family = int(name[-1])
            found = {c.kind for c in checks if c.host == host and c.family == family}
            # The proxy before Docker's socket has IPv4 only; name queries are checked by a capture
            # instead.
            without = {"resolver", "socket"} if family == 6 else {"resolver"}
            assert found == set(KINDS) - without


@ALL
@pytest.mark.parametrize("way", ["recipe", "docker"])
def test_a_script_gets_the_same_addresses(families: Families, way: Way) -> None:
    """They are shell words, nine for each network; every added address is also removed."""
    wanted = _config(families)
    hands = by_hand(HOSTS, wanted, way)
    assert len(hands) == 2
    for number, hand in enumerate(hands):
        words = list(hand.words)
        assert shlex.split(" ".join(words)) == words
        assert len(words) == 2 + 2 * 9
        assert words[:2] == ["yes" if f in FAMILIES[families] else "no" for f in ("ipv4", "ipv6")]
        for network in wanted["hosts"][number]["networks"]:
            for key in FAMILIES[families]:
                assert network[f"public_{key}"] in words
                assert network[f"subnet_{key}"] in words
        assert len(hand.addresses) == 2 * len(FAMILIES[families])


def test_docker_alone_is_for_the_hosts_that_have_both_options() -> None:
    """Other hosts are left out of hosts and checks; addresses are those of the whole stack."""
    wanted = config(HOSTS, "dual stack", 40)
    assert part(HOSTS, wanted, "recipe") == (HOSTS, wanted)
    hosts, found = part(HOSTS, wanted, "docker")
    assert hosts == HOSTS[1:]
    assert found["hosts"] == wanted["hosts"][1:]


def _runs(script: str, words: Sequence[str], folder: Path) -> list[str]:
    """Return the commands of these names that a script runs, with their arguments."""
    log = folder / "log"
    for name in ("docker", "ip", "iptables", "ip6tables"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >>{log}\n')
        program.chmod(0o755)
    text = "".join((HERE / name).read_text() for name in ("containers.sh", script))
    subprocess.run(
        ["/bin/sh", "-e", "-s", *words],
        input=text,
        text=True,
        check=True,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
    )
    return log.read_text().splitlines()


def _of(way: Way, families: Families, folder: Path) -> list[str]:
    [hand, _] = by_hand(HOSTS, _config(families), way)
    return _runs(f"{way}.sh", hand.words, folder)


def test_docker_alone_has_its_options_and_no_rule(tmp_path: Path) -> None:
    """Source addresses, published ports, DNS servers and the operator's addresses, but no rule."""
    said = _of("docker", "dual stack", tmp_path)
    assert not [line for line in said if "tables" in line.split()[0]]
    [create] = [line for line in said if line.startswith("docker network create") and "web" in line]
    for words in (
        "com.docker.network.host_ipv4=203.0.113.40",
        "com.docker.network.host_ipv6=2001:db8::40",
        "--ipv6",
    ):
        assert words in create
    assert "ip address add 203.0.113.40/32 dev wan0" in said
    assert "ip address add 2001:db8::40/128 dev wan0 preferred_lft 0 nodad" in said
    [balancer] = [line for line in said if "--name web_lb" in line]
    assert "-p 203.0.113.40:80:80" in balancer
    assert "-p [2001:db8::40]:80:80" in balancer
    assert "--dns 198.51.100.53 --dns 2001:db8:ffff::53" in balancer


@pytest.mark.parametrize(("families", "without"), [("IPv4 only", ":"), ("IPv6 only", "203.0.113")])
def test_docker_alone_leaves_the_other_family_out(
    families: Families, without: str, tmp_path: Path
) -> None:
    """No address and no published port of the other family."""
    said = _of("docker", families, tmp_path)
    own = [line for line in said if line.startswith(("ip address", "docker network"))]
    assert len(own) == 4
    assert not [line for line in own if without in line]
    assert all(("--ipv4=false" in line) == (families == "IPv6 only") for line in own[1::2])


def test_the_recipe_is_the_recipes(tmp_path: Path) -> None:
    """The column shows the recipe's mistakes; a change of the script must not correct them."""
    text = "\n".join(_of("recipe", "dual stack", tmp_path))
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
    """Per row and column, with the number of checks; wanbound's failures are listed at the end."""
    ours = Column("IPv4 only", "wanbound", (_result("egress", True), _result("ingress", False)))
    recipe = Column("IPv4 only", "recipe", (_result("egress", False), _result("egress", True)))
    assert cell(ours, "matrix-1", "egress", 4) == "[green]✓ 1[/]"
    assert cell(recipe, "matrix-1", "egress", 4) == "[red]1/2[/]"
    assert cell(ours, "matrix-1", "egress", 6) == ""
    assert cell(ours, "matrix-22", "egress", 4) == ""
    assert cell(None, "matrix-1", "egress", 4) == ""
    assert len(failures([ours, recipe], "wanbound")) == 1
    assert len(failures([ours, recipe], "recipe")) == 1
    assert failures([ours, recipe], "docker") == []
    assert totals([recipe]) == "the recipe: 1 of 2 checks failed"
    assert totals([ours, recipe]).startswith("wanbound: 1 of 2 checks failed; the recipe: ")
    drawn = table([ours, recipe], {"matrix-1": "20.10.24 nft"})
    assert drawn.row_count == 2
    heads = [column.header for column in drawn.columns]
    assert heads == ["networks", "", "check", "20.10.24 nft", "the recipe"]
    assert not ours.good
    assert not Column("IPv4 only", "wanbound", ()).good
