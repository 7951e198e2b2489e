"""The provider: commands on hosts and here, and copies to hosts."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import Callable, Mapping

from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue

from lab.plugins.command import copy
from lab.plugins.command.run import LONGEST_SECONDS, Job, run_local, run_remote
from lab.plugins.command.schemas import COPY, LOCAL, REMOTE
from lab.plugins.command.ssh import Connection, Connections
from lab.plugins.schema import DEFAULTS_KEY, Schema, changes, checked, details
from lab.plugins.serve import EngineLog
from lab.plugins.values import (
    UNKNOWN,
    Plain,
    PluginError,
    Properties,
    boxed,
    flag,
    mapping,
    plain_all,
    strings,
    text,
    texts,
)

VERSION = "1.2.1"
_SCHEMAS = {schema.token: schema for schema in (REMOTE, COPY, LOCAL)}
_STREAMS = ("stdout", "stderr")
# What a command prints may hold what it was given: a secret among these makes its output one.
_COMMANDS = {"create", "update", "delete"}
_TELLING = (*sorted(_COMMANDS), "environment", "stdin")
_ID_BYTES = 4


class CommandProvider(sdk.Provider):
    """Runs commands; keeps its SSH connections for as long as the CLI keeps it."""

    def __init__(self, log: EngineLog) -> None:
        self._log = log
        self._cancelled = threading.Event()
        self._connections = Connections(self._cancelled)

    async def configure(self, request: sdk.ConfigureRequest) -> sdk.ConfigureResponse:
        """Nothing to configure; secrets come as such and go back as such."""
        return sdk.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        """Fill in defaults; refuse what the plugin or this stand-in does not know."""
        schema = _schema(request.type)
        news = plain_all(request.new_inputs)
        inputs, failures = checked(schema, request.name, {}, news, request.random_seed)
        del inputs[DEFAULTS_KEY]
        if schema is COPY and "source" in news and (reason := copy.refusal(news["source"])):
            failures.append(("source", reason))
        return sdk.CheckResponse(
            inputs=_boxed(inputs, _secret_keys(request.new_inputs)),
            failures=[sdk.CheckFailure(path, reason) for path, reason in failures],
        )

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        """Any change runs the command again; one of `triggers` makes a new resource of it."""
        schema = _schema(request.type)
        state, news = plain_all(request.old_state), plain_all(request.new_inputs)
        found = changes(schema, state, news)
        kinds = sdk.PropertyDiffKind
        detailed = {
            path: sdk.PropertyDiff(
                kinds[f"{change.name}_REPLACE" if schema.fields[key].replace else change.name],
                input_diff=False,
            )
            for key in found
            for path, change in details(
                schema.fields[key], key, state.get(key), news.get(key)
            ).items()
        }
        return sdk.DiffResponse(
            changes=bool(found),
            replaces=[key for key in found if schema.fields[key].replace],
            diffs=list(found),
            detailed_diff=detailed,
        )

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        """Run `create`, or copy."""
        schema = _schema(request.type)
        if request.preview:
            return sdk.CreateResponse("", _expected(schema, request.properties))
        inputs = plain_all(request.properties)
        do = self._doing(schema, request.urn, request.properties, request.timeout)
        outputs = await asyncio.to_thread(do, text(inputs, "create"), {})
        identity = secrets.token_hex(_ID_BYTES)
        if schema is not COPY:
            identity = f"{request.name}{identity}"
        return sdk.CreateResponse(identity, _state(request.properties, outputs))

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        """Run `update`, or `create` where there is none; copy again."""
        schema = _schema(request.type)
        if request.preview:
            return sdk.UpdateResponse(_expected(schema, request.news))
        olds, news = plain_all(request.olds), plain_all(request.news)
        command = text(news, "update") or text(news, "create")
        do = self._doing(schema, request.urn, request.news, request.timeout)
        outputs = await asyncio.to_thread(do, command, olds)
        return sdk.UpdateResponse(_state(request.news, outputs))

    async def delete(self, request: sdk.DeleteRequest) -> None:
        """Run `delete`, if there is one."""
        schema = _schema(request.type)
        state = plain_all(request.properties)
        if schema is not COPY and text(state, "delete"):
            do = self._doing(schema, request.urn, request.properties, request.timeout)
            await asyncio.to_thread(do, text(state, "delete"), state)

    async def invoke(self, request: sdk.InvokeRequest) -> sdk.InvokeResponse:
        """Refused: the program runs nothing outside its resources."""
        raise PluginError(f"the lab's stand-in of pulumi-resource-command has no {request.tok}")

    async def get_schema(self, request: sdk.GetSchemaRequest) -> sdk.GetSchemaResponse:
        """No more than the name; the SDK knows the types."""
        return sdk.GetSchemaResponse(json.dumps({"name": "command", "version": VERSION}))

    async def cancel(self) -> None:
        """End all waiting."""
        self._cancelled.set()

    def _doing(
        self, schema: Schema, urn: str, boxed_inputs: Mapping[str, PropertyValue], seconds: float
    ) -> Callable[[str, Properties], Properties]:
        """A function of the command and the last outputs that does the work and returns outputs."""
        inputs = plain_all(boxed_inputs)
        if schema is COPY:
            return lambda _command, _before: self._copy(inputs)
        shown = text(inputs, "logging", "stdoutAndStderr")
        hidden = any(boxed_inputs[key].contains_secret() for key in _COMMANDS & inputs.keys())

        def run(command: str, before: Properties) -> Properties:
            last = {name: text(before, name) for name in _STREAMS}
            if not command:
                return dict(last)
            keep = flag(inputs, "addPreviousOutputInEnv", default=True)
            job = Job(
                command=command,
                environment=strings(inputs, "environment"),
                previous={
                    f"PULUMI_COMMAND_{name.upper()}": value
                    for name, value in last.items()
                    if keep and value
                },
                stdin=text(inputs, "stdin"),
                shown=frozenset(name for name in _STREAMS if name in shown.lower()),
                say=lambda line: self._log.status(urn, line),
                cancelled=self._cancelled,
                seconds=seconds or LONGEST_SECONDS,
                secret=hidden,
            )
            if schema is LOCAL:
                outputs = run_local(job, texts(inputs, "interpreter"), text(inputs, "dir"))
            else:
                connection = Connection.of(mapping(inputs, "connection"))
                outputs = run_remote(self._connections, connection, job)
            return dict(zip(_STREAMS, outputs, strict=True))

        return run

    def _copy(self, inputs: Properties) -> Properties:
        connection = Connection.of(mapping(inputs, "connection"))
        target = text(inputs, "remotePath")
        copy.copy(self._connections, connection, inputs.get("source"), target)
        return {}


def _schema(kind: str) -> Schema:
    # The SDK takes it from the URN, where the types of all parents stand before it.
    token = kind.rpartition("$")[2]
    if token not in _SCHEMAS:
        raise PluginError(
            f"the lab's stand-in of pulumi-resource-command has no {token}, "
            f"only {', '.join(sorted(_SCHEMAS))}"
        )
    return _SCHEMAS[token]


def _secret_keys(values: Mapping[str, PropertyValue]) -> set[str]:
    return {key for key, value in values.items() if value.contains_secret()} | {"connection"}


def _boxed(values: Mapping[str, Plain], secret_keys: set[str]) -> dict[str, PropertyValue]:
    return {key: boxed(value, secret=key in secret_keys) for key, value in values.items()}


def _state(
    inputs: Mapping[str, PropertyValue], outputs: Mapping[str, Plain]
) -> dict[str, PropertyValue]:
    secret = any(inputs[key].contains_secret() for key in _TELLING if key in inputs)
    kept = {key: value for key, value in inputs.items() if value.value is not None}
    return {**kept, **{key: boxed(value, secret=secret) for key, value in outputs.items()}}


def _expected(schema: Schema, inputs: Mapping[str, PropertyValue]) -> dict[str, PropertyValue]:
    return _state(inputs, dict.fromkeys(schema.outputs, UNKNOWN))
