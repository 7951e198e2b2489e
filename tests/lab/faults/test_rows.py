"""The table of faults as data, and its output."""

import io
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from lab.api import Host
from lab.faults.model import Change, Fault, Observation, Outcome, Traffic
from lab.faults.report import WIDTH, about, notes, reasons, table, totals
from lab.faults.rows import ROWS
from lab.faults.site import SAVE, config
from lab.faults.watching import RESTORE
from lab.settings import HostSpec, Settings

HOST = Host(Settings(), HostSpec("fault-4", "bookworm", "legacy"))


def test_names_are_unique() -> None:
    """Names are unique, as they select a row."""
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", [row for row in ROWS if isinstance(row, Fault)], ids=str)
def test_scripts_are_shell(row: Fault) -> None:
    """`sh -n` accepts them."""
    for script in (row.prepare, row.inject, row.restore):
        subprocess.run(["/bin/sh", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("row", [row for row in ROWS if isinstance(row, Fault)], ids=str)
def test_a_row_spares_only_hosts_that_it_is_done_to(row: Fault) -> None:
    """Each row is also run on some host."""
    assert row.firewalls
    assert set(row.spares) <= set(row.firewalls)


def _in_a_namespace(script: str) -> str:
    words = ["unshare", "--net", "/bin/sh", "-e", "-s"]
    done = subprocess.run(words, input=script, text=True, capture_output=True, check=True)
    return done.stdout


def test_dockers_own_nft_tables_are_brought_back(tmp_path: Path) -> None:
    """After a row that has flushed or deleted them, no rule and no element is missing."""
    docker = """\
table %s docker-bridges {
    map jumps {
        type ifname : verdict
        elements = { "docker0" : jump to-docker0 }
    }
    chain to-docker0 { counter accept
    }
    chain at-forward {
        type filter hook forward priority 0; policy accept;
        oifname vmap @jumps
    }
}
"""
    made = "".join(f"nft -f - <<'.'\n{docker % family}.\n" for family in ("ip", "ip6"))
    save = f"save() {{\n{SAVE}}}\nfolder={tmp_path}\nsave row\n"
    shown = "nft -s list table ip docker-bridges; nft -s list table ip6 docker-bridges\n"
    broken = "nft flush table ip docker-bridges\nnft delete table ip6 docker-bridges\n"
    before = _in_a_namespace(f"{made}{shown}")
    assert "docker0" in before
    assert _in_a_namespace(f"{made}{save}{broken}{RESTORE}{shown}") == before


def test_a_host_whose_docker_speaks_nftables_is_shown_and_configured_so() -> None:
    """Not by its iptables program, which would be called nft but has no rules there."""
    other = Host(Settings(), HostSpec("fault-6", "forky", "29nft"))
    other.__dict__["docker_version"] = "29.3.0"
    assert about(other) == "fault-6 (29.3, nftables)"
    entries = config([HOST, other], 20)["hosts"]
    assert [entry.get("firewall") for entry in entries] == [None, "nftables"]
    assert [entry.get("engine") for entry in entries] == [None, {"firewall_backend": "nftables"}]


def test_the_table_has_all_that_matters() -> None:
    """Fault, host with engine and backend, expectation, result, time, wrong packets, verdict."""
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
