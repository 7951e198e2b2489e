"""One SSH connection to a host, over its jump hosts; every host key must be known beforehand.

Errors say what failed and at which of the hosts.
"""

import base64
import getpass
import logging
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import paramiko

from providers.errors import UnreachableError
from providers.ssh.keys import KeyUnusableError, Login, private_key
from providers.ssh.route import CONFIG, Hop, RouteError, route
from providers.ssh.target import Target

UNCHANGED = "unchanged; nothing was sent to it"

KEEPALIVE_SECONDS = 15
KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
_END_SECONDS = 2.0
"""How long a ProxyCommand may go on running after its connection was closed."""

# paramiko's failures are reported as errors. Without a handler its threads would also print their
# tracebacks to the operator's terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Connection:
    """An open connection to a host, and the connections to the jump hosts that carry it."""

    def __init__(self, target: Target, seconds: float) -> None:
        """Connect and log in; `seconds` limits each step. Raises UnreachableError."""
        self._clients: list[paramiko.SSHClient] = []
        self._command: _Command | None = None
        self._target = target
        self._seconds = seconds
        try:
            self._check_key()
            self.transport = self._opened(self._route())
        except BaseException:
            # sshd would keep the half-open connection for two minutes and count it as an attack.
            self.close()
            raise

    @property
    def is_active(self) -> bool:
        """Whether it can run commands."""
        return self.transport.is_active()

    def close(self) -> None:
        """Close it and what carries it."""
        for client in reversed(self._clients):
            client.close()
        if self._command is not None:
            self._command.close()

    def _check_key(self) -> None:
        """Check the stack's key before connecting: an unusable key is not the server's fault."""
        if self._target.key is None:
            return
        try:
            private_key(self._target.key, self._target.key_passphrase)
        except KeyUnusableError as error:
            remedy = "store the whole file, from its BEGIN line to its END line, in the secret"
            if "passphrase" in str(error):
                remedy = "set ssh.key_passphrase to the secret that holds the key's passphrase"
            raise self._error(f"ssh.key {error}", remedy) from None

    def _route(self) -> Hop:
        try:
            return route(self._target)
        except RouteError as error:
            raise self._error(
                f"{CONFIG} cannot be used ({error})",
                f"correct {CONFIG}; ssh.jump and ssh.key in the stack work without that file",
            ) from error

    def _opened(self, hop: Hop) -> paramiko.Transport:
        before = self._opened(hop.via) if hop.via is not None else None
        words = _Words(hop, self._target)
        client = paramiko.SSHClient()
        self._clients.append(client)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        self._trust(client, hop, words)
        end = self._dialled(hop, before, words)
        try:
            client.connect(
                hop.hostname,
                port=hop.port,
                username=hop.user,
                sock=end,
                timeout=self._seconds,
                banner_timeout=self._seconds,
                auth_timeout=self._seconds,
                auth_strategy=Login(hop, self._target.key, self._target.key_passphrase),
            )
        except paramiko.BadHostKeyException as error:
            raise self._error(
                f"{words.its} SSH host key is {error.key.get_name()} {error.key.get_base64()},"
                " not the one that is pinned",
                "find out why the key changed: another machine may be answering. If the host was"
                f" reinstalled, put its new key into {words.host_key}known_hosts{words.end}",
            ) from error
        except paramiko.AuthenticationException as error:
            raise self._error(
                f"{words.it} rejects the login of {hop.user} ({error})",
                f"{words.key_remedy}; check that {words.user} is correct ({hop.user})",
            ) from error
        except (paramiko.SSHException, EOFError) as error:
            raise self._error(*self._ssh_problem(error, hop, words)) from error
        except OSError as error:
            raise self._unreached(hop, words, _reason(error, self._seconds)) from error
        transport = client.get_transport()
        if transport is None:
            raise AssertionError("connected without a transport")
        transport.set_keepalive(KEEPALIVE_SECONDS)
        return transport

    def _dialled(
        self, hop: Hop, before: paramiko.Transport | None, words: "_Words"
    ) -> socket.socket | paramiko.Channel:
        """Return the byte stream to the hop's SSH server: a socket or a jump host's channel."""
        place = (hop.hostname, hop.port)
        try:
            if before is not None:
                return before.open_channel("direct-tcpip", place, ("", 0), timeout=self._seconds)
            if hop.command is not None:
                self._command = _Command(hop.command)
                return self._command.end
            connection = socket.create_connection(place, self._seconds)
        except paramiko.ChannelException as error:
            raise self._unreached(hop, words, error.text) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._unreached(hop, words, _reason(error, self._seconds)) from error
        # Nagle's algorithm would wait for the other side's delayed acknowledgement: 40 ms, twice a
        # command.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _unreached(self, hop: Hop, words: "_Words", why: str) -> UnreachableError:
        what = f"{words.subject}cannot be reached at {hop.hostname} port {hop.port}"
        if hop.via is None:
            see = f"check that the host is up and {words.place} are correct, then run again"
            return self._error(f"{what} ({why})", see)
        return self._error(
            f"{what} from the jump host {hop.via.hostname} ({why})",
            f"check that the host is up, that {words.place} are correct, and that sshd on"
            f" {hop.via.hostname} allows forwarding to it (AllowTcpForwarding, PermitOpen)",
        )

    def _trust(self, client: paramiko.SSHClient, hop: Hop, words: "_Words") -> None:
        """Tell the client which host key to accept; an unknown key is refused, never learned."""
        if hop.host_key is None:
            self._load_known_hosts(client)
            return
        kind, text = hop.host_key.split()[:2]
        try:
            key = paramiko.PKey.from_type_string(kind, base64.b64decode(text))
        except (ValueError, paramiko.SSHException) as error:
            # The configuration checks the shape of the key, not that its numbers are a key's.
            raise self._error(
                f"{hop.key}.host_key is not a valid {kind} key ({error})",
                "copy it again from /etc/ssh/ssh_host_*_key.pub on the host's console",
            ) from error
        name = hop.hostname if hop.port == 22 else f"[{hop.hostname}]:{hop.port}"
        client.get_host_keys().add(name, kind, key)

    def _load_known_hosts(self, client: paramiko.SSHClient) -> None:
        text = ""
        for file in KNOWN_HOSTS:
            try:
                text += Path(file).expanduser().read_text("utf-8", errors="replace") + "\n"
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._error(
                    f"{file} cannot be read ({error.strerror})",
                    "make it readable for this user, or set ssh.host_key",
                ) from error
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as known:
            known.writelines(f"{line}\n" for line in _host_keys(text))
            known.flush()
            client.load_system_host_keys(known.name)

    def _ssh_problem(self, error: Exception, hop: Hop, words: "_Words") -> tuple[str, str]:
        if "not found in known_hosts" in str(error):
            unset = f"{hop.key}.host_key is not set and " if hop.key else ""
            return (
                f"{words.its} SSH host key is not known: {unset}known_hosts of"
                f" {getpass.getuser()} has no key for {hop.hostname}",
                f"compare what `ssh-keyscan` prints with /etc/ssh/ssh_host_ed25519_key.pub on the"
                f" host's console, then set {hop.key or 'ssh.jump'}.host_key to it",
            )
        why = str(error) or "the connection was closed"
        if self._command is not None and (said := self._command.said()):
            why = f"{why}; the ProxyCommand says: {said}"
        return (
            f"{words.subject}SSH fails ({why})",
            "check that sshd runs there and that `ssh` can log in from this machine",
        )

    def _error(self, what: str, remedy: str) -> UnreachableError:
        return UnreachableError(self._target.name, what, UNCHANGED, remedy)


def _host_keys(text: str) -> Iterator[str]:
    """Yield the lines of known_hosts files (sshd(8)) that paramiko reads as keys of hosts.

    It has no certificate authorities, and fails at the first line that it cannot read. A revoked
    key is left out wherever it is, so that it is unknown.
    """
    lines = [" ".join(line.split()) for line in text.splitlines()]
    revoked = {
        words[3] for line in lines if (words := line.split())[:1] == ["@revoked"] and words[3:]
    }
    for line in lines:
        with suppress(paramiko.hostkeys.InvalidHostKey, paramiko.SSHException, ValueError):
            if paramiko.hostkeys.HostKeyEntry.from_line(line) and line.split()[2] not in revoked:
                yield line


class _Words:
    """How messages name a hop: the target is "it", a jump host has its address."""

    def __init__(self, hop: Hop, target: Target) -> None:
        jump = f"its jump host {hop.hostname}"
        last = hop.key == "ssh"
        self.it = "it" if last else jump
        self.its = "its" if last else f"{jump}'s"
        self.subject = "" if last else f"{jump}: "
        key = hop.key
        self.user = f"{key}.user" if key else f"its User in {CONFIG}"
        self.place = (
            f"{key}.address and {key}.port" if key else f"its HostName and Port in {CONFIG}"
        )
        self.host_key = f"{key}.host_key (or " if key else ""
        self.end = ")" if key else ""
        self.key_remedy = (
            "add a key that the host accepts to your SSH agent, or name it as IdentityFile in"
            f" {CONFIG}"
            if target.key is None
            else f"add the public half of ssh.key to authorized_keys of {hop.user} there"
        )


class _Command:
    """A running ProxyCommand; unlike with paramiko's own class, its exit is noticed at once."""

    def __init__(self, command: str) -> None:
        self.end, theirs = socket.socketpair()
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the rest
        with theirs:
            # As ssh_config(5) says: the shell runs it with exec.
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
                start_new_session=True,
            )

    def said(self) -> str:
        """Return the end of what it wrote to standard error."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS / 4)
        self._stderr.seek(0)
        return self._stderr.read()[-500:].decode(errors="replace").strip()

    def close(self) -> None:
        """Stop it."""
        self.end.close()
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()


def _reason(error: BaseException, seconds: float) -> str:
    if isinstance(error, TimeoutError) or "Timeout" in str(error):
        return f"no answer within {seconds:g} s"
    return str(error) or type(error).__name__
