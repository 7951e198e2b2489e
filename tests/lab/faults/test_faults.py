"""Each fault on five hosts at once: Docker 20.10, 28, 29, legacy iptables, and nftables.

`make faults` does the same, with Docker 26 as well, and shows a table. It also waits for rollbacks,
which tests/lab/atomic tests at every step.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab import lifecycle
from lab.api import Lab
from lab.faults.model import Fault, Procedure, Row
from lab.faults.procedures import Idle
from lab.faults.report import line
from lab.faults.rows import ROWS
from lab.faults.run import Runner
from lab.faults.site import site

pytestmark = pytest.mark.lab

LEGACY = "test-3"
DOCKER_28 = "test-4"
NFTABLES = "test-5"
FIRST = 20

IDLE = Procedure("idle", Idle(seconds=15), "no CPU time; legacy reads its tables")
"""Shorter than in `make faults`: enough to find a watcher that never sleeps."""


def rows() -> list[Row]:
    """Every quick row; the idle row is shortened, and repairs may take longer.

    The rows' seconds are for an otherwise idle machine, as `make faults` needs one.
    """
    short = [IDLE if row.name == IDLE.name else row for row in ROWS]
    return [_patient(row) for row in short if not (isinstance(row, Procedure) and row.long)]


def _patient(row: Row) -> Row:
    if isinstance(row, Fault):
        return replace(row, within=3 * row.within, traffic_within=3 * row.traffic_within)
    return replace(row, traffic_within=3 * row.traffic_within)


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> Iterator[Lab]:
    """The tests' hosts and three more, which are removed afterwards."""
    wanted = f"{LEGACY}=bookworm+legacy,{DOCKER_28}=forky,{NFTABLES}=forky+29nft"
    more = Lab.up(wanted, lab.settings)
    try:
        yield more
    finally:
        for name in (LEGACY, DOCKER_28, NFTABLES):
            lifecycle.remove_host(lab.settings, name)


@pytest.fixture(scope="module")
def runner(hosts: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The stack of the faults on all hosts, with traffic."""
    with site(hosts, list(hosts.hosts), FIRST, tmp_path_factory.mktemp("faults")) as place:
        yield Runner(place)


def test_the_legacy_host_is_one(hosts: Lab) -> None:
    """Docker's own rules are in the legacy tables and not in the others."""
    host = hosts.host(LEGACY)
    for tool in ("iptables", "ip6tables"):
        assert "(legacy)" in host.run(f"{tool} -V").stdout
    assert "DOCKER" in host.run("iptables-legacy-save").stdout
    assert "DOCKER" not in host.run("iptables-nft-save").stdout
    assert host.docker_version.startswith("20.10.24")


def test_the_host_in_nftables_has_no_rule_of_iptables(hosts: Lab, runner: Runner) -> None:
    """With the stack up: neither Docker's nor wanbound's."""
    host = hosts.host(NFTABLES)
    assert "docker-bridges" in host.run("nft list tables").stdout
    assert "chain nat-postrouting" in host.run("nft list table inet wanbound").stdout
    assert "-A " not in host.run("iptables-save; ip6tables-save").stdout


def _done_on(row: Row, hosts: Lab) -> set[str]:
    if isinstance(row, Procedure):
        return {DOCKER_28} if row.engine else set(hosts.hosts)
    return {
        name
        for name in hosts.hosts
        if ("nftables" if name == NFTABLES else "iptables") in row.firewalls
    }


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_everything_comes_back_and_nothing_gets_out(hosts: Lab, runner: Runner, row: Row) -> None:
    """In time, without an operator, and without a packet of a wrong source."""
    outcomes = runner.run(row)
    for outcome in outcomes:
        print(line(outcome, hosts.hosts))
    assert {outcome.host: list(outcome.problems) for outcome in outcomes if outcome.problems} == {}
    assert {outcome.host for outcome in outcomes} == _done_on(row, hosts)
