"""The demo: the lab, the stack `demo` on it by the real `pulumi up`, and checks from all sides.

python -m lab.demo
"""

from __future__ import annotations

import json
import re
import sys

from rich.console import Console
from rich.markup import escape

from lab.api import Lab
from lab.checks import matrix, pages, resolvers, run, table, totals
from lab.settings import DEFAULT_HOSTS
from lab.stacks import LabStack, Run, parsed, read
from lab.steps import command_line
from lab.steps import console as progress

STACK = "demo"
TABLE_WIDTH = 132
"""Columns that the table needs."""

# " +  docker:index:Network edge-1/network/web created (0.51s)", for every step that has ended.
_STEP = re.compile(
    r"^ *(\S+) +(\S+) (\S+) (created|updated|deleted|replaced|created replacement|deleted original)"
    r" \((\S+)\)"
)
_FAILED = re.compile(r"^ *(?:\S+ +)?(\S+:\S+) (\S+) +\*\*.*failed\*\*")


def short(line: str) -> str | None:
    """Return one line of the CLI in short form; None for lines without news."""
    if found := _STEP.match(line):
        sign, kind, name, done, seconds = found.groups()
        return f"  {sign:<2} {_last(kind):<16} {name:<30} {done} [dim]({seconds})[/]"
    if found := _FAILED.match(line):
        return f"  [red]!! {_last(found[1]):<16} {found[2]:<30} failed[/]"
    return None


def _last(kind: str) -> str:
    return re.split(r"[:/]", kind)[-1]


def _say(line: str) -> None:
    if text := short(line):
        progress.print(text)


def summary(done: Run) -> str:
    """Return what an `up` did, in one line."""
    changed = {what: number for what, number in done.counts.items() if what != "unchanged"}
    unchanged = done.counts.get("unchanged", 0)
    if not changed:
        return f"nothing to change: {unchanged} resources unchanged"
    parts = ", ".join(f"{number} {what}" for what, number in changed.items())
    return f"{parts}, {unchanged} unchanged, in {done.seconds:.0f} s"


def main() -> int:
    """Run the demo; 1 if any check fails."""
    # On a narrow terminal the table's lines are wrapped: truncated addresses would be useless.
    out = Console(highlight=False, width=max(progress.width, TABLE_WIDTH))
    lab = Lab.up(DEFAULT_HOSTS)
    stack = LabStack(lab, STACK)
    stack.init()
    progress.print(f"· pulumi up --stack {STACK} (its log: {stack.log})")
    done = stack.up(check=False, on_line=_say)
    if done.status != 0:
        _, _, diagnostics = done.output.partition("Diagnostics:\n")
        out.print(escape(diagnostics or done.output), style="red", soft_wrap=True)
        out.print(f"pulumi up failed; its log is {stack.log}")
        return 1
    out.print(f"pulumi up: {summary(done)}")
    with progress.status("asking from containers, hosts and the internet …"):
        wanted = parsed(read(stack.file), STACK)
        results = [*run(lab, matrix(wanted)), *resolvers(lab, wanted)]
    out.print(table(results))
    for result in results:
        if not result.ok:
            out.print(f"[red]✗[/] {escape(str(result))}")
    good = all(result.ok for result in results)
    out.print(f"[{'green' if good else 'red'}]{totals(results)}[/]")
    answers = pages(lab, parsed(read(stack.file), STACK))
    for page in answers:
        sign, words = (
            ("[green]✓[/]", json.dumps(page.answer)) if page.ok else ("[red]✗[/]", page.why)
        )
        asked = f"curl -{page.family} {page.url}"
        out.print(f"{sign} {asked:<43} {escape(words)}", soft_wrap=True)
    return 0 if good and answers and all(page.ok for page in answers) else 1


if __name__ == "__main__":
    command_line(lambda: sys.exit(main()), "interrupted; `make demo` again goes on from here")
