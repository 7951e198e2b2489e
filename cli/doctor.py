"""Checks the hosts of a stack before the first `up`, and prints what may prevent it."""

import time
from collections.abc import Callable
from typing import TypeVar

from rich.console import Console
from rich.text import Text

from cli import hosts
from cli.diagnosis import Level, Reading, diagnose
from planner.config import Stack
from planner.plan import HostPlan
from providers.engine.state import engine_state
from providers.errors import HostError, readable
from providers.host.doctor import parse
from providers.host.facts import parse as parse_facts
from providers.ssh.remote import SshRemote

_T = TypeVar("_T")

_STYLES: dict[Level, str] = {"ok": "green", "warning": "yellow", "problem": "bold red"}
_STATUS: dict[Level, int] = {"ok": 0, "warning": 1, "problem": 2}


def print_findings(stack: Stack, host: str | None) -> int:
    """Print a line for each finding; return the exit status: that of the worst one."""
    console = Console(highlight=False)
    status = 0
    for read in hosts.read(stack, host, reading):
        console.print(Text(f"host {read.host.name}", "bold"))
        if read.found is None:
            status = 2
            _line(console, "problem", read.error.replace("\n  ", " "))
            continue
        for finding in diagnose(stack, read.host, read.found):
            status = max(status, _STATUS[finding.level])
            fix = f" Fix: {finding.fix}" if finding.fix else ""
            _line(console, finding.level, f"{finding.what}.{fix}")
    return status


def _line(console: Console, level: Level, words: str) -> None:
    shown = readable(" ".join(words.split()))
    line = Text.assemble("  ", (f"{level:8}", _STYLES[level]), shown)
    console.print(line, soft_wrap=True)


def reading(host: HostPlan, remote: SshRemote) -> Reading:
    """Read a host by commands over one connection, the first of which is timed."""
    began = time.monotonic()
    answer = remote.doctor(host.wan)
    seconds = time.monotonic() - began
    return Reading(
        seconds,
        parse(answer),
        _or_error(lambda: parse_facts(remote.facts())),
        None
        if host.engine is None
        else _or_error(lambda: engine_state(remote.engine("state", {}))),
    )


def _or_error(read: Callable[[], _T]) -> _T | HostError:
    """Return what is read, or why it cannot be: that is a finding, too."""
    try:
        return read()
    except HostError as error:
        return error
