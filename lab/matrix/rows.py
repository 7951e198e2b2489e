"""The results of all checks, counted: a row for each kind of check, a column per host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from lab.checks.matrix import Kind, Result
from lab.matrix.sites import WAYS, Families, Way

KINDS: Mapping[Kind, str] = {
    "egress": "a network goes out with its address",
    "resolver": "it asks for names with it",
    "ingress": "the world comes in, and is seen as itself",
    "whoami egress": "its container goes out with it, by its own word",
    "own address": "a network reaches its own public address",
    "other networks": "it reaches those of the others",
    "host access": "the host reaches it",
    "host source": "the host goes out with its own address",
    "own private": "private addresses answer inside",
    "private": "and not to other networks",
    "stranger": "nor to a neighbour on the link",
    "socket": "only the load balancer gets to Docker's socket",
}
"""Every kind of check, in the words of the table."""


@dataclass(frozen=True)
class Column:
    """All results of one way to set the hosts up, for one choice of families."""

    families: Families
    way: Way
    results: tuple[Result, ...]

    @property
    def good(self) -> bool:
        """Whether there were checks, and all of them passed."""
        return bool(self.results) and all(result.ok for result in self.results)


def count(column: Column, host: str, kind: Kind, family: int) -> tuple[int, int]:
    """Return how many checks of one kind failed on a host, and how many there were."""
    found = [
        result
        for result in column.results
        if (result.check.host, result.check.kind, result.check.family) == (host, kind, family)
    ]
    return sum(not result.ok for result in found), len(found)


def cell(column: Column | None, host: str, kind: Kind, family: int) -> str:
    """Return the cell of the table: empty if there was no check."""
    if column is None:
        return ""
    failed, total = count(column, host, kind, family)
    if total == 0:
        return ""
    return f"[red]{failed}/{total}[/]" if failed else f"[green]✓ {total}[/]"


def table(columns: Sequence[Column], hosts: Mapping[str, str]) -> Table:
    """Return the table; `hosts` has engine and backend of each host, by its name."""
    ways = ", ".join(f"by {words}" for words in WAYS.values())
    drawn = Table(title=f"checks that passed (✓ n) or failed (k/n): {ways}")
    drawn.add_column("networks")
    drawn.add_column("")
    drawn.add_column("check")
    # Not every host is set up in each way.
    asked = {(r.check.host, column.way) for column in columns for r in column.results}
    places = [(host, way) for host in hosts for way in WAYS if (host, way) in asked]
    for host, way in places:
        drawn.add_column(hosts[host] if way == "wanbound" else WAYS[way], justify="right")
    for families in dict.fromkeys(column.families for column in columns):
        found = {column.way: column for column in columns if column.families == families}
        before = ""
        for kind, words in KINDS.items():
            for family in (4, 6):
                cells = [cell(found.get(way), host, kind, family) for host, way in places]
                if any(cells):
                    shown = "" if families == before else families
                    drawn.add_row(shown, f"v{family}", words, *cells)
                    before = families
        drawn.add_section()
    return drawn


def totals(columns: Sequence[Column]) -> str:
    """Return how many checks failed in each way."""
    said = []
    for way, name in WAYS.items():
        results = [r for column in columns if column.way == way for r in column.results]
        if not results:
            continue
        failed = sum(not result.ok for result in results)
        said.append(f"{name}: {failed} of {len(results)} checks failed")
    return "; ".join(said)


def failures(columns: Sequence[Column], way: Way) -> list[str]:
    """Return every check that failed in one way, a line each."""
    return [
        # An unexpected answer comes with its whole output: only the first line is shown.
        f"{column.families}: {result}".partition("\n")[0]
        for column in columns
        if column.way == way
        for result in column.results
        if not result.ok
    ]
