"""A stack's file, read as Pulumi reads it: the keys are below `config`, with `wanbound:` before."""

import re
from pathlib import Path

import yaml

from cli.errors import OperatorError
from planner.config import SET_COMMAND, Stack

STACKS = Path(__file__).resolve().parent.parent / "stacks"
PREFIX = "wanbound:"
_TAG = "tag:yaml.org,2002:"


class StackFileError(OperatorError):
    """The file of a stack is missing, or is no stack file."""


def read(name: str) -> Stack:
    """Return the stack of that name, with everything that the planner fills in.

    Secrets stay encrypted. Raises StackFileError for a file that cannot be read, ConfigError for
    what is wrong with the configuration in it.
    """
    path = STACKS / f"Pulumi.{name}.yaml"
    place = f"stacks/{path.name}"
    try:
        found = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 - it is a SafeLoader
    except FileNotFoundError:
        names = ", ".join(sorted(each.name.split(".")[1] for each in STACKS.glob("Pulumi.*.yaml")))
        remedy = f"name one of {names}" if names else f"write {place}"
        raise StackFileError(
            f"There is no stack {name}: there is no file {place}\n  Fix: {remedy}"
        ) from None
    except OSError as error:
        raise StackFileError(f"{place} cannot be read: {error.strerror}") from None
    except _RefusedError as error:
        raise StackFileError(f"{place}, {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # The text of the error quotes the file, and with it perhaps a secret.
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        raise StackFileError(
            f"{place}{where}\n  is not valid YAML\n  Fix: correct the file there; a text with a"
            " colon or a # in it needs quotes; indent with spaces, not tabs"
        ) from None
    config = found.get("config") if isinstance(found, dict) else None
    if not isinstance(config, dict):
        raise StackFileError(
            f"{place} has no mapping `config`\n  All keys of wanbound are below it.\n"
            "  Fix: begin with a copy of stacks/Pulumi.starter.yaml"
        )
    settings: dict[str, object] = {}
    for key, value in config.items():
        # As Pulumi does: a key without a namespace is one of the project, wanbound.
        if not isinstance(key, str) or (":" in key and not key.startswith(PREFIX)):
            continue
        setting = key.removeprefix(PREFIX)
        if setting in settings:
            raise StackFileError(
                f"{place} has {setting} both with and without the prefix {PREFIX}\n"
                f"  Fix: write {PREFIX}{setting} once"
            )
        settings[setting] = value
        match value:
            case {"secure": str(), **others} if not others:
                raise StackFileError(
                    f"{place}: {key} is encrypted as a whole\n"
                    "  Without the passphrase this stack cannot be read.\n"
                    "  Fix: keep secrets in wanbound:secrets, each encrypted alone:"
                    f" {SET_COMMAND}"
                )
    return Stack.parse(settings, name)


class _RefusedError(Exception):
    """Valid YAML that Pulumi refuses, or reads as something else than what is written."""

    def __init__(self, node: yaml.Node, what: str, remedy: str) -> None:
        mark = node.start_mark
        super().__init__(
            f"line {mark.line + 1}, column {mark.column + 1}\n  {what}\n  Fix: {remedy}"
        )


_CONVERTED = re.compile(
    r"[-+]?(0[0-9_]+|0o[0-7_]+|(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)[eE][-+]?[0-9]+)"
)
"""Numbers that lose their text: octal ones, and those with an exponent. Readers of YAML differ."""


class _Loader(yaml.SafeLoader):
    """Reads as text what only YAML 1.1 reads as another value: `no`, `12:30` and dates.

    Pulumi's own reader does the same (gopkg.in/yaml.v3). What it refuses is refused, and so is a
    number that it would convert to another text.
    """

    def compose_scalar_node(self, anchor: dict[str, yaml.Node]) -> yaml.ScalarNode:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's
        node = super().compose_scalar_node(anchor)
        if (event.style, event.tag) == (None, None) and _CONVERTED.fullmatch(node.value):
            what = "YAML converts a number that begins with 0 or has an exponent"
            raise _RefusedError(node, what, "put quotes around it")
        return node

    def compose_mapping_node(self, anchor: dict[str, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _RefusedError(key, f"{key.value} is there twice", "keep one of them")
                seen.add(key.value)
        return node

    def resolve(self, kind: object, value: object, implicit: object) -> object:
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # PyYAML's
        plain = value if isinstance(value, str) else ""
        match str(tag).removeprefix(_TAG):
            case "bool" if plain.lower() not in ("true", "false"):
                return f"{_TAG}str"
            case "int" | "float" if ":" in plain:
                return f"{_TAG}str"
            case "timestamp":
                return f"{_TAG}str"
        return tag
