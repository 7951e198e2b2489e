"""The golden files: a stack's configuration, and the whole plan that must result.

A case is two files in golden/: NAME.yaml, the keys after `wanbound:`, and NAME.rules, everything
that `plan` returns for it. To add one, copy a pair; then, and after a wanted change of the rules,

    python -m tests.planner.golden

writes all .rules files again. Read the difference before you commit it: this is what will happen
on every host. Whole generations of the same cases are in tests/providers/host/golden.

The lines of a host or a network (`wanted`) are shown as a preview shows them: section, role, line;
a line whose place is not in the middle of its section has `(first)` or `(last)` after it.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from planner.config import Engine, Stack
from planner.plan import HostPlan, plan
from planner.rule import FIRST, LAST, Wanted, order, sections

FOLDER = Path(__file__).parent / "golden"

_PLACES = {FIRST: " (first)", LAST: " (last)"}


def cases() -> list[str]:
    """Return the names of all cases; a .rules file without its .yaml counts too."""
    return sorted({path.stem for path in FOLDER.iterdir() if path.suffix in (".yaml", ".rules")})


def config(name: str) -> dict[str, Any]:
    """Return the configuration of a case, as parsed from YAML."""
    found = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    if not isinstance(found, dict):
        raise TypeError(f"{name}.yaml is no mapping")
    return found


def planned(name: str) -> str:
    """Return a case's plan as text, as it is now."""
    return text(plan(Stack.parse(config(name), name)))


def expected(name: str) -> str:
    """Return a case's plan as text, from its golden file."""
    return (FOLDER / f"{name}.rules").read_text()


def text(hosts: tuple[HostPlan, ...]) -> str:
    """Return plans as text with all of their fields."""
    blocks = ("\n".join(_block(f"host {host.name}", _data(host))) for host in hosts)
    return "\n\n".join(blocks) + "\n"


def _data(value: object) -> object:
    """Return `value` with every model in it as a mapping."""
    if isinstance(value, Engine):
        # Its other keys are in `settings` too.
        value = {key: getattr(value, key) for key in ("settings", "install", "restart")}
    elif isinstance(value, BaseModel):
        value = dict(value)
    elif is_dataclass(value):
        # Rare fields are shown only where they are set.
        named = {field: getattr(value, field.name) for field in fields(value)}
        value = {
            field.name: part
            for field, part in named.items()
            if part is not field.default
            and (field.default_factory is MISSING or part != field.default_factory())
        }
        if "wanted" in value:
            value["wanted"] = _preview(value["wanted"])
    if isinstance(value, Mapping):
        return {str(key): _data(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_data(part) for part in value]
    return value


def _preview(wanted: Iterable[Wanted]) -> dict[str, dict[str, str]]:
    """Return the lines by section and role, each with its place in the section if it has one."""
    lines, places = sections(wanted), order(wanted)
    for section, roles in places.items():
        for role, place in roles.items():
            lines[section][role] += _PLACES[place]
    return lines


def _block(title: str, value: object) -> Iterator[str]:
    """Yield the title with the value behind it, or the value's parts on lines below."""
    if isinstance(value, str) and "\n" in value:
        value = value.splitlines()
    if value and isinstance(value, dict | list):
        yield title.rstrip()
        parts = _entries(value) if isinstance(value, dict) else _items(value)
        yield from (f"  {line}".rstrip() for line in parts)
    else:
        yield f"{title} {_word(value)}"


def _entries(mapping: Mapping[str, object]) -> Iterator[str]:
    width = max(len(key) for key in mapping) + 1
    for key, part in mapping.items():
        yield from _block(f"{key:{width}}", part)


def _items(values: list[object]) -> Iterator[str]:
    for part in values:
        if isinstance(part, str) and "\n" in part:
            yield from _block("-", part)
        elif not isinstance(part, dict):
            yield f"- {_word(part)}"
        elif any(isinstance(inner, dict | list) for inner in part.values()):
            yield ""
            yield from _block(f"- {part.get('name', part.get('path'))}", part)
        else:
            yield "- " + ", ".join(f"{key} {_word(inner)}" for key, inner in part.items())


def _word(value: object) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def main() -> None:
    """Write every case's .rules file for the current plan, and name those that changed."""
    for name in cases():
        write(FOLDER / f"{name}.rules", planned(name))


def write(path: Path, now: str) -> None:
    """Write `now` to a golden file with different text, and name the file."""
    if not path.exists() or path.read_text() != now:
        path.write_text(now)
        sys.stdout.write(f"{path.name} written\n")


if __name__ == "__main__":
    main()
