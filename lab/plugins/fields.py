"""Short names for the fields of the schemas, so that a schema reads like a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

from lab.plugins.schema import Field, Kind
from lab.plugins.values import Plain

_UNIT_NS = {
    "ns": Decimal(1),
    "us": Decimal(1_000),
    "µs": Decimal(1_000),
    "ms": Decimal(1_000_000),
    "s": Decimal(1_000_000_000),
    "m": Decimal(60_000_000_000),
    "h": Decimal(3_600_000_000_000),
}
_DURATION = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
DURATION_PATTERN = r"(0|([0-9.]+(ns|us|µs|ms|s|m|h))+)"


def unused(names: str = "", **defaults: Plain) -> dict[str, Field]:
    """Inputs that no program of the lab gives: refused, except for the defaults of some."""
    every = {**dict.fromkeys(names.split()), **defaults}
    return {
        name: Field(Kind.ANY, default=default, refused="no program of the lab uses it")
        for name, default in every.items()
    }


def read_back(kind: Kind) -> Field:
    """An input that no program of the lab gives either, and that the plugin reads back."""
    return Field(kind, replace=True, refused="no program of the lab uses it")


def text(
    *,
    replace: bool = False,
    computed: bool = False,
    required: bool = False,
    default: str | None = None,
    pattern: str = "",
    empty_is_unchanged: bool = False,
    meaning: Callable[[Plain], Plain] | None = None,
) -> Field:
    """A string."""
    return Field(
        Kind.TEXT,
        replace=replace,
        computed=computed,
        required=required,
        default=default,
        pattern=pattern,
        empty_is_unchanged=empty_is_unchanged,
        meaning=meaning,
    )


def number(*, required: bool = False, default: int | None = None) -> Field:
    """An integer."""
    return Field(Kind.NUMBER, required=required, default=default)


def flag(*, replace: bool = False, computed: bool = False, default: bool | None = None) -> Field:
    """A boolean."""
    return Field(Kind.FLAG, replace=replace, computed=computed, default=default)


def texts(*, replace: bool = False, computed: bool = False, ordered: bool = False) -> Field:
    """Strings, in any order unless they are `ordered`."""
    kind = Kind.LIST if ordered else Kind.SET
    return Field(kind, replace=replace, computed=computed, item=text())


def strings(*, replace: bool = False, computed: bool = False) -> Field:
    """A map of strings."""
    return Field(Kind.MAP, replace=replace, computed=computed)


def object_of(
    fields: Mapping[str, Field], *, replace: bool = False, computed: bool = False
) -> Field:
    """One object."""
    return Field(Kind.OBJECT, replace=replace, computed=computed, fields=fields)


def objects_of(
    fields: Mapping[str, Field], *, replace: bool = False, computed: bool = False
) -> Field:
    """Objects in any order."""
    return Field(Kind.SET, replace=replace, computed=computed, item=object_of(fields))


def labels(*, replace: bool = False, computed: bool = False) -> Field:
    """Docker's labels, which the plugin takes as a list of {label, value}."""
    pair = {"label": text(required=True), "value": text(required=True)}
    return objects_of(pair, replace=replace, computed=computed)


def nanoseconds(value: Plain) -> Plain:
    """Return a Go duration ("1m30s") in ns, as in the Engine; anything else unchanged."""
    if not isinstance(value, str):
        return value
    parts = _DURATION.findall(value)
    if not parts:
        return 0 if value in ("", "0") else value
    try:
        return int(sum(Decimal(count) * _UNIT_NS[unit] for count, unit in parts))
    except InvalidOperation:
        return value


def duration_text(ns: int) -> str:
    """Return the duration as Go's `time.Duration.String` writes seconds and fractions of them."""
    hours, rest = divmod(Decimal(ns), _UNIT_NS["h"])
    minutes, rest = divmod(rest, _UNIT_NS["m"])
    seconds = f"{(rest / _UNIT_NS['s']).normalize():f}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def duration() -> Field:
    """A time span in Go's notation."""
    return text(default="0s", pattern=DURATION_PATTERN, meaning=nanoseconds)
