"""SSH connections of remote commands: dialled when first needed, shared by all of one process."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from lab.plugins.values import PluginError, Properties, mapping, number, text

_ERRORS = 10
_DIAL_SECONDS = 15
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_PAUSE_GROWTH = 1.5
# Below sshd's MaxSessions, which is 10 a connection unless its administrator says otherwise.
_CHANNELS = 8
_KEEPALIVE_SECONDS = 15


@dataclass(frozen=True)
class Connection:
    """How to reach one host: the plugin's `connection` with its defaults filled in."""

    host: str
    port: int
    user: str
    password: str
    private_key: str
    private_key_password: str
    agent_socket: str
    host_key: str
    dial_errors: int
    dial_seconds: int
    proxy: Connection | None

    @classmethod
    def of(cls, values: Properties) -> Connection:
        """Read it from the inputs."""
        proxy = mapping(values, "proxy")
        return cls(
            host=text(values, "host"),
            port=number(values, "port", 22),
            user=text(values, "user", "root"),
            password=text(values, "password"),
            private_key=text(values, "privateKey"),
            private_key_password=text(values, "privateKeyPassword"),
            agent_socket=text(values, "agentSocketPath") or os.environ.get("SSH_AUTH_SOCK", ""),
            host_key=text(values, "hostKey"),
            dial_errors=number(values, "dialErrorLimit", _ERRORS),
            dial_seconds=number(values, "perDialTimeout", _DIAL_SECONDS),
            proxy=cls.of(proxy) if proxy else None,
        )

    @property
    def address(self) -> str:
        """The host as messages name it."""
        return f"{self.user}@{self.host}:{self.port}"


class RefusedError(PluginError):
    """The host, or this side, refuses: no further attempt can help."""


class Connections:
    """One transport per connection, dialled once however many commands wait for it."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._dialling: dict[Connection, threading.Lock] = {}
        self._open: dict[Connection, tuple[Any, threading.Semaphore]] = {}

    @contextmanager
    def channel(self, connection: Connection) -> Iterator[Any]:
        """A paramiko transport on which the caller may open one channel."""
        with self._lock:
            dialling = self._dialling.setdefault(connection, threading.Lock())
        with dialling:
            known = self._open.get(connection)
            if known is None or not known[0].is_active():
                known = (self._dialled(connection), threading.Semaphore(_CHANNELS))
                self._open[connection] = known
        transport, free = known
        with free:
            yield transport

    def _dialled(self, connection: Connection) -> Any:  # imported only when needed
        if connection.proxy is None:

            def direct() -> Any:  # a socket, or what stands for one
                wait = connection.dial_seconds or None
                return socket.create_connection((connection.host, connection.port), wait)

            return self._retried(connection, direct)
        gateway = self._dialled(connection.proxy)

        def through() -> Any:  # a paramiko.Channel
            where = (connection.host, connection.port)
            return gateway.open_channel("direct-tcpip", where, ("127.0.0.1", 0))

        return self._retried(connection, through)

    def _retried(self, connection: Connection, dial: Callable[[], Any]) -> Any:
        # Imported here: a preview runs no command and shall not wait for paramiko.
        import paramiko

        pause, errors = _FIRST_PAUSE_SECONDS, 0
        while True:
            try:
                return _transport(connection, dial())
            except RefusedError:
                raise
            except (OSError, EOFError, paramiko.SSHException) as error:
                errors += 1
                if -1 < connection.dial_errors < errors:
                    raise PluginError(
                        f"cannot connect to {connection.address} after {errors} failed attempts: "
                        f"{error or type(error).__name__}; no command was run there"
                    ) from error
            if self._cancelled.wait(pause):
                raise PluginError(f"cancelled while connecting to {connection.address}")
            pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE_SECONDS)


def _transport(connection: Connection, sock: Any) -> Any:
    import paramiko

    transport = paramiko.Transport(sock)
    try:
        if connection.host_key:
            # Only then will a host with several keys show the one that is expected.
            transport.get_security_options().key_types = _key_types(connection)
        transport.start_client(timeout=connection.dial_seconds or None)
        if transport.host_key is None:
            # paramiko returns from start_client when the time is up as if all were well.
            raise TimeoutError(f"no SSH handshake within {connection.dial_seconds} s")
        _check_host_key(connection, transport.get_remote_server_key())
        _log_in(connection, transport)
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(_KEEPALIVE_SECONDS)
    return transport


def _expected(connection: Connection) -> tuple[str, str]:
    parts = connection.host_key.split()
    if len(parts) < 2:
        raise RefusedError(
            f"hostKey of {connection.address} is no public key (`ssh-ed25519 AAAA…`)"
        )
    return parts[0], parts[1]


def _key_types(connection: Connection) -> tuple[str, ...]:
    kind = _expected(connection)[0]
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)


def _check_host_key(connection: Connection, key: Any) -> None:  # a paramiko.PKey
    if connection.host_key and key.get_base64() != _expected(connection)[1]:
        raise RefusedError(
            f"{connection.address} has the host key {key.get_name()} {key.get_base64()}, which is "
            "not the one given as hostKey; nothing was sent to it"
        )


def _log_in(connection: Connection, transport: Any) -> None:
    import paramiko

    refusals: list[str] = []
    for name, attempt in _ways_in(connection, transport):
        try:
            attempt()
        except paramiko.AuthenticationException as error:
            refusals.append(f"{name}: {error}")
        except (paramiko.SSHException, EOFError) as error:
            if not refusals:
                raise
            # sshd hangs up after so many refusals; the next attempt would fare no better.
            refusals.append(f"{name}: {error or type(error).__name__}")
            break
        if transport.is_authenticated():
            return
    tried = "; ".join(refusals) or "no private key, password or agent key is at hand"
    raise RefusedError(
        f"{connection.address} refuses the login ({tried}); no command was run there"
    )


def _ways_in(
    connection: Connection,
    transport: Any,  # a paramiko.Transport
) -> Iterator[tuple[str, Callable[[], object]]]:
    user = connection.user
    if connection.private_key:
        yield "privateKey", partial(transport.auth_publickey, user, _private_key(connection))
    if connection.password:
        yield "password", partial(transport.auth_password, user, connection.password)
    for key in _agent_keys(connection):
        yield f"agent key {key.comment}", partial(transport.auth_publickey, user, key)


def _private_key(connection: Connection) -> Any:  # a paramiko.PKey
    import paramiko

    secret = connection.private_key_password or None
    last: Exception | None = None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(connection.private_key), secret)
        except (paramiko.SSHException, ValueError, TypeError) as error:
            last = error
    raise RefusedError(f"privateKey for {connection.address} cannot be read: {last}")


def _agent_keys(connection: Connection) -> list[Any]:
    """The keys of the agent at the connection's socket, whatever the environment says of others."""
    from paramiko.agent import AgentSSH

    if not connection.agent_socket:
        return []
    conn = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    conn.settimeout(connection.dial_seconds or None)
    try:
        conn.connect(connection.agent_socket)
    except OSError as error:
        raise RefusedError(f"no SSH agent at {connection.agent_socket}: {error}") from error
    agent: Any = AgentSSH()
    # paramiko's public Agent knows the environment's socket only; this is all that it does with it.
    agent._connect(conn)
    return list(agent.get_keys())
