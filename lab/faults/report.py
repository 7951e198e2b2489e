"""The outcomes as one table, and below it the reasons of failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from lab.api import Host
from lab.faults.model import Fault, Outcome, Row

WIDTH = 150
"""Columns that the table needs: on a narrow terminal its lines are wrapped, not truncated."""


def about(host: Host) -> str:
    """Return a host as the table names it: name, Docker Engine, what loads its rules."""
    version = ".".join(host.docker_version.split(".")[:2])
    return f"{host.name} ({version}, {host.loads})"


def expected(row: Row) -> str:
    """Return the expected result of a row, in words."""
    if not isinstance(row, Fault):
        return row.expected
    if row.expected == "closed":
        return "nothing gets out"
    return f"all back within {row.within:g} s"


def table(outcomes: Sequence[Outcome], hosts: Mapping[str, Host]) -> Table:
    """Return a table with a row per fault and host."""
    drawn = Table(title="faults, done to real hosts under constant traffic of every network")
    for name in ("fault", "host (Docker, firewall)", "expected", "seen"):
        drawn.add_column(name)
    for name in ("time to repair", "wrong packets"):
        drawn.add_column(name, justify="right")
    drawn.add_column("")
    last: Row | None = None
    for outcome in outcomes:
        if outcome.row is not last:
            drawn.add_section()
        first = outcome.row is not last
        drawn.add_row(
            outcome.row.name if first else "",
            about(hosts[outcome.host]),
            expected(outcome.row) if first else "",
            escape(outcome.seen),
            _seconds(outcome),
            f"{outcome.traffic.wrong_count} of {outcome.traffic.right}",
            "[green]✓[/]" if outcome.ok else "[red]✗[/]",
        )
        last = outcome.row
    return drawn


def line(outcome: Outcome, hosts: Mapping[str, Host]) -> str:
    """Return one outcome as a line, printed while rows run."""
    mark = "[green]✓[/]" if outcome.ok else "[red]✗[/]"
    wrong = f"{outcome.traffic.wrong_count} wrong of {outcome.traffic.right}"
    seconds = f"{_seconds(outcome)}, " if outcome.seconds is not None else ""
    return (
        f"  {mark} {about(hosts[outcome.host])}: {escape(outcome.seen)}, {seconds}{wrong} packets"
    )


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the reasons of failures."""
    return [
        f"[red]✗[/] {escape(outcome.row.name)}, {outcome.host}: {escape(problem)}"
        for outcome in outcomes
        for problem in outcome.problems
    ]


def notes(outcomes: Sequence[Outcome]) -> list[str]:
    """Return notes on rows that passed."""
    rows = dict.fromkeys(outcome.row for outcome in outcomes if outcome.traffic.wrong)
    return [f"{row.name}: {row.open}." for row in rows if isinstance(row, Fault) and row.open]


def totals(outcomes: Sequence[Outcome]) -> str:
    """Return the last line: how many rows there were, and how many failed."""
    failed = sum(not outcome.ok for outcome in outcomes)
    hosts = len({outcome.host for outcome in outcomes})
    rows = len({outcome.row.name for outcome in outcomes})
    done = f"{rows} faults on {hosts} hosts, {len(outcomes)} rows"
    return f"{done}: {failed} FAILED" if failed else f"{done}, all passed"


def _seconds(outcome: Outcome) -> str:
    return "-" if outcome.seconds is None else f"{outcome.seconds:.2f} s"
