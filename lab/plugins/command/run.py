"""Running one command, there or here, and keeping what it says."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.plugins.command.ssh import Connection, Connections
from lab.plugins.values import PluginError

_CHUNK_BYTES = 65536
_POLL_SECONDS = 0.05
_DRAIN_SECONDS = 2.0
# The real plugin waits for ever; a lab that hangs for ever helps nobody.
LONGEST_SECONDS = 3600.0
_REFUSED_ENVIRONMENT = (
    "could not set environment variable {name!r}: this only works if the SSH server is configured "
    "to accept these variables via AcceptEnv. Alternatively, if a Bash-like shell runs the command "
    "on the remote host, you could prefix the command itself with the variables in the form "
    "'VAR=value command'. The command was not run"
)


@dataclass
class Job:
    """A command and all that belongs to one run of it."""

    command: str
    environment: Mapping[str, str]
    previous: Mapping[str, str]
    """What the last run printed, as variables; a host that does not take them is no failure."""
    stdin: str
    shown: frozenset[str]
    """The streams ("stdout", "stderr") whose lines the user sees while the command runs."""
    say: Callable[[str], None]
    cancelled: threading.Event
    seconds: float = LONGEST_SECONDS
    secret: bool = False

    @property
    def name(self) -> str:
        """The command as messages show it."""
        return "[secret]" if self.secret else repr(self.command)


@dataclass
class _Output:
    job: Job
    whole: io.BytesIO = field(default_factory=io.BytesIO)
    parts: dict[str, io.BytesIO] = field(
        default_factory=lambda: {"stdout": io.BytesIO(), "stderr": io.BytesIO()}
    )
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, stream: str, chunk: bytes) -> None:
        with self.lock:
            self.whole.write(chunk)
            self.parts[stream].write(chunk)
        if stream in self.job.shown:
            for line in chunk.decode(errors="replace").splitlines():
                self.job.say(line)

    def result(self, status: int) -> tuple[str, str]:
        """What the plugin keeps: both outputs, each without its last newline."""
        if status != 0:
            raise PluginError(
                f"Process exited with status {status}: running {self.job.name}:\n"
                f"{self.whole.getvalue().decode(errors='replace')}"
            )
        out, err = (
            self.parts[name].getvalue().decode(errors="replace").removesuffix("\n")
            for name in ("stdout", "stderr")
        )
        return out, err


def run_remote(connections: Connections, connection: Connection, job: Job) -> tuple[str, str]:
    """Run the job there; returns stdout and stderr, raises PluginError with both when it fails."""
    with connections.channel(connection) as transport:
        import paramiko

        try:
            channel = transport.open_session(timeout=connection.dial_seconds or None)
            try:
                return _remote(channel, job)
            finally:
                channel.close()
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise PluginError(
                f"the connection to {connection.address} broke while a command ran there: "
                f"{error or type(error).__name__}. It may have run in part"
            ) from error


def _remote(channel: Any, job: Job) -> tuple[str, str]:  # a paramiko.Channel
    import paramiko

    for name, value in job.environment.items():
        try:
            _set_environment(channel, name, value)
        except paramiko.SSHException as error:
            raise PluginError(_REFUSED_ENVIRONMENT.format(name=name)) from error
    for name, value in job.previous.items():
        channel.set_environment_variable(name, value)
    channel.settimeout(job.seconds)
    channel.exec_command(job.command)
    output = _Output(job)
    errors = threading.Thread(
        target=_drain, args=(channel.recv_stderr, "stderr", output), daemon=True
    )
    writer = threading.Thread(target=_feed, args=(channel, job.stdin.encode()), daemon=True)
    errors.start()
    writer.start()
    _drain(channel.recv, "stdout", output)
    errors.join(job.seconds)
    status = channel.recv_exit_status()
    if status < 0:
        raise PluginError(
            f"the command ended without an exit status:\n{output.whole.getvalue().decode()}"
        )
    return output.result(status)


def _set_environment(channel: Any, name: str, value: str) -> None:
    # paramiko's own method asks for no reply, and so cannot know that the host refused.
    import paramiko
    from paramiko.common import cMSG_CHANNEL_REQUEST

    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("env")
    message.add_boolean(True)
    message.add_string(name)
    message.add_string(value)
    channel._event_pending()
    channel.transport._send_user_message(message)
    channel._wait_for_event()


def _drain(receive: Callable[[int], bytes], stream: str, output: _Output) -> None:
    while chunk := receive(_CHUNK_BYTES):
        output.add(stream, chunk)


def _feed(channel: Any, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except OSError:
        # The command has ended without reading all of it, which is its own affair.
        return


def run_local(job: Job, interpreter: Sequence[str], folder: str) -> tuple[str, str]:
    """Run the job on this machine; returns and raises as `run_remote`."""
    try:
        process = subprocess.Popen(
            [*(interpreter or ("/bin/sh", "-c")), job.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder or None,
            env={**os.environ, **job.environment, **job.previous},
        )
    except OSError as error:
        raise PluginError(f"cannot run {job.name} here: {error}") from error
    output = _Output(job)
    ends = {"stdout": process.stdout, "stderr": process.stderr}
    threads = [
        threading.Thread(target=_drain, args=(end.read1, stream, output), daemon=True)
        for stream, end in ends.items()
        if isinstance(end, io.BufferedReader)
    ]
    threads.append(threading.Thread(target=_feed_pipe, args=(process, job.stdin), daemon=True))
    for thread in threads:
        thread.start()
    end = time.monotonic() + job.seconds
    while process.poll() is None:
        if job.cancelled.wait(_POLL_SECONDS) or time.monotonic() > end:
            process.kill()
            process.wait()
            why = "was cancelled" if job.cancelled.is_set() else f"ran for {job.seconds:.0f} s"
            raise PluginError(f"{job.name} {why} and was ended; it may have run in part")
    for thread in threads:
        # A grandchild may hold the pipes open for longer than the command lives.
        thread.join(_DRAIN_SECONDS)
    return output.result(process.returncode)


def _feed_pipe(process: subprocess.Popen[bytes], text: str) -> None:
    if process.stdin is not None:
        # The command may end without reading all of it, which is its own affair.
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(text.encode())
