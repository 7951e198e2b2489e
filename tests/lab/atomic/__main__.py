"""Every fault at every step of every operation, on each host: `python -m tests.lab.atomic`.

It takes the better part of an hour on two hosts; `make test` runs the short plan of test_steps.py.
"""

import os
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

import typer

from lab import lifecycle
from lab.api import Host, Lab
from lab.errors import LabError
from lab.settings import Settings
from tests.lab.atomic.clients import clients
from tests.lab.atomic.drill import Drill, Expected, Outcome
from tests.lab.atomic.faults import EVERY_LOOP, MODES, Loop, run
from tests.lab.atomic.full import full_disks
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.programs import stand_ins
from tests.lab.atomic.report import report

HOSTS = "atom-1=bookworm,atom-2=forky"
"""Docker 20.10 and 28.5."""

app = typer.Typer(add_completion=False)


def settings() -> Settings:
    """A lab separate from the demo's and the tests'."""
    return Settings(
        state=Path("/run/wanbound-atomic"), prefix="wbat", management=IPv4Network("10.94.0.0/24")
    )


def _outcomes(host: Host, loops: list[Loop], *, more: bool) -> Iterator[Outcome]:
    drill = Drill(host)
    with stand_ins(host):
        expected = Expected(drill)
        for loop in loops:
            yield from run(expected, loop)
        if more:
            yield from full_disks(expected)
            yield from clients(expected)
    drill.close()


@app.command()
def main(
    only: Annotated[
        str,
        typer.Option(help=f"a part of the mode: {', '.join(MODES)}, undo; or `more`, for the rest"),
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="leave the hosts up")] = False,
) -> None:
    """Kill changes at each of their steps, and print the outcomes."""
    loops = [each for each in EVERY_LOOP if only in ("undo" if each.undo else each.mode)]
    more = only in ("", "more")
    if not loops and not more:
        raise LabError(f"no mode has {only!r} in it: {', '.join(MODES)}, undo, more")
    lab = Lab.up(HOSTS, settings())
    os.environ["SSH_AUTH_SOCK"] = lab.environment()["SSH_AUTH_SOCK"]

    def act(host: Host) -> list[Outcome]:
        found = []
        for outcome in _outcomes(host, loops, more=more):
            print(f"{host.name}: {outcome}", flush=True)
            found.append(outcome)
        return found

    try:
        report([each for found in on_both(lab, act) for each in found])
    finally:
        if not keep:
            lifecycle.down(settings())


if __name__ == "__main__":
    try:
        app()
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
