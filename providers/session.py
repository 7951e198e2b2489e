"""One SSH transport per host and run, shared by the threads that need it."""

import base64
import getpass
import logging
import socket
import threading
import time
from pathlib import Path
from typing import Any

import paramiko

from providers.errors import UnreachableError
from providers.exchange import Completed, DroppedError, OnLine, exchange
from providers.target import Jump, Target

__all__ = ["UNCHANGED", "Completed", "Jump", "Session", "Target"]

UNCHANGED = "unchanged; nothing was sent to it"

CONNECT_SECONDS = 10.0
"""Limit for the TCP connection, for sshd's banner and for the log-in, each."""

FAILURE_SECONDS = 10.0
"""For how long a failed connection is the answer to whoever asks next: sshd counts failures."""

KEEPALIVE_SECONDS = 15

# What paramiko has to say comes as an error, in words. By itself it would print tracebacks of its
# threads into the operator's output, where nobody has set up logging.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


_LOST = (DroppedError, EOFError, OSError, paramiko.SSHException)
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
        self._client: paramiko.SSHClient | None = None
        self._failed: tuple[float, UnreachableError] | None = None

    def run(self, program: str, seconds: float, on_stderr: OnLine | None = None) -> Completed:
        """Run a POSIX shell program as root, sent on standard input, within `seconds`.

        The command line is constant: no value is ever part of it. `on_stderr` is told each line of
        standard error as it comes. Reconnects once when the transport was dropped, so `program`
        must be safe to run twice. Raises UnreachableError.
        """
        for attempt in (1, 2):
            client = self._connected()
            try:
                return self._run_on(client, program, seconds, on_stderr)
            except _LOST as error:
                self._drop(client)
                if attempt == 2 or isinstance(error, TimeoutError):
                    raise self._lost(error, seconds) from error
        raise AssertionError("unreachable")

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
        client = self._connection(CONNECT_SECONDS if connect_seconds is None else connect_seconds)
        try:
            done = self._run_on(client, program, seconds, on_stderr)
        except BaseException as error:
            client.close()
            if isinstance(error, _LOST):
                raise self._lost(error, seconds) from error
            raise
        with self._lock:
            old, self._client, self._failed = self._client, client, None
        if old is not None:
            old.close()
        return done

    def close(self) -> None:
        """End the connection, if there is one."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _drop(self, client: paramiko.SSHClient) -> None:
        with self._lock:
            if self._client is client:
                self._client = None
        client.close()

    def _connected(self) -> paramiko.SSHClient:
        with self._lock:
            transport = self._client.get_transport() if self._client is not None else None
            if self._client is not None and transport is not None and transport.is_active():
                return self._client
            if self._failed and time.monotonic() - self._failed[0] < FAILURE_SECONDS:
                raise self._failed[1]
            try:
                self._client = self._connection(CONNECT_SECONDS)
            except UnreachableError as error:
                self._failed = (time.monotonic(), error)
                raise
            return self._client

    def _connection(self, seconds: float) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        try:
            self._connect(client, seconds)
        except BaseException:
            # sshd would keep the half-open connection for two minutes, and count it as hostile.
            client.close()
            raise
        return client

    def _connect(self, client: paramiko.SSHClient, seconds: float) -> None:
        target = self.target
        config = _ssh_config(target.address)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        hostname = config.get("hostname", target.address)
        if not isinstance(hostname, str):
            raise TypeError("ssh config: hostname is one word")
        _trust(client, target, hostname)
        # paramiko takes a list of files too, which its published types do not say.
        keys: Any = [file for file in config.get("identityfile", []) if Path(file).exists()]
        self.handshakes += 1
        try:
            connection = socket.create_connection((hostname, target.port), seconds)
            # Small packets go at once: waiting for the other side's delayed acknowledgement would
            # cost 40 ms twice a command.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.connect(
                hostname,
                port=target.port,
                username=target.user,
                key_filename=keys or None,
                sock=connection,
                timeout=seconds,
                banner_timeout=seconds,
                auth_timeout=seconds,
            )
        except paramiko.BadHostKeyException as error:
            raise UnreachableError(
                target.name,
                f"its SSH host key is {error.key.get_name()} {error.key.get_base64()},"
                " not the one that is pinned",
                UNCHANGED,
                "find out why: another machine may be answering. If the host was rebuilt, put its"
                " new key into ssh.host_key (or known_hosts)",
            ) from error
        except paramiko.AuthenticationException as error:
            raise UnreachableError(
                target.name,
                f"it refuses the log-in of {target.user} ({error})",
                UNCHANGED,
                "put a key that the host accepts into your SSH agent, or name it as IdentityFile"
                f" in ~/.ssh/config; see that ssh.user is right ({target.user})",
            ) from error
        except paramiko.SSHException as error:
            raise UnreachableError(
                target.name, _ssh_problem(error, target), UNCHANGED, _ssh_remedy(error)
            ) from error
        except OSError as error:
            raise UnreachableError(
                target.name,
                f"cannot be reached at {hostname} port {target.port} ({_reason(error, seconds)})",
                UNCHANGED,
                "see that the host is up and ssh.address and ssh.port are right, then run again",
            ) from error
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(KEEPALIVE_SECONDS)

    def _run_on(
        self, client: paramiko.SSHClient, program: str, seconds: float, on_stderr: OnLine | None
    ) -> Completed:
        transport = client.get_transport()
        if transport is None:
            raise DroppedError
        self.commands += 1
        command = "sh -s" if self.target.user == "root" else "sudo -n sh -s"
        return exchange(transport, command, program, seconds, on_stderr)

    def _lost(self, error: BaseException, seconds: float) -> UnreachableError:
        late = isinstance(error, TimeoutError)
        # paramiko's own errors here have no text.
        why = f"no end after {seconds:g} s" if late else str(error) or "closed"
        return UnreachableError(
            self.target.name,
            f"the connection was lost while a command ran ({why})",
            "not known: a change that had begun goes on to its end, or to its undo,"
            " without the connection",
            "see that the host answers, then run `pulumi up --refresh`",
        )


def _trust(client: paramiko.SSHClient, target: Target, hostname: str) -> None:
    """Tell the client which host key to expect; an unknown key is refused, never learned."""
    if target.host_key is None:
        for file in _KNOWN_HOSTS:
            path = Path(file).expanduser()
            if path.exists():
                client.load_system_host_keys(str(path))
        return
    kind, text = target.host_key.split()[:2]
    try:
        key = paramiko.PKey.from_type_string(kind, base64.b64decode(text))
    except (ValueError, paramiko.SSHException) as error:
        # Its shape was seen to in the configuration, not whether its numbers are a key's.
        raise UnreachableError(
            target.name,
            f"ssh.host_key is no {kind} key ({error})",
            UNCHANGED,
            "take it again from /etc/ssh on the host's console",
        ) from error
    name = hostname if target.port == 22 else f"[{hostname}]:{target.port}"
    client.get_host_keys().add(name, kind, key)


def _ssh_config(address: str) -> paramiko.SSHConfigDict:
    path = Path("~/.ssh/config").expanduser()
    if not path.exists():
        return paramiko.SSHConfigDict({"hostname": address})
    return paramiko.SSHConfig.from_path(str(path)).lookup(address)


def _reason(error: BaseException, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s"
    return str(error) or type(error).__name__


def _ssh_problem(error: paramiko.SSHException, target: Target) -> str:
    if "not found in known_hosts" in str(error):
        return (
            "its SSH host key is not known: ssh.host_key is not set and known_hosts of"
            f" {getpass.getuser()} has no key for {target.address}"
        )
    return f"SSH fails ({error})"


def _ssh_remedy(error: paramiko.SSHException) -> str:
    if "not found in known_hosts" in str(error):
        return (
            "set ssh.host_key to the line that `ssh-keyscan` prints, once you have compared it"
            " with /etc/ssh/ssh_host_ed25519_key.pub on the host's console"
        )
    return "see that sshd runs there and that `ssh` gets in from this machine"
