"""What all mappings of the configuration are made of."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Spec(BaseModel):
    """Base of all mappings in the configuration; `example` is one in YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    example: ClassVar[str]


def key(example: str, why: str, default: object = ...) -> Any:  # noqa: ANN401 - as Field() does
    """Return a key of a mapping: an example of its value and why it is there, for the errors."""
    return Field(default, description=why, examples=[example])
