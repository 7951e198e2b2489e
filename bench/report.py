"""The results of a part of the benchmark, for a terminal, as Markdown and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Finding:
    """One part's result: one table, notes for reading it, and all raw numbers."""

    part: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"part {self.part}: {row} does not fit {self.columns}")


@dataclass(frozen=True)
class Failure:
    """A part that ended with an error; the others continue."""

    part: str
    reason: str


def rich_table(finding: Finding) -> Table:
    """Return the finding's table for a terminal."""
    table = Table(
        title=f"({finding.part}) {escape(finding.title)}",
        caption="\n".join(escape(note) for note in finding.notes),
        title_justify="left",
        caption_justify="left",
    )
    for number, column in enumerate(finding.columns):
        table.add_column(escape(column), justify="right" if number else "left")
    for row in finding.rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def markdown(about: Mapping[str, str], results: Sequence[Finding | Failure]) -> str:
    """Return the whole report; `about` has the conditions of the measurement."""
    lines = ["# Benchmark", "", *(f"- {name}: {value}" for name, value in about.items())]
    for result in results:
        if isinstance(result, Failure):
            lines += ["", f"## ({result.part}) failed", "", "```", result.reason, "```"]
            continue
        lines += ["", f"## ({result.part}) {result.title}", ""]
        lines.append(_markdown_row(result.columns))
        lines.append(_markdown_row(["---", *("---:" for _ in result.columns[1:])]))
        lines += [_markdown_row(row) for row in result.rows]
        lines += ["", *(f"- {note}" for note in result.notes)] if result.notes else []
    return "\n".join(lines) + "\n"


def as_json(about: Mapping[str, str], results: Sequence[Finding | Failure]) -> dict[str, Any]:
    """Return the whole report as plain data, with every single measurement."""
    return {
        "about": dict(about),
        "findings": [
            {
                "part": result.part,
                "title": result.title,
                "columns": list(result.columns),
                "rows": [list(row) for row in result.rows],
                "notes": list(result.notes),
                "raw": dict(result.raw),
            }
            for result in results
            if isinstance(result, Finding)
        ],
        "failures": [
            {"part": result.part, "reason": result.reason}
            for result in results
            if isinstance(result, Failure)
        ],
    }


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
