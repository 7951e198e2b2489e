"""Every acceptance check over every engine, backend and choice of families: `make matrix`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lab import lifecycle
from lab.api import Host, Lab
from lab.checks import Result, matrix, resolvers, run
from lab.errors import LabError
from lab.matrix import rows, sites
from lab.matrix.rows import Column
from lab.matrix.sites import FAMILIES, WAYS, ByHand, Families, Way
from lab.settings import Settings
from lab.stacks import Config, LabStack, parsed
from lab.steps import command_line, step
from lab.steps import console as progress

HOSTS = (
    "matrix-1=bookworm,matrix-2=bookworm+legacy,matrix-3=trixie,matrix-4=trixie+legacy,"
    "matrix-5=forky,matrix-6=forky+legacy,matrix-7=forky+29,matrix-8=forky+29nft"
)
"""Docker 20.10, 26.1 and 28.5, each with both backends of iptables, and Docker 29 with both of its
firewall backends."""

FIRST = 40
"""The first network's last address part: the addresses are 203.0.113.40 and up."""

WIDTH = 240

app = typer.Typer(add_completion=False)


def settings() -> Settings:
    """A lab separate from the demo's and the tests'."""
    return Settings(
        state=Path("/run/wanbound-matrix"), prefix="wbmx", management=IPv4Network("10.94.0.0/24")
    )


def remove() -> None:
    """Remove all parts of that lab."""
    lifecycle.down(settings())


def asked(lab: Lab, wanted: Config, way: Way) -> tuple[Result, ...]:
    """Run all checks; failed ones twice, as a load balancer may need time to find containers.

    Only wanbound has a proxy to Docker's socket that could refuse a request: in the other setups
    the load balancers have the socket itself.
    """
    stack = parsed(wanted, "matrix")
    checks = [c for c in matrix(stack) if way == "wanbound" or c.kind != "socket"]
    results = {result.check: result for result in run(lab, checks)}
    again = [check for check, result in results.items() if not result.ok]
    if again:
        results |= {result.check: result for result in run(lab, again)}
    return (*(results[check] for check in checks), *resolvers(lab, stack))


@contextmanager
def ours(lab: Lab, wanted: Config) -> Iterator[None]:
    """Keep the stack up."""
    with tempfile.TemporaryDirectory(prefix="wanbound-matrix-") as folder:
        stack = LabStack.copy(lab, "matrix", wanted, Path(folder))
        try:
            stack.up()
            yield
        finally:
            stack.destroy()


@contextmanager
def by_hand(hosts: Sequence[Host], wanted: Config, way: Way) -> Iterator[None]:
    """Set up every host by a script, without wanbound."""
    hands = sites.by_hand(hosts, wanted, way)
    try:
        _everywhere(hands, ByHand.set_up)
        yield
    finally:
        _everywhere(hands, ByHand.undo)


def _everywhere(hands: Sequence[ByHand], act: Callable[[ByHand], None]) -> None:
    with ThreadPoolExecutor(len(hands)) as pool:
        list(pool.map(act, hands))


def _log(columns: Sequence[Column]) -> None:
    """Log the failures so far: a run takes long, and may be interrupted."""
    for way in WAYS:
        text = "".join(f"{line}\n" for line in rows.failures(columns, way))
        (settings().logs / f"matrix-{way}.log").write_text(text)


@app.command()
def main(
    only: Annotated[str, typer.Option(help="only one of: " + ", ".join(FAMILIES))] = "",
    on: Annotated[str, typer.Option(help="NAME=SUITE,…: these hosts instead of all eight")] = "",
    down: Annotated[bool, typer.Option("--down", help="only remove what a run has left")] = False,
) -> None:
    """Set up, check and undo, in each way and for each choice of families."""
    if down:
        remove()
        return
    chosen: list[Families] = [families for families in FAMILIES if only in ("", families)]
    if not chosen:
        raise LabError(f"there is no choice {only!r}; there are: {', '.join(FAMILIES)}")
    columns: list[Column] = []
    # An interrupted run may have left its lab.
    remove()
    try:
        lab = Lab.up(on or HOSTS, settings())
        about = {
            name: f"{host.docker_version.partition('+')[0].partition('-')[0]} {host.loads}"
            for name, host in lab.hosts.items()
        }
        for families in chosen:
            wanted = sites.config(list(lab.hosts.values()), families, FIRST)
            for way, words in WAYS.items():
                hosts, stack = sites.part(list(lab.hosts.values()), wanted, way)
                if not hosts:
                    continue
                there = ours(lab, stack) if way == "wanbound" else by_hand(hosts, stack, way)
                with step(f"{families}, by {words}", lab.settings.logs / "matrix.log"), there:
                    columns.append(Column(families, way, asked(lab, stack, way)))
                progress.print(f"  {rows.totals(columns[-1:])}")
                _log(columns)
    finally:
        remove()
        if columns:
            out = Console(highlight=False, width=max(progress.width, WIDTH))
            out.print(rows.table(columns, about))
            for text in rows.failures(columns, "wanbound"):
                out.print(escape(text), soft_wrap=True)
            out.print(rows.totals(columns))
            log = settings().logs / "matrix-*.log"
            out.print(f"what failed, check by check, in each way: {log}", soft_wrap=True)
    raise typer.Exit(0 if all(column.good for column in columns if column.way == "wanbound") else 1)


if __name__ == "__main__":
    command_line(app, "interrupted; the next `make matrix` starts from the beginning")
