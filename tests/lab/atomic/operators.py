"""Operators whose runs pause, die or are observed at a moment that the test chooses."""

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from lab.steps import wait_until
from providers.errors import HostError
from providers.host.plan import Plan
from providers.ssh.remote import SshRemote
from providers.ssh.session import Session
from providers.ssh.target import Target
from tests.lab.atomic.drill import Drill, target
from tests.lab.atomic.plans import files


class DiedError(Exception):
    """The operator's machine has died."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: `error` is its error message, "" on success; `notes` are the notes that it
    received from the host."""

    error: str
    notes: str


class Operator(SshRemote):
    """One run against a host, in a thread of its own."""

    def __init__(self, where: Target, *, hold: bool = False, die: bool = False) -> None:
        super().__init__(Session(where))
        self.notes: list[str] = []
        self.armed = threading.Event()
        """Set once the host has reported this."""
        self.go = threading.Event()
        """With `hold`, the run confirms once this is set."""
        self._hold = hold
        self._die = die
        self._pool = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None

    def start(self, drill: Drill, wanted: Plan | None) -> None:
        """Begin a change to a plan, from the host's present state."""
        contents, expected = files(wanted, drill.now), drill.generation
        self._running = self._pool.submit(self.change, contents, expected, {})

    def end(self, seconds: float = 120) -> Ended:
        """Wait for the end of the change. Raises TimeoutError."""
        assert self._running is not None
        try:
            self._running.result(seconds)
            error = ""
        except HostError as caught:
            error = str(caught)
        except DiedError:
            error = "died"
        self._pool.shutdown()
        self.session.close()
        return Ended(error, "\n".join(self.notes))

    def run(self, drill: Drill, wanted: Plan | None) -> Ended:
        """Make a change to its end."""
        self.start(drill, wanted)
        return self.end()

    def until_armed(self) -> None:
        """Wait until the host has reported this. Fails with the error of a run that ends before."""

        def armed() -> bool:
            # Read first: a run may be armed and end between the two.
            running = self.is_running
            assert running or self.armed.is_set(), self.end()
            return self.armed.is_set()

        wait_until("the change is armed", armed, timeout=60)

    @property
    def is_running(self) -> bool:
        """Whether the change is still running."""
        return self._running is not None and not self._running.done()

    def _confirm(self, token: str, saved: Mapping[str, str], until: float) -> None:
        self.armed.set()
        if self._hold:
            self.go.wait(120)
        if self._die:
            raise DiedError
        super()._confirm(token, saved, until)

    def _tell(self, line: str) -> None:
        if line.startswith("note "):
            self.notes.append(line.removeprefix("note "))


def operator(drill: Drill, seconds: int = 30, *, hold: bool = False, die: bool = False) -> Operator:
    """Return an operator of a drill's host."""
    return Operator(target(drill.host, seconds), hold=hold, die=die)
