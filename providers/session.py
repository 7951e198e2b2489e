"""One SSH transport per host and run, shared by the threads that need it."""

import threading
import time

import paramiko

from providers.connection import UNCHANGED, Connection
from providers.errors import UnreachableError
from providers.exchange import Completed, DroppedError, FloodError, OnLine, exchange
from providers.target import Jump, Target

__all__ = ["UNCHANGED", "Completed", "Jump", "Session", "Target"]

CONNECT_SECONDS = 10.0
"""Limit for the TCP connection, for sshd's banner and for the log-in, each."""

FAILURE_SECONDS = 10.0
"""For how long a failed connection is the answer to whoever asks next: sshd counts failures."""

_LOST = (DroppedError, FloodError, EOFError, OSError, paramiko.SSHException)
"""What a connection that does not last ends a command with."""


class Session:
    """Runs commands on one host over one connection, made at the first call.

    `handshakes` and `commands` count what went over the network since the start.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.handshakes = 0
        self.commands = 0
        self._lock = threading.Lock()
        self._open: Connection | None = None
        self._failed: tuple[float, UnreachableError] | None = None

    def run(self, program: str, seconds: float, on_stderr: OnLine | None = None) -> Completed:
        """Run a POSIX shell program as root, sent on standard input, within `seconds`.

        The command line is constant: no value is ever part of it. `on_stderr` is told each line of
        standard error as it comes. Reconnects once when the transport was dropped, so `program`
        must be safe to run twice. Raises UnreachableError.
        """
        lost: BaseException | None = None
        while True:
            try:
                connection = self._connected()
            except UnreachableError as error:
                if lost is None:
                    raise
                # Not "nothing was sent": it was, over the connection before.
                raise self._lost(lost, seconds, f"; {error.what}") from error
            try:
                return self._run_on(connection, program, seconds, on_stderr)
            except _LOST as error:
                self._drop(connection)
                if lost is not None or isinstance(error, TimeoutError | FloodError):
                    raise self._lost(error, seconds) from error
                lost = error

    def run_on_new_connection(
        self,
        program: str,
        seconds: float,
        on_stderr: OnLine | None = None,
        connect_seconds: float | None = None,
    ) -> Completed:
        """Run a program as `run` does, over a connection that is made for it, once.

        That it could be made is what the caller wants to know: so nothing is tried twice, and
        nothing that is known of earlier failures counts, nor does a failure here count for later
        calls. `connect_seconds` limits each step of connecting, CONNECT_SECONDS unless given. When
        the program has ended, with whatever exit code, the new connection is the session's, and
        the old one is closed. Raises UnreachableError; the old connection stays then.
        """
        limit = CONNECT_SECONDS if connect_seconds is None else connect_seconds
        connection = self._connection(limit)
        try:
            done = self._run_on(connection, program, seconds, on_stderr)
        except BaseException as error:
            connection.close()
            if isinstance(error, _LOST):
                raise self._lost(error, seconds) from error
            raise
        with self._lock:
            old, self._open, self._failed = self._open, connection, None
        if old is not None:
            old.close()
        return done

    def close(self) -> None:
        """End the connection, if there is one."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _drop(self, connection: Connection) -> None:
        with self._lock:
            if self._open is connection:
                self._open = None
        connection.close()

    def _connected(self) -> Connection:
        with self._lock:
            if self._open is not None and self._open.is_active:
                return self._open
            if self._failed and time.monotonic() - self._failed[0] < FAILURE_SECONDS:
                raise self._failed[1]
            if self._open is not None:
                self._open.close()
                self._open = None
            try:
                self._open = self._connection(CONNECT_SECONDS)
            except UnreachableError as error:
                self._failed = (time.monotonic(), error)
                raise
            return self._open

    def _connection(self, seconds: float) -> Connection:
        self.handshakes += 1
        return Connection(self.target, seconds)

    def _run_on(
        self, connection: Connection, program: str, seconds: float, on_stderr: OnLine | None
    ) -> Completed:
        self.commands += 1
        command = "sh -s" if self.target.user == "root" else "sudo -n sh -s"
        return exchange(connection.transport, command, program, seconds, on_stderr)

    def _lost(self, error: BaseException, seconds: float, then: str = "") -> UnreachableError:
        late = isinstance(error, TimeoutError)
        # paramiko's own errors here have no text.
        why = f"no end after {seconds:g} s" if late else str(error) or "closed"
        return UnreachableError(
            self.target.name,
            f"the connection was lost while a command ran ({why}){then}",
            "not known: a change that had begun goes on to its end, or to its undo,"
            " without the connection",
            "see that the host answers, then run `pulumi up --refresh`",
        )
