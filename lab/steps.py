"""Progress on the terminal, and logs for everything else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from lab.errors import LabError

# On stderr: stdout is for commands whose output other programs read (`lab env`). Without a
# terminal's width lines are not wrapped, so that they can be searched in a log.
console = Console(stderr=True, highlight=False, soft_wrap=True)
# A killed run must not leave a running build behind; setpriv(1).
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


def tail(path: Path, lines: int = 12) -> str:
    """Return the last lines of a log."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


class Step:
    """One step whose commands write to one log, which its error names."""

    def __init__(self, what: str, log: Path) -> None:
        self.what = what
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)

    def note(self, text: str) -> None:
        """Write a line to the log."""
        with self.log.open("a") as out:
            out.write(f"[{time.strftime('%H:%M:%S')}] {text}\n")

    def fail(self, reason: str) -> LabError:
        """Return the error to raise: what failed, its log and the log's last lines."""
        end = tail(self.log)
        return LabError(
            f"{self.what}: {reason}; the log is {self.log}" + (f"\n{end}" if end else "")
        )

    def run(
        self,
        args: Sequence[str | Path],
        *,
        timeout: float = 600,
        env: Mapping[str, str] | None = None,
        text: str = "",
    ) -> None:
        """Run a command to its end, output to the log. `env` is added to the environment."""
        words = [str(arg) for arg in args]
        self.note("$ " + " ".join(words))
        with self.log.open("a") as out:
            try:
                done = subprocess.run(
                    [*ENDS_WITH_US, *words],
                    input=text,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=timeout,
                    env={**os.environ, **(env or {})},
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise self.fail(f"`{words[0]}` took longer than {timeout:.0f} s") from error
        if done.returncode != 0:
            raise self.fail(f"`{words[0]}` ended with status {done.returncode}")


@contextmanager
def step(what: str, log: Path) -> Iterator[Step]:
    """Print that a step begins, and how long it took."""
    started = time.monotonic()
    # A spinner on a terminal; plain lines in a pipe or a CI log, where a spinner is useless.
    if sys.stderr.isatty():
        with console.status(f"{what} …"):
            yield Step(what, log)
    else:
        console.print(f"· {what} …")
        yield Step(what, log)
    console.print(f"[green]✓[/] {what} [dim]({time.monotonic() - started:.1f} s)[/]")


@contextmanager
def whole(place: Path, stale: str) -> Iterator[Path]:
    """Yield a new folder that is renamed to `place` at the end: complete or absent.

    The caller holds the lab's lock: what matches `stale` was left by a killed build.
    """
    for left in place.parent.glob(stale):
        shutil.rmtree(left)
    following = place.with_name(f"{place.name}.next")
    following.mkdir(parents=True)
    yield following
    os.sync()
    following.rename(place)


def output(
    args: Sequence[str | Path], *, timeout: float = 30, env: Mapping[str, str] | None = None
) -> str:
    """Return the output of a short command; LabError if it fails. `env` extends the environment."""
    words = [str(arg) for arg in args]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        raise LabError(f"`{' '.join(words)}`: {error}") from error
    if done.returncode != 0:
        raise LabError(f"`{' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def command_line(run: Callable[[], object], interrupted: str) -> None:
    """Run a program of the lab: its error is one message and status 1, an interrupt is reported."""
    try:
        run()
    except LabError as error:
        console.print(f"[red]error:[/] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        console.print(interrupted)
        sys.exit(130)


def wait_until(
    what: str, ready: Callable[[], bool], *, timeout: float, every: float = 0.05
) -> None:
    """Call `ready()` until it is true; LabError naming `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {timeout:.0f} s")
        time.sleep(every)
