"""The table of faults as data, and how it is shown."""

import io
import subprocess

import pytest
from rich.console import Console

from lab.api import Host
from lab.faults.model import Change, Fault, Observation, Outcome, Traffic
from lab.faults.report import WIDTH, notes, reasons, table, totals
from lab.faults.rows import ROWS
from lab.settings import HostSpec, Settings

HOST = Host(Settings(), HostSpec("fault-4", "bookworm", "legacy"))


def test_names_are_names() -> None:
    """A row is found by its name."""
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", [row for row in ROWS if isinstance(row, Fault)], ids=str)
def test_scripts_are_shell(row: Fault) -> None:
    """As far as a shell can tell without running them."""
    for script in (row.prepare, row.inject, row.restore):
        subprocess.run(["/bin/sh", "-n"], input=script, text=True, check=True)


def test_the_table_has_all_that_matters() -> None:
    """Fault, host with engine and backend, expected, seen, time, wrong packets, verdict."""
    HOST.__dict__["docker_version"] = "20.10.24+dfsg1"
    good = Outcome(
        row=Fault("iptables -F", "iptables -F"),
        host=HOST.name,
        observation=Observation(1, 2, [Change(2, 2.1, ["x"], []), Change(2.2, 2.25, [], [])]),
        traffic=Traffic(1200, {}, None, [], None, 0.0),
        problems=[],
        seen="rules and addresses after 0.25 s",
        seconds=0.25,
    )
    bad = Outcome(
        row=Fault("nft flush ruleset", "nft flush ruleset", open="it takes all"),
        host=HOST.name,
        observation=Observation(1, 2),
        traffic=Traffic(10, {"x": 7}, 2.0, [], None, None),
        problems=["no traffic at the end: [web]"],
        seen="not repaired",
        seconds=None,
    )
    console = Console(width=WIDTH, record=True, file=io.StringIO())
    console.print(table([good, bad], {HOST.name: HOST}))
    shown = console.export_text()
    for word in ("iptables -F", "fault-4 (20.10, legacy)", "all back within 5 s", "0.25 s"):
        assert word in shown
    assert "0 of 1200" in shown
    assert "7 of 10" in shown
    assert reasons([good, bad]) == [
        "[red]✗[/] nft flush ruleset, fault-4: no traffic at the end: \\[web]"
    ]
    assert notes([good, bad]) == ["nft flush ruleset: it takes all."]
    assert totals([good, bad]) == "2 faults on 1 hosts, 2 rows: 1 FAILED"
    assert totals([good]) == "1 faults on 1 hosts, 1 rows, all passed"
