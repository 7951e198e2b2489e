"""What a stack file may say, as JSON Schema (draft 7), for editors.

It is made from the models (schema.py) and from what their types say of themselves (`written` in
report.py). It accepts every file that wanbound accepts, and refuses the usual mistakes. Relations
between keys are left to wanbound itself.
"""

from ipaddress import IPv4Network

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from planner.config.report import JsonSchema
from planner.config.schema import Root


def json_schema() -> JsonSchema:
    """Return the schema of the keys after `wanbound:`; the models are in its `$defs`."""
    return Root.model_json_schema(schema_generator=_Written)


class _Written(GenerateJsonSchema):
    """Leaves out what is not for a stack file: computed fields, null, titles, docstrings."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        keys = {key: part for key, part in found["properties"].items() if "description" in part}
        kept = {key: part for key, part in found.items() if key not in ("title", "description")}
        return {**kept, "properties": keys}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        # A key without a value is an error: usually its value was forgotten.
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = self.generate_inner(schema["schema"])
        # An empty text means that the value is derived, so it is no default.
        match schema["default"]:
            case bool() | int() as default:
                found["default"] = default
            case str() | IPv4Network() as default if str(default):
                found["default"] = str(default)
        return found

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        if "patternProperties" in found:
            found["additionalProperties"] = False
        return found
