"""The preview in the README has exactly the lines that change."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.host import wanted_plan
from lab import stacks
from planner.plan import plan
from providers.host.plan import properties

ROOT = Path(__file__).parents[2]
OLD, NEW = '"2001:db8::20"', '"2001:db8::21"'


def _properties(text: str) -> dict[str, Any]:
    host = plan(stacks.parsed(json.loads(text), "demo"))[0]
    return properties(wanted_plan(host, "any", {}))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences as Pulumi's engine shows them, without its indentation."""
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    width = max(map(len, names))
    for name in names:
        before, after = old[name], new[name]
        shown = f"~ {name.ljust(width)}: "
        if isinstance(before, Mapping):
            yield f"{shown}{{"
            yield from _changes(before, after)
        else:
            yield f"{shown}{json.dumps(before)} => {json.dumps(after)}"


def test_the_preview_of_the_readme() -> None:
    """The demo's preview after a change of one public IPv6 address."""
    text = json.dumps(stacks.read(ROOT / "stacks/Pulumi.demo.yaml"))
    assert text.count(OLD) == 1
    wanted = list(_changes(_properties(text), _properties(text.replace(OLD, NEW))))
    _, _, block = (ROOT / "README.md").read_text().partition("[id=edge-1]\n")
    block, _, _ = block.partition("    ~ command:")
    shown = [line.strip() for line in block.splitlines() if line.strip() not in ("", "}")]
    assert shown == wanted
