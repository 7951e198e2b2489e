"""The stack's configuration as plain data, in the shape that the planner parses."""

import json
from collections.abc import Mapping

import pulumi
from pulumi.runtime.config import get_config_env

PREFIX = "wanbound:"

_OBJECTS = ("hosts", "echo", "images", "secrets", "verify")
"""Keys whose value Pulumi hands over as JSON; every other is a plain string."""

_LONGEST = 1000
"""Digits of a number that is read as one."""

_TOO_DEEP = json.loads("[" * 100 + "]" * 100)
"""Replaces a value that nests too deep to be read; the planner refuses it for that reason."""


def raw_settings(config: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return everything under ``wanbound:`` by its key, unknown keys too: the planner refuses them.

    `config` is what Pulumi put into the program's environment, unless given.
    """
    found = get_config_env() if config is None else config
    return {
        key.removeprefix(PREFIX): _value(key.removeprefix(PREFIX), text)
        for key, text in found.items()
        if key.startswith(PREFIX)
    }


def _value(key: str, text: str) -> object:
    if key not in _OBJECTS:
        return text
    try:
        value: object = json.loads(text, parse_int=_integer)
    except ValueError:
        # The planner reports it, and says what the key should be.
        return text
    except RecursionError:
        return _TOO_DEEP
    return value


def _integer(digits: str) -> int | str:
    """Return a number; one that is too long for Python to read stays text.

    Python refuses more than 4,300 digits (sys.set_int_max_str_digits), and with them the whole
    value. As text the planner says where it is, and a secret is what was written.
    """
    return int(digits) if len(digits) <= _LONGEST else digits


def secret_texts() -> Mapping[str, object]:
    """Return the values of ``wanbound:secrets`` by name, in clear: for what is no resource."""
    found = raw_settings().get("secrets")
    return found if isinstance(found, dict) else {}


def secret_values() -> dict[str, pulumi.Output[str]]:
    """Return the values of ``wanbound:secrets`` by name; they stay marked as secret."""
    return {
        # As YAML writes booleans.
        name: pulumi.Output.secret(str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in secret_texts().items()
    }
