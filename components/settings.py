"""The stack's configuration as plain data, in the shape that the planner parses."""

import json
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.runtime.config import get_config_env

PREFIX = "wanbound:"

_OBJECTS = ("hosts", "echo", "images", "secrets", "verify")
"""Keys whose value Pulumi hands over as JSON; every other is a plain string."""


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
        value: object = json.loads(text)
    except ValueError:
        # Not our error to tell: the planner says what the key should have been.
        return text
    return value


def secret_texts() -> Mapping[str, object]:
    """Return the values of ``wanbound:secrets`` by name, in clear: for what is no resource."""
    found = raw_settings().get("secrets")
    return found if isinstance(found, dict) else {}


def secret_values() -> dict[str, pulumi.Output[str]]:
    """Return the values of ``wanbound:secrets`` by name; they stay secret wherever they go."""
    found = pulumi.Config("wanbound").get_secret_object("secrets")
    if found is None:
        return {}
    return {name: _one(found, name) for name in secret_texts()}


def _one(values: "pulumi.Output[Any]", name: str) -> pulumi.Output[str]:
    return pulumi.Output.secret(values.apply(lambda found: str(found[name])))
