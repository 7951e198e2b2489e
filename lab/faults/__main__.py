"""Every fault on Docker 20.10, 26, 28 and 29, the legacy iptables and nftables: `make faults`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lab import lifecycle
from lab.api import Host, Lab
from lab.errors import LabError
from lab.faults import report
from lab.faults.model import Outcome
from lab.faults.rows import ROWS
from lab.faults.run import Runner
from lab.faults.site import site
from lab.settings import Settings
from lab.steps import command_line, step
from lab.steps import console as progress

HOSTS = (
    "fault-1=bookworm,fault-2=trixie,fault-3=forky,fault-4=bookworm+legacy,fault-5=forky+29,"
    "fault-6=forky+29nft"
)
"""Docker 20.10, 26.1, 28.5 (29 after a row), 20.10 with the legacy iptables, 29 with each of its
firewall backends."""

FIRST = 20
"""The first network's last address part: the addresses are 203.0.113.20 and up."""

app = typer.Typer(add_completion=False)


def settings() -> Settings:
    """A lab separate from the demo's and the tests'."""
    return Settings(
        state=Path("/run/wanbound-faults"), prefix="wbfl", management=IPv4Network("10.96.0.0/24")
    )


def remove() -> None:
    """Remove all parts of that lab."""
    lifecycle.down(settings())


def faults(lab: Lab, names: list[str], only: str, outcomes: list[Outcome]) -> None:
    """Run the rows whose name contains `only`, and print each result; fills `outcomes`."""
    rows = [row for row in ROWS if only in row.name]
    if not rows:
        there = ", ".join(row.name for row in ROWS)
        raise LabError(f"no fault has {only!r} in its name; there are: {there}")
    with tempfile.TemporaryDirectory(prefix="wanbound-faults-") as folder:
        progress.print(f"· pulumi up on {', '.join(names)} …")
        with site(lab, names, FIRST, Path(folder)) as place:
            runner = Runner(place)
            for number, row in enumerate(rows, 1):
                with step(f"{number}/{len(rows)} {row.name}", lab.settings.logs / "faults.log"):
                    done = runner.run(row)
                outcomes += done
                for outcome in done:
                    progress.print(report.line(outcome, lab.hosts))
                for reason in report.reasons(done):
                    progress.print(f"    {reason}")
            progress.print("· pulumi destroy …")


@app.command()
def main(
    only: Annotated[str, typer.Option(help="only faults with this in their name")] = "",
    on: Annotated[
        str, typer.Option(help="NAME,…: hosts of the lab that is up, instead of six of its own")
    ] = "",
    down: Annotated[bool, typer.Option("--down", help="only remove what a run has left")] = False,
) -> None:
    """Run every fault on every host, and print one table of the results."""
    if down:
        remove()
        return
    outcomes: list[Outcome] = []
    broken = ""
    if not on:
        # An interrupted run may have left its lab.
        remove()
    try:
        lab = Lab.attach() if on else Lab.up(HOSTS, settings())
        names = on.split(",") if on else list(lab.hosts)
        try:
            faults(lab, names, only, outcomes)
        except LabError as error:
            broken = str(error)
        good = _show(outcomes, lab.hosts) and not broken
    finally:
        if not on:
            remove()
    if broken:
        raise LabError(f"the other rows were not run: {broken}")
    raise typer.Exit(0 if good else 1)


def _show(outcomes: list[Outcome], hosts: Mapping[str, Host]) -> bool:
    out = Console(highlight=False, width=max(progress.width, report.WIDTH))
    out.print(report.table(outcomes, hosts))
    for text in report.notes(outcomes):
        out.print(escape(text), soft_wrap=True)
    for reason in report.reasons(outcomes):
        out.print(reason, soft_wrap=True)
    good = all(outcome.ok for outcome in outcomes)
    out.print(f"[{'green' if good else 'red'}]{report.totals(outcomes)}[/]")
    return good


if __name__ == "__main__":
    command_line(app, "interrupted; the next `make faults` starts from the beginning")
