"""The JSON Schema of a whole stack file, for editors."""

import json

import yaml

from cli.stack_file import PREFIX
from planner.config.json_schema import json_schema


def text() -> str:
    """Return the schema as it is in stacks/stack.schema.json."""
    return json.dumps(stack_schema(), indent=1, ensure_ascii=False) + "\n"


def stack_schema() -> dict[str, object]:
    """Return the schema: `config` has wanbound's keys, and those of other programs."""
    keys = json_schema()
    models = keys.pop("$defs")
    for model in (keys, *models.values()):
        for key in model["properties"].values():
            # For the errors of the planner an example is YAML; here it is a value.
            key["examples"] = [yaml.safe_load(example) for example in key["examples"]]
    config = {
        **keys,
        "description": "The configuration: keys of wanbound begin with wanbound:.",
        "properties": {PREFIX + name: key for name, key in keys["properties"].items()},
        "required": [PREFIX + name for name in keys["required"]],
        # Providers have keys of their own here, such as docker:host.
        "patternProperties": {f"^(?!{PREFIX})[^:]+:.": {}},
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A stack file of wanbound",
        "description": "Made by `./wanbound schema` from the models of planner/config.",
        "type": "object",
        "properties": {"config": config},
        "required": ["config"],
        "$defs": models,
    }
