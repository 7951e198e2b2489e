"""One command on a connection: its input goes in while both of its outputs come out."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import paramiko

from providers.errors import readable

OUTPUT_LIMIT = 64 * 1024 * 1024
"""Bytes that a command may print on each stream: 1,000 networks print less than 10 MiB."""

OPEN_SECONDS = 10.0
"""Limit for the answer to "open a channel" on a connection that stands."""

LINE_LIMIT = 2000
"""Characters of a line that is told while the command runs: it goes to a person's screen."""

LINES_LIMIT = 1000
"""Lines that are told while one command runs: more is no message, and would fill the screen."""

_CHUNK = 65536

OnLine = Callable[[str], None]
"""Is told each line without its end, `readable`, in the thread that waits for the command."""


@dataclass(frozen=True)
class Completed:
    """A command that has ended on the host."""

    exit_code: int
    stdout: str
    stderr: str


class DroppedError(Exception):
    """The transport ended while a command ran on it."""


class FloodError(Exception):
    """A command printed more than anybody needs; it would again."""


def exchange(
    transport: paramiko.Transport,
    command: str,
    program: str,
    seconds: float,
    on_stderr: OnLine | None = None,
) -> Completed:
    """Run `command` with `program` as its standard input; returns when it has ended.

    All three streams go at once: who reads one to its end first, stands still with a host that
    waits for room in another. Raises TimeoutError after `seconds`, FloodError, and DroppedError,
    EOFError, OSError or SSHException when the transport does not last as long.
    """
    deadline = time.monotonic() + seconds
    channel = transport.open_session(timeout=OPEN_SECONDS)
    stdout = _Stream(channel, channel.recv, deadline)
    # Whatever happens to this thread, the others see the channel closed.
    reader = threading.Thread(target=stdout.read_or_close, daemon=True)
    try:
        channel.settimeout(seconds)
        channel.exec_command(command)
        threading.Thread(target=_send, args=(channel, program), daemon=True).start()
        reader.start()
        stderr = _Stream(channel, channel.recv_stderr, deadline, on_stderr)
        stderr.read()
        reader.join(max(0.0, deadline - time.monotonic()) + 1)
        if stdout.error is not None:
            raise stdout.error
        if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        # -1 stands for "no exit status came".
        if channel.exit_status == -1:
            raise DroppedError("the command ended without an exit status")
        return Completed(channel.exit_status, stdout.text(), stderr.text())
    finally:
        channel.close()


def _send(channel: paramiko.Channel, program: str) -> None:
    # The far end may stop reading (sudo refused) or be gone: both are told by what is read.
    with suppress(OSError, EOFError, paramiko.SSHException):
        channel.sendall(program.encode())
        channel.shutdown_write()


@dataclass
class _Stream:
    """What comes from one of the command's outputs."""

    channel: paramiko.Channel
    receive: Callable[[int], bytes]
    deadline: float
    on_line: OnLine | None = None
    error: BaseException | None = None
    _data: bytearray = field(default_factory=bytearray)
    _told: int = 0
    _lines: int = 0

    def read(self) -> None:
        """Read to the end. Raises TimeoutError at the deadline, FloodError at the limit."""
        while part := self._part():
            seen = len(self._data)
            self._data += part
            if len(self._data) > OUTPUT_LIMIT:
                raise FloodError(f"it printed more than {OUTPUT_LIMIT} bytes")
            self._tell(seen)
        if self._told < len(self._data):
            self._say(len(self._data))

    def read_or_close(self) -> None:
        """Read to the end; what goes wrong is kept in `error`, and ends the command."""
        try:
            self.read()
        except BaseException as error:  # the thread that waits raises it
            self.error = error
            # Where the connection has ended meanwhile there is nobody to tell it to.
            with suppress(OSError, EOFError, paramiko.SSHException):
                self.channel.close()

    def text(self) -> str:
        """Return all of it; what is no UTF-8 is marked, not refused."""
        return self._data.decode(errors="replace")

    def _part(self) -> bytes:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.channel.settimeout(left)
        return self.receive(_CHUNK)

    def _tell(self, seen: int) -> None:
        while (end := self._data.find(b"\n", max(seen, self._told))) >= 0:
            self._say(end)
            self._told = end + 1

    def _say(self, end: int) -> None:
        if self.on_line is None or self._lines >= LINES_LIMIT:
            return
        self._lines += 1
        # Whoever was to read it may be gone, and the command goes on without them: a write that
        # fails must not pass for a connection that has.
        with suppress(OSError):
            line = self._data[self._told : min(end, self._told + 4 * LINE_LIMIT)]
            self.on_line(readable(line.decode(errors="replace")[:LINE_LIMIT]))
