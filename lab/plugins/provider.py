"""The CLI's calls of either plugin, for every resource type."""

from __future__ import annotations

import asyncio
import json
import threading
from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic

from pulumi.provider.experimental import provider as sdk

from lab.plugins.resource import Resource, W
from lab.plugins.schema import (
    DEFAULTS_KEY,
    Change,
    after_read,
    changes,
    checked,
    deleted_first,
    details,
    inputs_after_read,
)
from lab.plugins.serve import EngineLog
from lab.plugins.values import PluginError, Properties, boxed_all, plain_all

_KINDS = {
    Change.ADD: (sdk.PropertyDiffKind.ADD, sdk.PropertyDiffKind.ADD_REPLACE),
    Change.DELETE: (sdk.PropertyDiffKind.DELETE, sdk.PropertyDiffKind.DELETE_REPLACE),
    Change.UPDATE: (sdk.PropertyDiffKind.UPDATE, sdk.PropertyDiffKind.UPDATE_REPLACE),
}


class StandIn(sdk.Provider, Generic[W]):
    """A plugin of this name and version, with these resource types."""

    name: str
    version: str

    def __init__(self, resources: Sequence[Resource[W]], log: EngineLog) -> None:
        self.cancelled = threading.Event()
        self.log = log
        self._resources = {resource.schema.token: resource for resource in resources}

    @abstractmethod
    def work(self, urn: str) -> W:
        """Return what one call of the CLI's about this resource works with."""

    async def configure(self, request: sdk.ConfigureRequest) -> sdk.ConfigureResponse:
        """There is nothing to configure."""
        # Without accept_secrets the CLI unwraps secrets, and wraps the values that come back.
        return sdk.ConfigureResponse(accept_secrets=False, supports_preview=True)

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        """Fill in defaults; refuse what the plugin or this stand-in does not support."""
        inputs, failures = checked(
            self._resource(request.type).schema,
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
        """Return what changes, what of it replaces, and the order of a replacement."""
        schema = self._resource(request.type).schema
        state, news = plain_all(request.old_state), plain_all(request.new_inputs)
        found = changes(schema, state, news)
        # The CLI has applied these to the inputs; what was only read back, the plugin ignores.
        for key in request.ignore_changes:
            found.pop(key, None)
        replaces = [key for key in found if schema.fields[key].replace]
        detailed = {
            # Compared with the state, not with the old inputs: only the state has drift.
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
        """Create, or return the result that a create would have."""
        resource = self._resource(request.type)
        inputs = plain_all(request.properties)
        if request.preview:
            outputs = resource.planned({}, inputs)
            return sdk.CreateResponse(resource_id="", properties=boxed_all(outputs))
        identity, live = await asyncio.to_thread(resource.create, self.work(request.urn), inputs)
        state = after_read(resource.schema, inputs, live)
        return sdk.CreateResponse(resource_id=identity, properties=boxed_all(state))

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        """Return the present state; an empty id if it is gone."""
        resource = self._resource(request.type)
        prior, inputs = plain_all(request.properties), plain_all(request.inputs)
        work = self.work(request.urn)
        found = await asyncio.to_thread(resource.read, work, request.resource_id, prior or inputs)
        if found is None:
            return sdk.ReadResponse(resource_id="")
        identity, live = found
        state = after_read(resource.schema, prior, live)
        given = (
            inputs_after_read(resource.schema, inputs, state)
            if inputs
            else _importable(resource, state)
        )
        return sdk.ReadResponse(identity, boxed_all(resource.refreshed(state)), boxed_all(given))

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        """Update in place, or return the result that an update would have."""
        resource = self._resource(request.type)
        olds, news = plain_all(request.olds), plain_all(request.news)
        expected = resource.planned(olds, news)
        if request.preview:
            return sdk.UpdateResponse(boxed_all(expected))
        work = self.work(request.urn)
        live = await asyncio.to_thread(resource.update, work, request.resource_id, olds, news)
        return sdk.UpdateResponse(boxed_all(after_read(resource.schema, expected, live)))

    async def delete(self, request: sdk.DeleteRequest) -> None:
        """Remove it."""
        resource = self._resource(request.type)
        work, state = self.work(request.urn), plain_all(request.properties)
        await asyncio.to_thread(resource.delete, work, request.resource_id, state)

    async def invoke(self, request: sdk.InvokeRequest) -> sdk.InvokeResponse:
        """Refuse: the program has only resources."""
        raise PluginError(f"{self._title} has no {request.tok}")

    async def get_schema(self, request: sdk.GetSchemaRequest) -> sdk.GetSchemaResponse:
        """Return only the name; the SDK has the types."""
        return sdk.GetSchemaResponse(json.dumps({"name": self.name, "version": self.version}))

    async def cancel(self) -> None:
        """End all waiting."""
        self.cancelled.set()

    @property
    def _title(self) -> str:
        return f"the lab's stand-in of pulumi-resource-{self.name}"

    def _resource(self, kind: str) -> Resource[W]:
        # The SDK takes it from the URN, where the types of all parents precede it.
        token = kind.rpartition("$")[2]
        if token not in self._resources:
            known = ", ".join(sorted(self._resources))
            raise PluginError(f"{self._title} has no {token}, only {known}")
        return self._resources[token]


def _importable(resource: Resource[W], state: Properties) -> Properties:
    fields = resource.schema.fields
    return {key: value for key, value in state.items() if key in fields} | {DEFAULTS_KEY: []}
