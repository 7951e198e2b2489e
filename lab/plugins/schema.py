"""The inputs of a resource, and when a difference between two of them is a change.

The rules are those of the Terraform bridge, on which the official Docker plugin is based: inputs
are compared with the state of the last read; empty and absent are the same; sets have no order; an
input that the Engine fills in by itself ("computed") may be left out without a change.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from lab.plugins.values import UNKNOWN, Plain, Properties, has_unknown, is_unknown

DEFAULTS_KEY = "__defaults"
_SUFFIX_BYTES = 4
_SUFFIX_DIGITS = 7


class Kind(Enum):
    """The types that inputs have."""

    TEXT = "a string"
    NUMBER = "a number"
    FLAG = "a boolean"
    LIST = "a list"
    SET = "a list, of any order"
    MAP = "a map"
    OBJECT = "an object"
    ANY = "anything"


@dataclass(frozen=True)
class Field:
    """One input: its type, its default, and the effect of a change."""

    kind: Kind
    replace: bool = False
    computed: bool = False
    required: bool = False
    default: Plain = None
    item: Field | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    pattern: str = ""
    empty_is_unchanged: bool = False
    meaning: Callable[[Plain], Plain] | None = None
    """Returns the canonical value: equal meanings are no change ("90s" and "1m30s")."""
    refused: str = ""
    """Why this stand-in refuses the input; empty if it does not."""


@dataclass(frozen=True)
class Schema:
    """One resource type."""

    token: str
    fields: Mapping[str, Field]
    outputs: tuple[str, ...] = ()
    autonamed: bool = False
    delete_before_replace: bool = False


class Change(Enum):
    """How one input differs from the state."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


def canonical(spec: Field, value: Plain) -> Plain:
    """Return the canonical form, the same for equal values; None if the value counts as absent."""
    if value is None or is_unknown(value):
        return value
    if spec.meaning is not None:
        value = spec.meaning(value)
    if spec.kind in (Kind.LIST, Kind.SET) and isinstance(value, list) and spec.item is not None:
        forms = [canonical(spec.item, item) for item in value]
        if spec.kind is Kind.SET:
            unique = {json.dumps(form, sort_keys=True): form for form in forms}
            forms = [unique[key] for key in sorted(unique)]
        return forms or None
    if spec.kind is Kind.OBJECT and isinstance(value, dict):
        members = {key: canonical(member, value.get(key)) for key, member in spec.fields.items()}
        given: Properties = {key: form for key, form in members.items() if form is not None}
        return given or None
    return value if spec.kind is Kind.ANY else value or None


def same(spec: Field, old: Plain, new: Plain) -> bool:
    """Whether the two values are equal for the resource that has them."""
    return canonical(spec, old) == canonical(spec, new)


def changes(schema: Schema, state: Properties, news: Properties) -> dict[str, Change]:
    """Return the inputs that differ from the state, in the schema's order."""
    found: dict[str, Change] = {}
    for key, spec in schema.fields.items():
        old, new = state.get(key), news.get(key)
        if has_unknown(new):
            found[key] = Change.UPDATE if old is not None else Change.ADD
        elif new is None or (spec.empty_is_unchanged and not new):
            if not spec.computed and not spec.empty_is_unchanged and not same(spec, old, None):
                found[key] = Change.DELETE
        elif not same(spec, old, new):
            found[key] = Change.ADD if old is None else Change.UPDATE
    return found


def details(spec: Field, key: str, old: Plain, new: Plain) -> dict[str, Change]:
    """Return the changed paths in one changed input, so that a preview shows only these."""
    if isinstance(old, dict) and isinstance(new, dict) and spec.kind is Kind.MAP:
        found = {
            f"{key}[{json.dumps(name)}]": _change(old.get(name), new.get(name))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        }
    elif isinstance(old, list) and isinstance(new, list) and spec.item is not None:
        gone, come = dict(enumerate(old)), dict(enumerate(new))
        if spec.kind is Kind.SET:
            gone, come = _unmatched(spec.item, old, new), _unmatched(spec.item, new, old)
        elif len(old) != len(new):
            return {key: Change.UPDATE}
        found = {
            f"{key}[{at}]": _change(gone.get(at), come.get(at))
            for at in sorted(gone.keys() | come.keys())
            if not same(spec.item, gone.get(at), come.get(at))
        }
    else:
        found = {}
    return found or {key: _change(old, new)}


def _change(old: Plain, new: Plain) -> Change:
    if old is None:
        return Change.ADD
    return Change.DELETE if new is None else Change.UPDATE


def _unmatched(item: Field, these: list[Plain], those: list[Plain]) -> dict[int, Plain]:
    """Return those of `these` without an equal among `those`, by index."""
    known = {json.dumps(canonical(item, value), sort_keys=True) for value in those}
    return {
        at: value
        for at, value in enumerate(these)
        if json.dumps(canonical(item, value), sort_keys=True) not in known
    }


def deleted_first(schema: Schema, news: Properties) -> bool:
    """Whether the old resource is deleted before its replacement: two cannot share a given name."""
    if schema.delete_before_replace:
        return True
    generated = news.get(DEFAULTS_KEY)
    return schema.autonamed and not (isinstance(generated, list) and "name" in generated)


def checked(
    schema: Schema, name: str, olds: Properties, news: Properties, seed: bytes
) -> tuple[Properties, list[tuple[str, str]]]:
    """Return the inputs with their defaults, and their errors as (path, reason)."""
    failures: list[tuple[str, str]] = []
    result: Properties = {}
    filled: list[Plain] = []
    given = {key: value for key, value in news.items() if not key.startswith("__")}
    for key in sorted(given.keys() - schema.fields.keys()):
        failures.append((key, f"{schema.token} has no input {key!r}"))
    for key, spec in schema.fields.items():
        value = _checked(spec, key, given.get(key), failures)
        if value is not None:
            result[key] = value
            if key not in given:
                filled.append(key)
    if schema.autonamed and "name" not in result:
        before = olds.get(DEFAULTS_KEY)
        kept = olds.get("name") if isinstance(before, list) and "name" in before else None
        result["name"] = kept if isinstance(kept, str) else f"{name}-{_suffix(seed)}"
        filled.append("name")
    result[DEFAULTS_KEY] = filled
    return result, failures


def _suffix(seed: bytes) -> str:
    return (seed[:_SUFFIX_BYTES].hex() or secrets.token_hex(_SUFFIX_BYTES))[:_SUFFIX_DIGITS]


def _checked(spec: Field, path: str, value: Plain, failures: list[tuple[str, str]]) -> Plain:
    if value is None:
        if spec.required:
            failures.append((path, "is required"))
        return spec.default
    if spec.refused:
        failures.append((path, f"is not implemented by the lab's stand-in: {spec.refused}"))
        return value
    if is_unknown(value):
        return value
    if not _fits(spec.kind, value):
        failures.append((path, f"must be {spec.kind.value}, not {value!r}"))
        return value
    if spec.pattern and not re.fullmatch(spec.pattern, str(value)):
        failures.append((path, f"{value!r} does not match {spec.pattern}"))
    if isinstance(value, list) and spec.item is not None:
        return [_checked(spec.item, f"{path}[{i}]", v, failures) for i, v in enumerate(value)]
    if isinstance(value, dict) and spec.kind is Kind.OBJECT:
        for key in sorted(value.keys() - spec.fields.keys()):
            if not key.startswith("__"):
                failures.append((f"{path}.{key}", "is not an input of this resource"))
        members = {
            key: _checked(member, f"{path}.{key}", value.get(key), failures)
            for key, member in spec.fields.items()
        }
        return {key: member for key, member in members.items() if member is not None}
    return value


def _fits(kind: Kind, value: Plain) -> bool:
    match kind:
        case Kind.TEXT:
            return isinstance(value, str)
        case Kind.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case Kind.FLAG:
            return isinstance(value, bool)
        case Kind.LIST | Kind.SET:
            return isinstance(value, list)
        case Kind.MAP | Kind.OBJECT:
            return isinstance(value, dict)
        case Kind.ANY:
            return True


def after_read(schema: Schema, prior: Properties, live: Properties) -> Properties:
    """Return the state: live values, in their former form if equal in meaning, else known ones."""
    state: Properties = {}
    for key, spec in schema.fields.items():
        value = _read(spec, prior.get(key), live[key]) if key in live else prior.get(key)
        if value is not None:
            state[key] = value
    for key in schema.outputs:
        value = live.get(key, prior.get(key))
        if value is not None:
            state[key] = value
    if DEFAULTS_KEY in prior:
        state[DEFAULTS_KEY] = prior[DEFAULTS_KEY]
    return state


def _read(spec: Field, known: Plain, live: Plain) -> Plain:
    if known is not None and same(spec, known, live):
        return known
    if spec.computed or canonical(spec, live) is not None:
        return live
    # Shown as a change from false to true, not as an addition.
    return False if spec.kind is Kind.FLAG and known is not None else None


def inputs_after_read(schema: Schema, old_inputs: Properties, state: Properties) -> Properties:
    """Return the inputs that would give this state: those given before, as read now."""
    kept = {
        key: old_inputs[key] if same(spec, old_inputs[key], state[key]) else state[key]
        for key, spec in schema.fields.items()
        if key in old_inputs and key in state
    }
    if DEFAULTS_KEY in old_inputs:
        kept[DEFAULTS_KEY] = old_inputs[DEFAULTS_KEY]
    return kept


def planned(schema: Schema, olds: Properties, news: Properties) -> Properties:
    """Return what a preview knows of the outputs: given values, unchanged ones, else "unknown"."""
    result = dict(news)
    computed = [key for key, spec in schema.fields.items() if spec.computed] + list(schema.outputs)
    for key in computed:
        if key not in result:
            result[key] = olds.get(key) if key in olds else (UNKNOWN if not olds else None)
    return {key: value for key, value in result.items() if value is not None}
