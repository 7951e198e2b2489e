"""Processes of the lab: each records its own pid and start time before it becomes its program.

The kernel reuses pids; a pid with its start time (field 22 of /proc/PID/stat, proc(5)) identifies
one process. The child writes its own record and then becomes the program, so that a lab whose `up`
was killed at any point knows all of its processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.settings import Settings
from lab.steps import wait_until

RECORD = (
    'start=$(cut -d" " -f22 "/proc/$$/stat") && printf "%s %s\\n" "$$" "$start" >"$1.next" '
    '&& mv "$1.next" "$1" && shift && exec "$@"'
)


def start_time(pid: int) -> str | None:
    """Return when the process began, in ticks since boot; None for no process or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command in parentheses may contain spaces and parentheses itself.
    fields = stat.rpartition(") ")[2].split()
    return None if fields[0] in "ZX" else fields[19]


@dataclass(frozen=True)
class Process:
    """One recorded process."""

    name: str
    pid: int
    start: str

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        return start_time(self.pid) == self.start

    def end(self, *, gently: float = 0) -> None:
        """Kill it; with `gently`, send SIGTERM first and wait up to that many seconds."""
        try:
            # From here on the descriptor identifies the process, even if its pid is reused.
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if not self.alive:
                return
            if gently:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                try:
                    wait_until(self.name, lambda: not self.alive, timeout=gently)
                except LabError:
                    pass
                else:
                    return
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            wait_until(f"the end of {self.name}", lambda: not self.alive, timeout=60)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)


def folder(settings: Settings) -> Path:
    """Return the folder of the records."""
    return settings.state / "processes"


def find(settings: Settings, name: str) -> Process | None:
    """Return the process recorded under that name, if it is alive."""
    try:
        pid, start = (folder(settings) / name).read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    process = Process(name, int(pid), start)
    return process if process.alive else None


def recorded(settings: Settings) -> list[Process]:
    """Return all recorded processes that are alive."""
    if not folder(settings).is_dir():
        return []
    names = [path.name for path in sorted(folder(settings).iterdir()) if path.suffix != ".next"]
    return [process for name in names if (process := find(settings, name))]


def wrapped(settings: Settings, name: str, args: Sequence[str | Path]) -> list[str]:
    """Return the command line that records itself under `name` and then becomes `args`."""
    folder(settings).mkdir(parents=True, exist_ok=True)
    record = folder(settings) / name
    return ["/bin/sh", "-c", RECORD, "sh", str(record), *(str(arg) for arg in args)]


def spawn(
    settings: Settings,
    name: str,
    args: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Process:
    """Start a process that outlives this one, in a session of its own, with its output in `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    record = folder(settings) / name
    record.unlink(missing_ok=True)
    with log.open("a") as out:
        child = subprocess.Popen(
            wrapped(settings, name, args),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
    wait_until(
        f"the start of {name}", lambda: record.exists() or child.poll() is not None, timeout=60
    )
    process = find(settings, name)
    if process is None:
        raise LabError(f"{name} ended at once; its log is {log}")
    return process
