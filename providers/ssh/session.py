"""One SSH connection per host and run, and the exchange of one command at a time over it."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import paramiko

from providers.errors import UnreachableError, readable
from providers.ssh.connection import Connection
from providers.ssh.target import Target

SILENCE_SECONDS = 150.0
"""A command fails once it has printed nothing, on either stream, for this long.

The host prints a line at least every 15 s while it waits for another run.
"""

LONGEST_SECONDS = 7200.0
"""A command fails after this long, even while it prints."""

CONNECT_SECONDS = 10.0
"""Limit for the TCP connection, for sshd's banner and for the login, each."""

OPEN_SECONDS = 10.0
"""Limit for opening a channel on an open connection."""

FAILURE_SECONDS = 10.0
"""How long a failed connection is reported again instead of retried: sshd counts failures."""

OUTPUT_LIMIT = 64 * 1024 * 1024
"""Bytes that a command may print on each stream; 1,000 networks print less than 10 MiB."""

LINE_LIMIT = 2000
"""Characters of a line that is passed on while the command runs: it goes to a terminal."""

LINES_LIMIT = 1000
"""Lines that are passed on per stream and command; more would only fill the terminal."""

_CHUNK = 65536

OnLine = Callable[[str], None]
"""Gets each line of a stream as it arrives: without its end, `readable`. The one for standard
error is called in the caller's thread, the one for standard output in another."""


@dataclass(frozen=True)
class Completed:
    """A command that has ended on the host."""

    exit_code: int
    stdout: str
    stderr: str


class DroppedError(Exception):
    """The connection ended while a command ran on it."""


class FloodError(Exception):
    """A command printed more than OUTPUT_LIMIT; it would do so again."""


_LOST = (DroppedError, FloodError, EOFError, OSError, paramiko.SSHException)
"""What a command without a result raises."""


class Session:
    """Runs one command at a time on one host over one connection, which the first call opens.

    Not thread-safe: the caller lets one call in at a time. `handshakes` and `commands` count what
    went over the network.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.handshakes = 0
        self.commands = 0
        self._open: Connection | None = None
        self._failed: tuple[float, UnreachableError] | None = None

    def run(
        self,
        program: str,
        silence: float | None = None,
        on_stdout: OnLine | None = None,
        on_stderr: OnLine | None = None,
    ) -> Completed:
        """Run a POSIX shell program as root. It travels on standard input.

        The command line is constant: no value is ever part of it. `silence` replaces
        SILENCE_SECONDS. Reconnects once when the connection was dropped, so `program` must be safe
        to run twice. Raises UnreachableError.
        """
        lost: BaseException | None = None
        while True:
            try:
                connection = self._connected()
            except UnreachableError as error:
                if lost is None:
                    raise
                # Not "nothing was sent": the program was, over the connection before.
                raise self._lost(lost, f"; {error.what}") from error
            try:
                return self._run_on(connection, program, silence, on_stdout, on_stderr)
            except _LOST as error:
                self._drop(connection)
                if lost is not None or isinstance(error, TimeoutError | FloodError):
                    raise self._lost(error) from error
                lost = error

    def run_on_new_connection(
        self,
        program: str,
        silence: float | None = None,
        on_stderr: OnLine | None = None,
        connect_seconds: float | None = None,
    ) -> Completed:
        """Run a program as `run` does, once, over a connection that is opened for it.

        The caller wants to know whether that works, so nothing is retried, and earlier failures
        and this one do not affect each other. `connect_seconds` replaces CONNECT_SECONDS. When the
        program has ended, with any exit code, the new connection becomes the session's and the old
        one is closed. Raises UnreachableError; the old connection stays then.
        """
        limit = CONNECT_SECONDS if connect_seconds is None else connect_seconds
        connection = self._connection(limit)
        try:
            done = self._run_on(connection, program, silence, None, on_stderr)
        except BaseException as error:
            connection.close()
            if isinstance(error, _LOST):
                raise self._lost(error) from error
            raise
        old, self._open, self._failed = self._open, connection, None
        if old is not None:
            old.close()
        return done

    def close(self) -> None:
        """Close the connection, if there is one; the next call opens another."""
        if self._open is not None:
            self._drop(self._open)

    def _drop(self, connection: Connection) -> None:
        self._open = None
        connection.close()

    def _connected(self) -> Connection:
        if self._open is not None and self._open.is_active:
            return self._open
        if self._failed and time.monotonic() - self._failed[0] < FAILURE_SECONDS:
            raise self._failed[1]
        self.close()
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
        self,
        connection: Connection,
        program: str,
        silence: float | None,
        on_stdout: OnLine | None,
        on_stderr: OnLine | None,
    ) -> Completed:
        self.commands += 1
        command = "sh -s" if self.target.user == "root" else "sudo -n sh -s"
        limit = SILENCE_SECONDS if silence is None else silence
        return exchange(connection.transport, command, program, limit, on_stdout, on_stderr)

    def _lost(self, error: BaseException, then: str = "") -> UnreachableError:
        what = f"the connection was lost while a command ran ({str(error) or 'closed'}){then}"
        if isinstance(error, TimeoutError | FloodError):
            what = f"wanbound gave up on a command: it {error}"
        return UnreachableError(
            self.target.name,
            what,
            "not known: a change that had begun completes, or is rolled back, without the"
            " connection",
            "check that the host answers, then run `pulumi up --refresh`",
        )


def exchange(
    transport: paramiko.Transport,
    command: str,
    program: str,
    silence: float,
    on_stdout: OnLine | None = None,
    on_stderr: OnLine | None = None,
) -> Completed:
    """Run `command` with `program` as its standard input; return when it has ended.

    All three streams go at once: reading one to its end first would deadlock with a host that
    waits for room in another. Raises TimeoutError, FloodError, and DroppedError, EOFError, OSError
    or SSHException when the connection does not last as long.
    """
    # A file that is not UTF-8 is returned to the host unchanged (PEP 383).
    text = program.encode(errors="surrogateescape")
    channel = transport.open_session(timeout=OPEN_SECONDS)
    watch = _Watch(channel, silence)
    stdout = _Stream(channel, channel.recv, watch, on_stdout)
    stderr = _Stream(channel, channel.recv_stderr, watch, on_stderr)
    reader = threading.Thread(target=stdout.read_or_close, daemon=True)
    try:
        threading.Thread(target=watch.run, daemon=True).start()
        channel.exec_command(command)
        threading.Thread(target=_send, args=(channel, text, watch), daemon=True).start()
        reader.start()
        stderr.read()
        reader.join()
        if stdout.error is not None:
            raise stdout.error
        channel.status_event.wait()
        # -1 means that no exit status came.
        if channel.exit_status == -1:
            raise DroppedError("the command ended without an exit status")
        return Completed(channel.exit_status, stdout.text(), stderr.text())
    except _LOST as error:
        # The watch ends a command by closing its channel, which looks like a dropped connection.
        raise watch.verdict or error from None
    finally:
        watch.ended.set()
        channel.close()


class _Watch:
    """Closes the channel of a command that is silent, or runs, for too long.

    paramiko's own timeouts do not cover all waits: the one for the answer to "run this command"
    has none.
    """

    def __init__(self, channel: paramiko.Channel, silence: float) -> None:
        self.ended = threading.Event()
        self.verdict: TimeoutError | None = None
        self._channel = channel
        self._silence = silence
        self._heard = time.monotonic()

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard = time.monotonic()

    def run(self) -> None:
        """Wait for the command's end, and close its channel if it takes too long."""
        end = time.monotonic() + LONGEST_SECONDS
        while self.verdict is None:
            quiet_until = self._heard + self._silence
            now = time.monotonic()
            if now >= end:
                self.verdict = TimeoutError(f"did not end within {LONGEST_SECONDS:g} s")
            elif now >= quiet_until:
                self.verdict = TimeoutError(f"printed nothing for {self._silence:g} s")
            elif self.ended.wait(min(end, quiet_until) - now):
                return
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()


def _send(channel: paramiko.Channel, text: bytes, watch: _Watch) -> None:
    # The other side may stop reading (sudo refused) or be gone; the readers find that out.
    with suppress(OSError, EOFError, paramiko.SSHException):
        sent = 0
        while sent < len(text):
            sent += channel.send(text[sent : sent + _CHUNK])
            watch.heard()
        channel.shutdown_write()


@dataclass
class _Stream:
    """What arrives on one of the command's outputs."""

    channel: paramiko.Channel
    receive: Callable[[int], bytes]
    watch: _Watch
    on_line: OnLine | None = None
    error: BaseException | None = None
    _data: bytearray = field(default_factory=bytearray)
    _passed_on: int = 0
    _lines: int = 0

    def read(self) -> None:
        """Read to the end. Raises FloodError at OUTPUT_LIMIT."""
        while part := self.receive(_CHUNK):
            self.watch.heard()
            seen = len(self._data)
            self._data += part
            if len(self._data) > OUTPUT_LIMIT:
                raise FloodError(f"printed more than {OUTPUT_LIMIT} bytes")
            self._pass_on(seen)
        if self._passed_on < len(self._data):
            self._say(len(self._data))

    def read_or_close(self) -> None:
        """Read to the end; an error is kept in `error` and ends the command."""
        try:
            self.read()
        except BaseException as error:  # the waiting thread raises it
            self.error = error
            with suppress(OSError, EOFError, paramiko.SSHException):
                self.channel.close()

    def text(self) -> str:
        """Return all of it, with U+FFFD for what is not UTF-8."""
        return self._data.decode(errors="replace")

    def _pass_on(self, seen: int) -> None:
        while (end := self._data.find(b"\n", max(seen, self._passed_on))) >= 0:
            self._say(end)
            self._passed_on = end + 1

    def _say(self, end: int) -> None:
        if self.on_line is None or self._lines >= LINES_LIMIT:
            return
        self._lines += 1
        # The reader's terminal may be gone. The command goes on, and its connection is not lost.
        with suppress(OSError):
            line = self._data[self._passed_on : min(end, self._passed_on + 4 * LINE_LIMIT)]
            self.on_line(readable(line.decode(errors="replace")[:LINE_LIMIT]))
