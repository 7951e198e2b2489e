"""Logging in at one SSH server: with which keys, in which order, and what became of each."""

import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import paramiko
from paramiko.agent import AgentSSH
from paramiko.auth_strategy import AuthSource, AuthStrategy, SourceResult
from paramiko.ssh_exception import BadAuthenticationType

from providers.privatekey import KeyUnusableError, private_key
from providers.route import Hop

AGENT_SECONDS = 10.0
"""Limit for the agent's list of keys; what it signs may wait for a person's touch."""

_Candidate = tuple[str, Callable[[], paramiko.PKey]]


def _itself(key: paramiko.PKey) -> paramiko.PKey:
    return key


class _Agent(AgentSSH):
    """The agent at one socket; no agent is one without keys."""

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
    """Tries keys until one is taken; what came of each is told when none is.

    As the `ssh` program does, which Docker's provider runs: a key that the stack gives comes
    first, then the files of the user's ssh config, then the agent's. With a key or passphrase from
    the stack the user's agent is not asked. A jump host that only their config names is their own.
    """

    def __init__(self, hop: Hop, key: str | None, passphrase: str | None) -> None:
        super().__init__(paramiko.SSHConfig())
        self._hop = hop
        self._key = key if hop.key else None
        self._passphrase = passphrase if hop.key else None
        ours = self._key is not None or self._passphrase is not None
        self._socket = "" if ours else hop.agent
        self._tried: set[bytes] = set()
        self._tales: list[str] = []

    def get_sources(self) -> Iterator[AuthSource]:
        """Return nothing: `authenticate` has its own way, which tells more."""
        return iter(())

    def authenticate(self, transport: paramiko.Transport) -> list[SourceResult]:
        """Log in. Raises AuthenticationException, whose text says what was tried."""
        agent = _Agent(self._socket)
        if agent.trouble:
            self._tales.append(agent.trouble)
        try:
            for label, load in self._candidates(agent):
                if self._taken(transport, label, load):
                    return []
                if not transport.is_active():
                    self._tales.append("then it ended the connection")
                    break
        finally:
            agent.close()
        raise paramiko.AuthenticationException(", ".join(self._tales) or "there is no key to try")

    def _candidates(self, agent: _Agent) -> Iterator[_Candidate]:
        if self._key is not None:
            text = self._key
            yield "ssh.key", lambda: private_key(text, self._passphrase)
        for file in self._hop.files:
            if Path(f"{file}-cert.pub").is_file():
                yield f"{file}-cert.pub", self._certified(file)
            if file.suffix == ".pub":
                continue  # It names a key of the agent.
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

    def _taken(
        self, transport: paramiko.Transport, label: str, load: Callable[[], paramiko.PKey]
    ) -> bool:
        try:
            key = load()
        except KeyUnusableError as error:
            self._tales.append(f"{label} {error}")
            return False
        except (OSError, ValueError, paramiko.SSHException) as error:
            why = error.strerror if isinstance(error, OSError) else "is not readable"
            self._tales.append(f"{label} cannot be used ({why})")
            return False
        shown = key.public_blob.key_blob if key.public_blob else key.asbytes()
        if shown in self._tried:
            return False
        self._tried.add(shown)
        try:
            further = transport.auth_publickey(self._hop.user, key)
        except BadAuthenticationType as error:
            # Whatever key comes next, the answer will be this one.
            raise paramiko.AuthenticationException(
                f"it lets nobody in with a key, only by {', '.join(error.allowed_types)}"
            ) from error
        except paramiko.AuthenticationException:
            self._tales.append(f"{label} was refused")
            return False
        except (paramiko.SSHException, OSError, EOFError) as error:
            self._tales.append(f"{label} failed ({str(error) or type(error).__name__})")
            return False
        if further:
            self._tales.append(f"{label} was taken, but it wants {', '.join(further)} too")
        return not further
