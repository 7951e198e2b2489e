"""HTTP over `ssh … docker system dial-stdio`, one ssh process per connection, like docker's CLI.

docker-py has an SSH transport too, but without options for ssh: no ControlMaster, no pinned host
key.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

import requests
import urllib3.connection
import urllib3.connectionpool
from docker.transport.basehttpadapter import BaseHTTPAdapter

from lab.plugins.values import PluginError

# Below sshd's MaxSessions (10 per connection) and MaxStartups (10 unauthenticated): the limits with
# and without a shared ControlMaster.
CONNECTIONS_PER_HOST = 8
_READ_SECONDS = 600.0
_EXIT_SECONDS = 2.0
_STDERR_BYTES = 4000


@dataclass(frozen=True)
class SshTarget:
    """The address of an ssh:// host and the options of ssh."""

    url: str
    options: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """Return the command line of docker's connhelper (cli/connhelper/ssh of docker 28)."""
        parts = urlsplit(self.url)
        if parts.scheme != "ssh" or not parts.hostname:
            raise PluginError(f"docker provider: host {self.url!r} is no ssh://user@host:port")
        if parts.password or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise PluginError(f"docker provider: host {self.url!r} may hold user, host, port only")
        line = ["ssh"]
        if not any(option.startswith("ConnectTimeout") for option in self.options):
            line += ["-o", "ConnectTimeout=30"]
        line += ["-T", *self.options]
        if parts.username:
            line += ["-l", parts.username]
        if parts.port:
            line += ["-p", str(parts.port)]
        return [*line, "--", parts.hostname, "docker", "system", "dial-stdio"]


class _Connection(urllib3.connection.HTTPConnection):
    """An HTTP connection whose other end is the standard input and output of an ssh process."""

    def __init__(self, target: SshTarget) -> None:
        super().__init__("docker", timeout=_READ_SECONDS)
        self._target = target
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None

    def connect(self) -> None:
        """Start ssh; its stderr is kept for the error message."""
        if shutil.which("ssh") is None:
            raise PluginError("docker provider: no ssh on PATH; install the OpenSSH client")
        # A file, not a pipe: ControlPersist's master keeps stderr open.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                self._target.command(),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
            )
        ours.settimeout(_READ_SECONDS)
        self.sock = ours

    def getresponse(self) -> Any:  # urllib3's differs from http.client's
        """Return the response, or raise an error with ssh's message."""
        try:
            return super().getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise PluginError(self._explained(error)) from error

    def _explained(self, error: Exception) -> str:
        said, code = "", None
        if self._process is not None and self._stderr is not None:
            try:
                code = self._process.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                code = None
            self._stderr.seek(0)
            said = self._stderr.read(_STDERR_BYTES).decode(errors="replace").strip(" \n.")
        ended = f"ssh ended with status {code}" if code is not None else str(error)
        return (
            f"docker provider: cannot reach the Docker Engine at {self._target.url}: {ended}"
            f"{': ' + said if said else ''}. Nothing is known of the host's state beyond what "
            "earlier messages say; mend the connection and run the same command again."
        )

    def close(self) -> None:
        """Close the connection; ssh ends with its input.

        Its stderr is left to the garbage collector: http.client closes before it reports that the
        other side did.
        """
        super().close()
        if self._process is not None:
            self._process.poll()


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    """A limited number of connections, reused by all threads."""

    def __init__(self, target: SshTarget) -> None:
        super().__init__("docker", maxsize=CONNECTIONS_PER_HOST, block=True)
        self._target = target

    def _new_conn(self) -> _Connection:
        return _Connection(self._target)


class SshAdapter(BaseHTTPAdapter):
    """The adapter with which a docker-py client connects through ssh."""

    def __init__(self, host: str, options: Sequence[str]) -> None:
        self._pool = _Pool(SshTarget(host, tuple(options)))
        super().__init__()

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> urllib3.connectionpool.ConnectionPool:
        """Return the only pool: the URL's host is a placeholder."""
        return self._pool

    def request_url(
        self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None
    ) -> str:
        """Return the path alone: proxies do not apply to ssh."""
        return request.path_url

    def close(self) -> None:
        """Close all idle connections."""
        self._pool.close()
        super().close()
