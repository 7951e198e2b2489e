"""An operator's machine as a process: makes one change, and may be killed or kill itself.

    python -m tests.lab.atomic.child <<<'{"target": {…}, "files": {…}, …}'

Exit status 0 when the change is done and confirmed; else 3, with the error on standard output.
A child that is killed sends the host nothing more, like a machine without power.
"""

import dataclasses
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, ParamSpec, TypeAlias, TypeVar

from providers.errors import HostError
from providers.ssh.remote import SshRemote
from providers.ssh.session import Session
from providers.ssh.target import Target

P = ParamSpec("P")
R = TypeVar("R")

CHECKOUT = Path(__file__).resolve().parents[3]

Moment: TypeAlias = Literal["never", "call", "confirmed"]
"""When the child kills itself: at the `at`-th call of its sockets; or once the host has the
confirmation, before the caller learns of it."""


@dataclass(frozen=True)
class Job:
    """The change that a child makes."""

    target: Target
    files: Mapping[str, str]
    expected: str
    die: Moment = "never"
    at: int = 0
    source: str = ""
    """The source address of its connection, on a machine with several."""

    def to_json(self) -> str:
        """Return it as a line for the child."""
        return json.dumps(dataclasses.asdict(self)) + "\n"


def start(job: Job, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start the child, run through the command `prefix`; its input stays open."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "tests.lab.atomic.child"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(job.to_json())
    process.stdin.flush()
    return process


@dataclass(frozen=True)
class Ended:
    """A child that has ended; `status` is -9 if it was killed."""

    status: int
    stdout: str
    stderr: str


def finish(process: subprocess.Popen[str], seconds: float = 120) -> Ended:
    """End a child's input and wait for its end."""
    stdout, stderr = process.communicate(timeout=seconds)
    return Ended(process.returncode, stdout, stderr)


def run(job: Job, prefix: Sequence[str] = ()) -> Ended:
    """Run a child to its end."""
    return finish(start(job, prefix))


# --- in the child --------------------------------------------------------------------------------


class _Calls:
    """Counts socket calls, and kills the process at one of them."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.count = 0
        self._lock = threading.Lock()

    def hook(self, original: Callable[P, R]) -> Callable[P, R]:
        """Return `original`, counted."""

        def counted(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._lock:
                self.count += 1
                if self.count == self.last:
                    os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return counted


def _main() -> int:
    raw = json.loads(sys.stdin.readline())
    job = Job(**{**raw, "target": Target(**raw["target"])})
    calls = _Calls(job.at if job.die == "call" else 0)
    for name in ("send", "recv", "connect"):
        # A Python class around a C one: paramiko and create_connection both use it.
        setattr(socket.socket, name, calls.hook(getattr(socket.socket, name)))
    if job.source:
        socket.create_connection = functools.partial(
            socket.create_connection, source_address=(job.source, 0)
        )
    seam = SshRemote(Session(job.target))
    if job.die == "confirmed":
        confirm = seam._confirm

        def instead(token: str, saved: Mapping[str, str], until: float) -> None:
            confirm(token, saved, until)
            print("armed", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(seam, "_confirm", instead)  # noqa: B010 (mypy has methods stay as they are)
    try:
        seam.change(job.files, job.expected, {})
    except HostError as error:
        print(error)
        return 3
    print(f"done after {calls.count} calls")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
