"""A real sshd for tests: on 127.0.0.1 at a free port, with its own keys, for this user."""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from providers.ssh import connection
from providers.ssh.target import Target

START_SECONDS = 10.0
_PRIVSEP = Path("/run/sshd")
"""The empty folder that an sshd running as root needs for each connection.

Debian's service creates it. It stays: a parallel run of the tests may still need it.
"""


@dataclass(frozen=True)
class Sshd:
    """A running sshd; `folder` has the client's key, and the log of requested commands."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def host_key(self) -> str:
        """Its public key, as `ssh.host_key` has it."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    @property
    def client_key(self) -> Path:
        """The private key that it accepts."""
        return self.folder / "client_key"

    def target(self, host_key: str | None = "", user: str = "", port: int = 0) -> Target:
        """Return it as a target: by default its key is pinned and the user is this one."""
        return Target(
            "edge-1",
            "127.0.0.1",
            port or self.port,
            user or getpass.getuser(),
            self.host_key if host_key == "" else host_key,
        )

    def accept(self, public: Path) -> None:
        """Accept the key of that public file too."""
        with (self.folder / "authorized").open("a") as file:
            file.write(public.read_text())

    def count(self, words: str) -> int:
        """Return how often its log has these words."""
        return (self.folder / "log").read_text().count(words)

    def logins(self) -> list[int]:
        """Return the client's port of each successful login so far."""
        log = (self.folder / "log").read_text()
        return [int(port) for port in re.findall(r"Accepted publickey for .* port (\d+)", log)]

    def asked(self) -> list[str]:
        """Return the command lines that it was asked to run."""
        log = self.folder / "asked"
        return log.read_text().splitlines() if log.exists() else []

    def drop_connections(self) -> None:
        """Kill the processes of its connections, as a power failure of the host would."""
        # Through descriptors: the number alone may belong to another process by then.
        with ExitStack() as stack:
            for descriptor in _descendants(self.process.pid, stack):
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)


def _descendants(pid: int, stack: ExitStack) -> list[int]:
    """Return descriptors of all processes below `pid`; `stack` closes them."""
    children: dict[int, list[tuple[int, int]]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            descriptor = os.pidfd_open(int(folder.name))
            stack.callback(os.close, descriptor)
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append((int(folder.name), descriptor))
    found = []
    waiting = [pid]
    while waiting:
        for child, descriptor in children.get(waiting.pop(), []):
            found.append(descriptor)
            waiting.append(child)
    return found


def make_key(
    path: Path, kind: str = "ed25519", passphrase: str = "", form: str = "RFC4716"
) -> Path:
    """Make a key pair at `path` and `path`.pub; `form` is the private key's format, as for `-m`."""
    # The default of 3072 bits takes seconds to generate.
    bits = ["-b", "2048"] if kind == "rsa" else []
    words = ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", "test", "-m", form]
    subprocess.run([*words, "-f", path], check=True, timeout=START_SECONDS)
    return path


@contextmanager
def agent(folder: Path, *keys: Path) -> Iterator[Path]:
    """Run an SSH agent with these keys; yield its socket."""
    path = folder / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + START_SECONDS
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.01)
        for key in keys:
            subprocess.run(
                ["ssh-add", "-q", str(key)],
                env={**os.environ, "SSH_AUTH_SOCK": str(path)},
                stdin=subprocess.DEVNULL,
                check=True,
                timeout=START_SECONDS,
            )
        yield path
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def bare_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `folder` a home without keys, config or agent; return its .ssh."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(connection, "KNOWN_HOSTS", ("~/.ssh/known_hosts",))
    found = folder / ".ssh"
    found.mkdir(mode=0o700)
    return found


def free_port() -> int:
    """Return a port without a listener at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextmanager
def running(folder: Path, options: str = "") -> Iterator[Sshd]:
    """Run an sshd whose files are in `folder`; it and all its connections end with the block.

    `options` are more lines of its configuration, which come first and so take precedence.
    """
    binary = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise AssertionError(
            "there is no sshd on this machine, and these tests need a real one: install"
            " openssh-server (tools/test-tools.sh does; its service need not run)"
        )
    for name in ("host_key", "client_key"):
        make_key(folder / name)
    # It logs every requested command and runs a shell: not every user here has sudo.
    (folder / "shell").write_text(
        f'#!/bin/sh\necho "$SSH_ORIGINAL_COMMAND" >>{folder}/asked\nexec sh -s\n'
    )
    (folder / "shell").chmod(0o755)
    if os.geteuid() == 0:
        _PRIVSEP.mkdir(mode=0o755, exist_ok=True)
    sshd = _started(binary, folder, options)
    try:
        yield sshd
    finally:
        sshd.drop_connections()
        sshd.process.terminate()
        sshd.process.wait(START_SECONDS)


def _started(binary: str, folder: Path, options: str) -> Sshd:
    """Start it at a port that is still free then: another process may be faster."""
    log = folder / "log"
    for _ in range(5):
        port = free_port()
        (folder / "sshd_config").write_text(f"{options}\n{_config(folder, port)}")
        args = [binary, "-D", "-e", "-f", str(folder / "sshd_config")]
        with log.open("wb") as out:
            process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        until = time.monotonic() + START_SECONDS
        # Its own log line, and no connection: that could reach another process, or itself.
        while process.poll() is None and time.monotonic() < until:
            if f"Server listening on 127.0.0.1 port {port}" in log.read_text():
                return Sshd(process, port, folder)
            time.sleep(0.02)
        process.kill()
        process.wait(START_SECONDS)
    raise AssertionError(f"sshd does not start: {log.read_text()}")


def _config(folder: Path, port: int) -> str:
    return f"""\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/client_key.pub {folder}/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
ForceCommand {folder}/shell
# Tests fail to log in on purpose, and none of them is to be shut out for that.
MaxStartups 100
LogLevel VERBOSE
"""
