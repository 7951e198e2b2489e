"""Every fault at every step of every operation, on each host: `python -m tests.lab.atomic`.

It takes the better part of an hour on two hosts; `make test` runs the short plan of plan.py.
"""

import os
import sys
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

import typer

from lab import lifecycle
from lab.api import Host, Lab
from lab.errors import LabError
from lab.settings import Settings
from tests.lab.atomic.drill import Outcome
from tests.lab.atomic.faults import EVERY_LOOP, MODES
from tests.lab.atomic.plan import EVERYTHING, on_all
from tests.lab.atomic.test_steps import report

HOSTS = "atom-1=bookworm,atom-2=forky"
"""Docker 20.10 and 28.5."""

app = typer.Typer(add_completion=False)


def settings() -> Settings:
    """A lab of its own, beside the demo's and the tests'."""
    return Settings(
        state=Path("/run/wanbound-atomic"), prefix="wbat", management=IPv4Network("10.94.0.0/24")
    )


def _told(host: Host, outcome: Outcome) -> None:
    print(f"{host.name}: {outcome}", flush=True)


@app.command()
def main(
    only: Annotated[
        str, typer.Option(help=f"a part of the mode: {', '.join(MODES)}; or `more`, for the rest")
    ] = "",
    on: Annotated[str, typer.Option(help="NAME,…: only these hosts")] = "",
    keep: Annotated[bool, typer.Option("--keep", help="leave the hosts up")] = False,
) -> None:
    """End changes at each of their steps, and say what came of it."""
    loops = [each for each in EVERY_LOOP if only in each[0]]
    more = only in ("", "more")
    if not loops and not more:
        raise LabError(f"no mode has {only!r} in it: {', '.join(MODES)}, more")
    lab = Lab.up(HOSTS, settings())
    os.environ["SSH_AUTH_SOCK"] = lab.environment()["SSH_AUTH_SOCK"]
    names = on.split(",") if on else list(lab.hosts)
    try:
        plans = dict.fromkeys(names, (loops, EVERYTHING if more else ()))
        report(on_all(plans, {name: lab.host(name) for name in names}, _told))
    finally:
        if not keep:
            lifecycle.down(settings())


if __name__ == "__main__":
    try:
        app()
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
