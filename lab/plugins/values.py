"""Plain Python values of a resource's properties, and two facts that plain values lack.

The SDK's own `PropertyValue` neither knows unknown values (it reads the engine's sentinel as an
ordinary string and cannot write one) nor integers (gRPC has only floats).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from pulumi.provider.experimental.property_value import PropertyValue

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
Properties: TypeAlias = dict[str, Plain]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# One sentinel per type: sdk/go/common/resource/plugin/rpc.go of pulumi 3.260.0.
_UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)


class PluginError(Exception):
    """A failure that is shown to the user as it is: without traceback or class name."""


def is_unknown(value: Plain) -> bool:
    """Whether this value itself is known only once another resource has been applied."""
    return isinstance(value, str) and value in _UNKNOWNS


def has_unknown(value: Plain) -> bool:
    """Whether this value or anything in it is unknown."""
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    return is_unknown(value)


def plain(value: PropertyValue) -> Plain:
    """Return the value without its secretness; whole numbers as int."""
    inner = value.value
    if inner is None or isinstance(inner, bool | str):
        return inner
    if isinstance(inner, float):
        return int(inner) if inner.is_integer() else inner
    if isinstance(inner, Mapping):
        return {key: plain(item) for key, item in inner.items()}
    if isinstance(inner, Iterable):
        return [plain(item) for item in inner]
    raise PluginError(f"a resource reference cannot be an input here: {inner!r}")


def boxed(value: Plain, *, secret: bool = False) -> PropertyValue:
    """Return the value in the SDK's form for the engine."""
    if isinstance(value, bool) or value is None:
        return PropertyValue(value, is_secret=secret)
    if isinstance(value, int):
        return PropertyValue(float(value), is_secret=secret)
    if isinstance(value, list):
        return PropertyValue([boxed(item) for item in value], is_secret=secret)
    if isinstance(value, dict):
        return PropertyValue({key: boxed(item) for key, item in value.items()}, is_secret=secret)
    return PropertyValue(value, is_secret=secret)


def plain_all(values: Mapping[str, PropertyValue]) -> Properties:
    """Return all properties as plain values, without nulls, which mean "not given"."""
    result = {key: plain(value) for key, value in values.items()}
    return {key: value for key, value in result.items() if value is not None}


def boxed_all(values: Mapping[str, Plain]) -> dict[str, PropertyValue]:
    """Return the inverse of `plain_all`, for values without secrets."""
    return {key: boxed(value) for key, value in values.items()}


def text(values: Mapping[str, Plain], key: str, default: str = "") -> str:
    """Return the string at `key`, or the default if it is not given."""
    value = values.get(key)
    return value if isinstance(value, str) else default


def number(values: Mapping[str, Plain], key: str, default: int = 0) -> int:
    """Return the integer at `key`, or the default if it is not given."""
    value = values.get(key)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def flag(values: Mapping[str, Plain], key: str, *, default: bool = False) -> bool:
    """Return the boolean at `key`, or the default if it is not given."""
    value = values.get(key)
    return value if isinstance(value, bool) else default


def items(values: Mapping[str, Plain], key: str) -> list[Plain]:
    """Return the list at `key`, or an empty one."""
    value = values.get(key)
    return value if isinstance(value, list) else []


def texts(values: Mapping[str, Plain], key: str) -> list[str]:
    """Return the strings of the list at `key`."""
    return [item for item in items(values, key) if isinstance(item, str)]


def objects(values: Mapping[str, Plain], key: str) -> list[Properties]:
    """Return the objects of the list at `key`."""
    return [item for item in items(values, key) if isinstance(item, dict)]


def mapping(values: Mapping[str, Plain], key: str) -> Properties:
    """Return the object or map at `key`, or an empty one."""
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def strings(values: Mapping[str, Plain], key: str) -> dict[str, str]:
    """Return the map of strings at `key`."""
    return {name: str(value) for name, value in mapping(values, key).items()}
