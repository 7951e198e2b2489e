"""The one seam to a Docker Engine: JSON in, JSON out, over docker-py.

docker-py's own methods support fewer of the API's options than the plugin has inputs; so its client
is used for transport, version, errors and registry credentials, with request bodies from here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from lab.plugins.values import PluginError

# JSON of the Engine API: https://docs.docker.com/reference/api/engine/, without a schema.
Json = dict[str, Any]

_TIMEOUT_SECONDS = 600
# Requests and answers are written for 1.41 (Docker 20.10), and are the same up to this version.
_NEWEST_API = (1, 51)


class EngineError(PluginError):
    """The Engine answered with a refusal."""


class NotFoundError(EngineError):
    """The Engine answered that the object does not exist."""


class Engine(Protocol):
    """A Docker Engine, connected or not."""

    name: str

    def reach(self) -> None:
        """Connect, unless that has been done; a plain PluginError if it fails."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:  # JSON
        """Return the JSON that GET answers.

        Raises NotFoundError or EngineError for the Engine's refusals, and a plain PluginError if it
        could not be asked.
        """

    def post(
        self, path: str, body: Json | None = None, query: Mapping[str, str] | None = None
    ) -> Any:  # JSON
        """Return the JSON that POST answers, None for an empty answer; raises like `get`."""

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> None:
        """Send DELETE; raises like `get`."""

    def upload(self, path: str, archive: bytes, query: Mapping[str, str]) -> None:
        """Send a tar archive by PUT; raises like `get`."""

    def pull(self, image: str) -> None:
        """Pull an image from its registry; raises EngineError with the registry's own message."""


def segment(name: str) -> str:
    """Quote a name for a path; the Engine needs the slashes and colons of image names."""
    return quote(name, safe="/:@")


class DockerEngine:
    """An Engine behind ssh:// or unix://; connects at the first request."""

    def __init__(self, host: str, ssh_options: Sequence[str]) -> None:
        self.name = host
        self._ssh_options = tuple(ssh_options)
        self._lock = threading.Lock()
        self._client: Any = None
        self._failures = 0
        self._failure = ""
        if not host.startswith(("ssh://", "unix://")):
            raise PluginError(
                f"docker provider: host {host!r} is not implemented by the lab's stand-in, "
                "which knows ssh:// and unix://"
            )

    def reach(self) -> None:
        """As `Engine.reach`."""
        self._connected()

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:  # JSON
        """As `Engine.get`."""
        return self._call("GET", path, None, query).json()

    def post(
        self, path: str, body: Json | None = None, query: Mapping[str, str] | None = None
    ) -> Any:  # JSON
        """As `Engine.post`."""
        # No body differs from an empty one: the Engine refuses a start with a body.
        answer = self._call("POST", path, body, query)
        return answer.json() if answer.content else None

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> None:
        """As `Engine.delete`."""
        self._call("DELETE", path, None, query)

    def upload(self, path: str, archive: bytes, query: Mapping[str, str]) -> None:
        """As `Engine.upload`."""
        self._call("PUT", path, archive, query)

    def pull(self, image: str) -> None:
        """As `Engine.pull`."""
        for line in self._pull_lines(image):
            if "error" in line:
                raise EngineError(f"unable to pull image {image}: {line['error']}")

    def _pull_lines(self, image: str) -> Iterator[Json]:
        client = self._connected()
        from docker.errors import APIError
        from docker.utils import parse_repository_tag

        repository, tag = parse_repository_tag(image)
        try:
            yield from client.pull(repository, tag=tag or "latest", stream=True, decode=True)
        except APIError as error:
            raise EngineError(f"unable to pull image {image}: {error.explanation}") from error

    def _call(
        self, method: str, path: str, body: object, query: Mapping[str, str] | None
    ) -> Any:  # a requests.Response
        client = self._connected()
        import requests

        data, headers = None, {}
        if isinstance(body, bytes):
            data, headers = body, {"Content-Type": "application/x-tar"}
        elif body is not None:
            data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        url = f"{client.base_url}/v{client.api_version}{path}"
        try:
            answer = client.request(
                method, url, params=query, data=data, headers=headers, timeout=_TIMEOUT_SECONDS
            )
        except requests.RequestException as error:
            raise PluginError(
                f"docker provider: the Docker Engine at {self.name} does not answer: {error}"
            ) from error
        if answer.status_code >= 400:
            kind = NotFoundError if answer.status_code == 404 else EngineError
            raise kind(_message(answer))
        return answer

    def _connected(self) -> Any:  # docker.APIClient, imported only when needed
        # The first call alone makes the first connection: ssh processes that start together would
        # all become masters, and sshd counts each of them. Waiting calls share its failure instead
        # of running into one timeout after the other.
        failures = self._failures
        with self._lock:
            if self._client is None:
                if self._failures != failures:
                    raise PluginError(self._failure)
                try:
                    self._client = self._connect()
                except PluginError as error:
                    self._failures += 1
                    self._failure = str(error)
                    raise
            return self._client

    def _connect(self) -> Any:  # docker.APIClient
        # Imported here: a preview asks no Engine and must not wait for docker-py.
        import docker
        import requests

        from lab.plugins.docker.transport import CONNECTIONS_PER_HOST, SshAdapter

        over_ssh = self.name.startswith("ssh://")
        adapter = SshAdapter(self.name, self._ssh_options) if over_ssh else None

        def client(version: str) -> docker.APIClient:
            made = docker.APIClient(
                base_url="http://docker:80" if over_ssh else self.name,
                version=version,
                timeout=_TIMEOUT_SECONDS,
                max_pool_size=CONNECTIONS_PER_HOST,
            )
            if adapter is not None:
                made.mount("http://", adapter)
            return made

        try:
            offered = str(client("1.41").version(api_version=False)["ApiVersion"])
        except requests.RequestException as error:
            raise PluginError(
                f"docker provider: the Docker Engine at {self.name} does not answer: {error}"
            ) from error
        major, minor = (int(part) for part in offered.split("."))
        return client(".".join(map(str, min((major, minor), _NEWEST_API))))


def _message(answer: Any) -> str:  # a requests.Response
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return str(answer.text).strip() or str(answer.reason)
