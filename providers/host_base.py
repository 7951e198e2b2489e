"""HostBase: what a host wants besides its networks, as one dynamic resource.

Routes, parameters and the filter go together: each of them can cut the operator off, and a change
that nobody confirms is undone as a whole.
"""

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from providers.applied import recall, remember
from providers.base_fragment import BASE_NAME, BASE_SECTIONS, base_fragment
from providers.errors import HostError
from providers.fragment import Rules
from providers.host import Combiner, host_at
from providers.live import ParseError, parse
from providers.live_base import live_base
from providers.target import target_of

_WANTED = ("persist", *BASE_SECTIONS)
_PROPERTIES = ("host", *_WANTED)


class HostBaseProvider(ResourceProvider):
    """Puts, reads and removes the host's own fragment. Stateless: it is pickled by reference."""

    # What is secret in its properties is marked there; `__provider` in clear makes no noise.
    serialize_as_secret_always = False

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compare two sets of properties; contacts nothing. Another host is another resource."""
        changed = any(_olds.get(name) != _news.get(name) for name in _PROPERTIES)
        other = _olds.get("host", {}).get("name") != _news.get("host", {}).get("name")
        # None and not True: as in HostNat, so that a preview shows the lines that change alone.
        return DiffResult(
            changes=None if changed else False,
            replaces=["host"] if other else [],
            delete_before_replace=True,
        )

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Bring the host to the properties; what is there already is adopted. Raises HostError."""
        _put(props)
        return CreateResult(f"{props['host']['name']}/{BASE_NAME}", _outputs(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Bring the host to the new properties. Raises HostError."""
        _put(_news)
        return UpdateResult(_outputs(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return the properties as they are on the host, so that a refresh shows drift by line.

        Raises HostError where the host cannot be read: that is never taken for "not there".
        """
        try:
            live = parse(_host(props).state())
        except ParseError as error:
            raise HostError(
                props["host"]["name"],
                f"its state cannot be read: {error}",
                "unchanged; it was only read",
                "run `wanbound state` on the host and see what is odd in it",
            ) from error
        applied = props.get("applied", "")
        digest, put = recall(applied)
        wanted = props if put is None else put
        found = live_base(_rules(wanted), wanted.get("persist"), live, digest)
        if found is None:
            return ReadResult("", {})
        inputs = {**_inputs(props), **found}
        # What was applied stays what it was, or the next refresh would look for what this found.
        return ReadResult(id_, {**inputs, "applied": applied}, inputs)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Remove the host's fragment; what was there before it comes back. Raises HostError."""
        _host(_props).remove(BASE_NAME)


def _put(props: Mapping[str, Any]) -> None:
    _host(props).put(BASE_NAME, base_fragment(_rules(props), props.get("persist")))


def _host(props: Mapping[str, Any]) -> Combiner:
    return host_at(target_of(props["host"]))


def _rules(props: Mapping[str, Any]) -> Rules:
    return {section: dict(props.get(section) or {}) for section in BASE_SECTIONS}


def _inputs(props: Mapping[str, Any]) -> dict[str, Any]:
    return {name: props[name] for name in _PROPERTIES if name in props}


def _outputs(props: Mapping[str, Any]) -> dict[str, Any]:
    text = base_fragment(_rules(props), props.get("persist"))
    wanted = {name: props[name] for name in _WANTED if props.get(name)}
    return {**_inputs(props), "applied": remember(text, wanted)}


class HostBase(Resource, module="wanbound", name="HostBase"):
    """A host's default routes, kernel parameters and its own filter."""

    def __init__(
        self,
        name: str,
        *,
        host: Mapping[str, Any],
        rules: Rules,
        persist: str | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare what the host wants for itself.

        `host` says where it is (`providers.target.target_of`). `rules` has the lines by section
        (`providers.base_fragment.BASE_SECTIONS`) and role.
        """
        lines = {section: dict(rules.get(section, {})) for section in BASE_SECTIONS}
        props: dict[str, Any] = {"host": dict(host), **lines}
        if persist is not None:
            props["persist"] = persist
        super().__init__(HostBaseProvider(), name, props, opts)
