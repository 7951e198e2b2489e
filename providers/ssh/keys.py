"""Private keys as text, and the login at one SSH server with each key that may be tried.

Keys are opened in memory and written nowhere.
"""

import base64
import io
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from paramiko.agent import AgentSSH
from paramiko.auth_strategy import AuthSource, AuthStrategy, SourceResult
from paramiko.ssh_exception import BadAuthenticationType

from providers.ssh.route import Hop

AGENT_SECONDS = 10.0
"""Limit for the agent's list of keys. A signature has none: it may wait for a person's touch."""

_OPENSSH = "-----BEGIN OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"

_KINDS: tuple[tuple[type, type[paramiko.PKey]], ...] = (
    (ed25519.Ed25519PrivateKey, paramiko.Ed25519Key),
    (rsa.RSAPrivateKey, paramiko.RSAKey),
    (ec.EllipticCurvePrivateKey, paramiko.ECDSAKey),
)

_Key = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class KeyUnusableError(ValueError):
    """Says why a text cannot be used as a key; never quotes a part of the text."""


def private_key(text: str, passphrase: str | None) -> paramiko.PKey:
    """Return the key that logs in. Raises KeyUnusableError."""
    key = _opened(text, passphrase)
    kind = next(ours for theirs, ours in _KINDS if isinstance(key, theirs))
    return kind.from_private_key(io.StringIO(_openssh(key)))


def opened(text: str, passphrase: str | None) -> str:
    """Return the key in OpenSSH's format and without its passphrase. Raises KeyUnusableError."""
    return _openssh(_opened(text, passphrase))


def _openssh(key: _Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    ).decode()


def _opened(text: str, passphrase: str | None) -> _Key:
    # A configuration may drop the last newline, or have the newlines of Windows.
    text = "\n".join(text.strip().splitlines()) + "\n"
    locked = _locked(text)
    if locked and not passphrase:
        raise KeyUnusableError("needs a passphrase")
    load = serialization.load_pem_private_key
    if text.startswith(_OPENSSH):
        load = serialization.load_ssh_private_key
    try:
        key = load(text.encode(), passphrase.encode() if locked and passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own message is dropped: it might quote the text.
        why = "cannot be decrypted with its passphrase" if locked else "is not a private key"
        raise KeyUnusableError(why) from None
    if not isinstance(key, _Key):
        raise KeyUnusableError("is of a type that SSH servers do not accept")
    return key


def _locked(text: str) -> bool:
    """Return whether the key's header says that it needs a passphrase."""
    if not text.startswith(_OPENSSH):
        return text.startswith("-----BEGIN ENCRYPTED") or "\nProc-Type: 4,ENCRYPTED\n" in text
    try:
        content = base64.b64decode("".join(text.splitlines()[1:-1]))
    except ValueError:
        return False
    # PROTOCOL.key of OpenSSH: the magic, then the length of the cipher's name, then the name.
    return content.startswith(_MAGIC) and not content[len(_MAGIC) + 4 :].startswith(b"none\0")


_Candidate = tuple[str, Callable[[], paramiko.PKey]]


def _itself(key: paramiko.PKey) -> paramiko.PKey:
    return key


class _Agent(AgentSSH):
    """The agent at one socket. An agent that cannot be used has no keys; `trouble` says why."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.trouble = ""
        if not path:
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(AGENT_SECONDS)
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined]  # as paramiko's own Agent does
            connection.settimeout(None)
        except (OSError, paramiko.SSHException) as error:
            connection.close()
            self.trouble = f"the SSH agent at {path} does not answer ({error})"

    def close(self) -> None:
        """End the connection to the agent."""
        self._close()  # type: ignore[attr-defined]  # as paramiko's own Agent does


class Login(AuthStrategy):
    """Tries one key after another until the server accepts one, and reports each that failed.

    The order is that of the `ssh` program, which Docker's provider runs: the stack's key, the files
    of the user's ssh config, the agent's keys. The agent is not asked where the stack has a key or
    a passphrase. The stack's key is not tried at a jump host that only the user's config names.
    """

    def __init__(self, hop: Hop, key: str | None, passphrase: str | None) -> None:
        super().__init__(paramiko.SSHConfig())
        self._hop = hop
        self._key = key if hop.key else None
        self._passphrase = passphrase if hop.key else None
        ours = self._key is not None or self._passphrase is not None
        self._socket = "" if ours else hop.agent
        self._tried: set[bytes] = set()
        self._failures: list[str] = []

    def get_sources(self) -> Iterator[AuthSource]:
        """Return nothing: `authenticate` reports more than the base class's own loop."""
        return iter(())

    def authenticate(self, transport: paramiko.Transport) -> list[SourceResult]:
        """Log in. Raises AuthenticationException, whose text says what was tried."""
        agent = _Agent(self._socket)
        if agent.trouble:
            self._failures.append(agent.trouble)
        try:
            for label, load in self._candidates(agent):
                if self._accepted(transport, label, load):
                    return []
                if not transport.is_active():
                    self._failures.append("then the server closed the connection")
                    break
        finally:
            agent.close()
        raise paramiko.AuthenticationException(", ".join(self._failures) or "no key to try")

    def _candidates(self, agent: _Agent) -> Iterator[_Candidate]:
        if self._key is not None:
            text = self._key
            yield "ssh.key", lambda: private_key(text, self._passphrase)
        for file in self._hop.files:
            if Path(f"{file}-cert.pub").is_file():
                yield f"{file}-cert.pub", self._certified(file)
            if file.suffix == ".pub":
                continue  # It selects a key of the agent.
            yield str(file), self._from(file)
        for key in self._agent_keys(agent):
            yield f"the agent's {key.comment or key.get_name()}", partial(_itself, key)

    def _from(self, file: Path) -> Callable[[], paramiko.PKey]:
        return lambda: private_key(file.read_text(), self._passphrase)

    def _certified(self, file: Path) -> Callable[[], paramiko.PKey]:
        def load() -> paramiko.PKey:
            key = private_key(file.read_text(), self._passphrase)
            key.load_certificate(f"{file}-cert.pub")
            return key

        return load

    def _agent_keys(self, agent: _Agent) -> list[paramiko.AgentKey]:
        if not self._hop.only_files:
            return list(agent.get_keys())
        named = set()
        for file in self._hop.files:
            public = file if file.suffix == ".pub" else Path(f"{file}.pub")
            if public.is_file():
                named.add(" ".join(public.read_text(errors="replace").split()[:2]))
        return [key for key in agent.get_keys() if f"{key.get_name()} {key.get_base64()}" in named]

    def _accepted(
        self, transport: paramiko.Transport, label: str, load: Callable[[], paramiko.PKey]
    ) -> bool:
        try:
            key = load()
        except KeyUnusableError as error:
            self._failures.append(f"{label} {error}")
            return False
        except (OSError, ValueError, paramiko.SSHException) as error:
            why = error.strerror if isinstance(error, OSError) else "not readable"
            self._failures.append(f"{label} cannot be used ({why})")
            return False
        shown = key.public_blob.key_blob if key.public_blob else key.asbytes()
        if shown in self._tried:
            return False
        self._tried.add(shown)
        try:
            further = transport.auth_publickey(self._hop.user, key)
        except BadAuthenticationType as error:
            # The answer would be the same for every other key.
            raise paramiko.AuthenticationException(
                f"the server accepts no keys, only {', '.join(error.allowed_types)}"
            ) from error
        except paramiko.AuthenticationException:
            self._failures.append(f"{label} was refused")
            return False
        except (paramiko.SSHException, OSError, EOFError) as error:
            self._failures.append(f"{label} failed ({str(error) or type(error).__name__})")
            return False
        if further:
            self._failures.append(
                f"{label} was accepted, but the server also requires {', '.join(further)}"
            )
        return not further
