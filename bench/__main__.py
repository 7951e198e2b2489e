"""The benchmark's command line: `make bench`, or `python -m bench --help`."""

import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bench import part_counts, part_datapath, part_peers, part_provider, part_pulumi
from bench.report import Failure, Finding, as_json, markdown, rich_table
from bench.scenario import Firewall
from bench.site import CHECKOUT, Site
from lab import lifecycle
from lab.api import Lab
from lab.errors import LabError
from lab.settings import Settings, cache_root
from lab.steps import console

HOSTS = "bench-1=bookworm,bench-2=forky+29"
"""Docker 20.10 and 29."""

DIALECTS: tuple[Firewall, ...] = ("iptables", "nftables")

WIDTH = 120
"""Columns of a table without a terminal that tells its width."""

RESULTS = CHECKOUT / "bench" / "results"

app = typer.Typer(add_completion=False)
Results = list[Finding | Failure]


class Part(StrEnum):
    """The parts, by their letters in the README."""

    A = "a"
    B = "b"
    C = "c"
    D = "d"
    E = "e"


def settings() -> Settings:
    """A lab separate from the demo's and the tests'."""
    return Settings(
        state=Path("/run/wanbound-bench"), prefix="wbbn", management=IPv4Network("10.93.0.0/24")
    )


def _numbers(text: str) -> list[int]:
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError:
        found = [0]
    if min(found) < 1 or max(found) > 100:
        raise typer.BadParameter(f"{text!r} is no list of numbers from 1 to 100, as in 1,10,100")
    return found


@app.command()
def main(
    part: Annotated[list[Part] | None, typer.Option(help="one part; may be repeated")] = None,
    host: Annotated[str, typer.Option(help="for parts a, b, c, e; default: the last")] = "",
    sizes: Annotated[str, typer.Option(help="networks in parts a and c")] = "1,10,100",
    repeats: Annotated[int, typer.Option(min=1, help="of part a")] = 5,
    peer_sizes: Annotated[str, typer.Option(help="networks in part b")] = "1,10,30",
    peer_repeats: Annotated[int, typer.Option(min=1, help="of part b")] = 3,
    path_repeats: Annotated[int, typer.Option(min=1, help="of part d")] = 15,
    path_seconds: Annotated[float, typer.Option(min=0.1, help="of each measure in d")] = 0.5,
    pulumi_networks: Annotated[int, typer.Option(min=1, max=100, help="of part e")] = 100,
    pulumi_few: Annotated[
        int, typer.Option(min=1, max=100, help="networks that part e makes and destroys")
    ] = 30,
    pulumi_repeats: Annotated[int, typer.Option(min=1, help="of part e")] = 5,
    down: Annotated[bool, typer.Option("--down", help="only remove what a run has left")] = False,
) -> None:
    """Measure wanbound on a lab of its own against floors and peers, as ratios; needs root.

    Writes bench/results/.
    """
    if down:
        lifecycle.down(settings())
        return
    if os.geteuid() != 0:
        console.print("[red]error:[/] the benchmark boots hosts and captures packets: run as root")
        raise typer.Exit(1)
    networks, peer_networks = _numbers(sizes), _numbers(peer_sizes)
    with _alone():
        # An interrupted run may have left its lab.
        lifecycle.down(settings())
        lab = Lab.up(HOSTS, settings())
        os.environ.update(lab.environment())
        sites = {name: Site(lab, found) for name, found in lab.hosts.items()}
        lab.host(host or list(sites)[-1])
        site = sites[host or list(sites)[-1]]
        a, b, c, d, e = (
            partial(part_provider.measure, site, networks, repeats, _say),
            partial(part_peers.measure, site, peer_networks, peer_repeats, _say),
            partial(part_counts.measure, site, networks, _say),
            [
                partial(part_datapath.measure, each, dialect, path_repeats, path_seconds, _say)
                for each in sites.values()
                for dialect in DIALECTS
            ],
            partial(part_pulumi.measure, site, pulumi_networks, pulumi_few, pulumi_repeats, _say),
        )
        calls = {Part.A: [a], Part.B: [b], Part.C: [c], Part.D: d, Part.E: [e]}
        chosen = [(key, call) for key in part or list(Part) for call in calls[key]]
        used = list(sites.values()) if Part.D in dict(chosen) else [site]
        try:
            results = _measured(_about(used), chosen, used)
        finally:
            lifecycle.down(settings())
    if any(isinstance(result, Failure) for result in results):
        raise typer.Exit(1)


def _measured(
    about: Mapping[str, str],
    calls: Sequence[tuple[Part, Callable[[], Finding]]],
    sites: Sequence[Site],
) -> Results:
    """Measure part after part; show each, and write all results so far."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    RESULTS.mkdir(exist_ok=True)
    results: Results = []
    for part, call in calls:
        try:
            found = call()
            Console(width=max(console.width, WIDTH)).print(rich_table(found))
            results.append(found)
        # An error of one part must not discard the others' results; it is reported in full.
        except Exception as error:
            console.print(f"[red]part {part} failed:[/] {escape(str(error))}")
            results.append(Failure(part, traceback.format_exc()))
        finally:
            for site in sites:
                site.clean()
        _write(RESULTS / f"{stamp}.json", json.dumps(as_json(about, results), indent=1) + "\n")
        _write(RESULTS / f"{stamp}.md", markdown(about, results))
    console.print(f"written: {RESULTS / stamp}.md and .json")
    return results


def _say(what: str) -> None:
    console.print(f"· {what}", markup=False)


def _write(path: Path, text: str) -> None:
    following = path.with_suffix(f"{path.suffix}.next")
    following.write_text(text)
    following.rename(path)


def _about(sites: Iterable[Site]) -> dict[str, str]:
    """Return the conditions of the measurement: machine, load, engines, revision."""
    cpus = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "at": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": f"{os.cpu_count()} x {cpus[0] if cpus else platform.machine()},"
        f" {pages / 2**30:.0f} GiB, Linux {platform.release()}",
        "load average when it began": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "wanbound": revision.stdout.strip() or "no revision",
        **{site.name: site.engine for site in sites},
    }


@contextmanager
def _alone() -> Iterator[None]:
    """Allow one benchmark per machine at a time; it removes its lab when it is terminated."""
    folder = cache_root() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("[red]error:[/] another benchmark runs on this machine")
            raise typer.Exit(1) from None
        yield


if __name__ == "__main__":
    try:
        app()
    except LabError as error:
        console.print(f"[red]error:[/] {escape(str(error))}")
        sys.exit(1)
