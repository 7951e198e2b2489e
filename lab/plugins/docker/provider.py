"""The docker plugin: one Docker host, as configured."""

from __future__ import annotations

import json

from pulumi.provider.experimental import provider as sdk

from lab.plugins.docker.container import Container
from lab.plugins.docker.engine import DockerEngine, Engine
from lab.plugins.docker.network import Network
from lab.plugins.docker.storage import RemoteImage, Volume
from lab.plugins.docker.work import DockerWork
from lab.plugins.provider import StandIn
from lab.plugins.serve import EngineLog
from lab.plugins.values import Plain, PluginError, boxed, has_unknown, plain, plain_all, text

# Added by the CLI to every provider's configuration.
_OF_THE_CLI = frozenset({"version", "pluginDownloadURL", "pluginChecksums"})


class DockerProvider(StandIn[DockerWork]):
    """Connects only for an operation on the host."""

    name = "docker"
    version = "5.2.0"

    def __init__(self, log: EngineLog, engine: Engine | None = None) -> None:
        super().__init__([Network(), Container(), Volume(), RemoteImage()], log)
        self._engine = engine

    def work(self, urn: str) -> DockerWork:
        """Return the call with the host's Engine."""
        if self._engine is None:
            raise PluginError("docker provider: its host is not known yet")
        name = urn.rpartition("::")[2]
        return DockerWork(
            name, lambda line: self.log.status(urn, line), self.cancelled, self._engine
        )

    async def check_config(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        """Refuse what this stand-in does not implement; write lists as the real plugin does."""
        failures = [
            sdk.CheckFailure(key, "is not implemented by the lab's stand-in, which knows host "
                             "and sshOpts; credentials come from ssh's own configuration")
            for key in sorted(request.new_inputs.keys() - {"host", "sshOpts"} - _OF_THE_CLI)
        ]  # fmt: skip
        inputs = dict(request.new_inputs)
        if "sshOpts" in inputs and not has_unknown(plain(inputs["sshOpts"])):
            # SDKs send a list as JSON text too, but with spaces in it.
            options = _ssh_options(plain(inputs["sshOpts"]))
            written = json.dumps(options, separators=(",", ":"), ensure_ascii=False)
            inputs["sshOpts"] = boxed(written, secret=inputs["sshOpts"].is_secret)
        return sdk.CheckResponse(inputs=inputs, failures=failures)

    async def configure(self, request: sdk.ConfigureRequest) -> sdk.ConfigureResponse:
        """Record the host. No ping: a plain preview must need no host."""
        settings = plain_all(request.args)
        if not any(has_unknown(value) for value in settings.values()) and self._engine is None:
            self._engine = DockerEngine(
                text(settings, "host"), _ssh_options(settings.get("sshOpts"))
            )
        return await super().configure(request)


def _ssh_options(value: Plain) -> list[str]:
    """Return the options for ssh; SDKs send lists in a provider's configuration as JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise PluginError(f"docker provider: sshOpts is no JSON list: {error}") from error
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise PluginError("docker provider: sshOpts must be a list of strings")
    return [str(item) for item in value]
