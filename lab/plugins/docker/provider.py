"""The provider: what the CLI asks, for whichever resource type it asks it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping

from pulumi.provider.experimental import provider as sdk

from lab.plugins.docker.container import Container
from lab.plugins.docker.engine import DockerEngine, Engine
from lab.plugins.docker.network import Network
from lab.plugins.docker.resource import Resource, Work
from lab.plugins.docker.storage import RemoteImage, Volume
from lab.plugins.schema import (
    DEFAULTS_KEY,
    Change,
    after_read,
    changes,
    checked,
    deleted_first,
    details,
    inputs_after_read,
    planned,
)
from lab.plugins.serve import EngineLog
from lab.plugins.values import (
    Plain,
    PluginError,
    Properties,
    boxed,
    boxed_all,
    has_unknown,
    plain,
    plain_all,
    text,
)

VERSION = "5.2.0"
RESOURCES: Mapping[str, Resource] = {
    resource.schema.token: resource
    for resource in (Network(), Container(), Volume(), RemoteImage())
}
_DEFAULT_HOST = "unix:///var/run/docker.sock"
# What the CLI adds to every provider's configuration.
_OF_THE_CLI = frozenset({"version", "pluginDownloadURL", "pluginChecksums"})
_KINDS = {
    Change.ADD: (sdk.PropertyDiffKind.ADD, sdk.PropertyDiffKind.ADD_REPLACE),
    Change.DELETE: (sdk.PropertyDiffKind.DELETE, sdk.PropertyDiffKind.DELETE_REPLACE),
    Change.UPDATE: (sdk.PropertyDiffKind.UPDATE, sdk.PropertyDiffKind.UPDATE_REPLACE),
}


class DockerProvider(sdk.Provider):
    """One Docker host, as configured; opens no connection before something is to be done there."""

    def __init__(self, log: EngineLog, engine: Engine | None = None) -> None:
        self._log = log
        self._engine = engine
        self._cancelled = threading.Event()

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
        """Note where the host is. No ping: a plain preview shall need no host."""
        settings = plain_all(request.args)
        if not any(has_unknown(value) for value in settings.values()) and self._engine is None:
            host = text(settings, "host", _DEFAULT_HOST) or _DEFAULT_HOST
            self._engine = DockerEngine(host, _ssh_options(settings.get("sshOpts")))
        # Without accept_secrets the CLI unwraps secrets and wraps what comes back of them.
        return sdk.ConfigureResponse(accept_secrets=False, supports_preview=True)

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        """Fill in defaults; refuse what the plugin or this stand-in does not know."""
        resource = _resource(request.type)
        inputs, failures = checked(
            resource.schema,
            request.name,
            plain_all(request.old_inputs),
            plain_all(request.new_inputs),
            request.random_seed,
        )
        return sdk.CheckResponse(
            inputs=boxed_all(inputs),
            failures=[sdk.CheckFailure(path, reason) for path, reason in failures],
        )

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        """What changes, what of it replaces, and which of the two comes first then."""
        schema = _resource(request.type).schema
        state, news = plain_all(request.old_state), plain_all(request.new_inputs)
        found = changes(schema, state, news)
        replaces = [key for key in found if schema.fields[key].replace]
        detailed = {
            # Compared with the state and not with the old inputs: what drifted is in the former.
            path: sdk.PropertyDiff(_KINDS[change][schema.fields[key].replace], input_diff=False)
            for key in found
            for path, change in details(
                schema.fields[key], key, state.get(key), news.get(key)
            ).items()
        }
        return sdk.DiffResponse(
            changes=bool(found),
            replaces=replaces,
            delete_before_replace=bool(replaces) and deleted_first(schema, news),
            diffs=list(found),
            detailed_diff=detailed,
        )

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        """Create, or say what a create would give."""
        resource = _resource(request.type)
        inputs = plain_all(request.properties)
        if request.preview:
            outputs = planned(resource.schema, {}, inputs)
            return sdk.CreateResponse(resource_id="", properties=boxed_all(outputs))
        work = self._work(request.urn)
        identity, live = await asyncio.to_thread(resource.create, work, inputs)
        state = after_read(resource.schema, inputs, live)
        return sdk.CreateResponse(resource_id=identity, properties=boxed_all(state))

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        """What is there now; an empty id if it is gone."""
        resource = _resource(request.type)
        prior, inputs = plain_all(request.properties), plain_all(request.inputs)
        work = self._work(request.urn)
        found = await asyncio.to_thread(resource.read, work, request.resource_id, prior or inputs)
        if found is None:
            return sdk.ReadResponse(resource_id="")
        identity, live = found
        state = after_read(resource.schema, prior, live)
        given = inputs_after_read(inputs, state) if inputs else _importable(resource, state)
        return sdk.ReadResponse(identity, boxed_all(resource.refreshed(state)), boxed_all(given))

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        """Update in place, or say what an update would give."""
        resource = _resource(request.type)
        olds, news = plain_all(request.olds), plain_all(request.news)
        expected = planned(resource.schema, olds, news)
        if request.preview:
            return sdk.UpdateResponse(boxed_all(expected))
        work = self._work(request.urn)
        live = await asyncio.to_thread(resource.update, work, request.resource_id, olds, news)
        return sdk.UpdateResponse(boxed_all(after_read(resource.schema, expected, live)))

    async def delete(self, request: sdk.DeleteRequest) -> None:
        """Remove it from the host."""
        resource = _resource(request.type)
        work = self._work(request.urn)
        state = plain_all(request.properties)
        await asyncio.to_thread(resource.delete, work, request.resource_id, state)

    async def invoke(self, request: sdk.InvokeRequest) -> sdk.InvokeResponse:
        """Refused: the program looks nothing up on a host."""
        raise PluginError(f"the lab's stand-in of pulumi-resource-docker has no {request.tok}")

    async def get_schema(self, request: sdk.GetSchemaRequest) -> sdk.GetSchemaResponse:
        """No more than the name; the SDK knows the types."""
        return sdk.GetSchemaResponse(json.dumps({"name": "docker", "version": VERSION}))

    async def cancel(self) -> None:
        """End all waiting."""
        self._cancelled.set()

    def _work(self, urn: str) -> Work:
        if self._engine is None:
            raise PluginError("docker provider: its host is not known yet")
        return Work(self._engine, lambda line: self._log.status(urn, line), self._cancelled)


def _resource(kind: str) -> Resource:
    # The SDK takes it from the URN, where the types of all parents stand before it.
    token = kind.rpartition("$")[2]
    if token not in RESOURCES:
        known = ", ".join(sorted(RESOURCES))
        raise PluginError(
            f"the lab's stand-in of pulumi-resource-docker has no {token}, only {known}"
        )
    return RESOURCES[token]


def _importable(resource: Resource, state: Properties) -> Properties:
    fields = resource.schema.fields
    return {key: value for key, value in state.items() if key in fields} | {DEFAULTS_KEY: []}


def _ssh_options(value: Plain) -> list[str]:
    """The options for ssh; SDKs send lists in a provider's configuration as JSON text."""
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
