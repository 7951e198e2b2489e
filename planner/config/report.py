"""Collects what is wrong, and says where in the operator's own terms."""

import re
from collections.abc import Mapping
from typing import TypeAlias

from planner.errors import Problem

Loc: TypeAlias = tuple[str | int, ...]
"""A place in the configuration: keys and list positions from the top."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN = 60
_NAMED = {"hosts": "host", "networks": "network", "containers": "container"}


def show(value: object) -> str:
    """Return a value as an error may quote it: short, on one line, as YAML would have it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() if abs(value) >= 10**20:
            return "a huge number"
        case int() | float():
            return str(value)
        case str():
            text = value[:_SHOWN]
            # ascii() and not repr(): a look-alike letter or a mark of direction must be seen.
            quoted = f'"{text}"' if text.isascii() and text.isprintable() else ascii(text)
            return quoted if len(value) <= _SHOWN else f"{quoted}…"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a value of the kind {type(value).__name__}"


def render(loc: Loc) -> str:
    """Return a place as the operator writes it, `wanbound:hosts[0].ssh.port` for example."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{show(part)}]"
    return f"wanbound:{text}"


class Report:
    """The problems found so far; `raw` is the whole configuration, read for names only."""

    def __init__(self, raw: Mapping[str, object]) -> None:
        self._raw = raw
        self._found: dict[Problem, None] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem once, in the order in which they were found."""
        return tuple(self._found)

    def add(self, loc: Loc, what: str, why: str, remedy: str) -> None:
        """Note a problem with the value at `loc`."""
        self._found[Problem(render(loc), what, why, remedy, self._where(loc))] = None

    def _where(self, loc: Loc) -> str:
        places = []
        kind = ""
        here: object = self._raw
        for part in loc:
            if isinstance(part, str) and isinstance(here, Mapping):
                kind, here = _NAMED.get(part, ""), here.get(part)
            elif isinstance(part, int) and isinstance(here, list | tuple) and part < len(here):
                here = here[part]
                name = here.get("name") if kind and isinstance(here, Mapping) else None
                if isinstance(name, str) and name.isprintable():
                    places.append(f"{kind} {name if _PLAIN_KEY.fullmatch(name) else show(name)}")
        return ", ".join(places)
