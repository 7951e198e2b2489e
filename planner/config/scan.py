"""First look at a configuration, before any meaning: only plain text, numbers, lists, mappings.

No newline and no control character gets past here, so that nothing further on can end a line of
iptables or nft early, whatever its own rules for the text are.
"""

import math
from collections.abc import Mapping

from planner.config.report import Loc, Report, show

_DEPTH = 12
"""Levels of nesting; the configuration needs 8. More is a YAML alias that contains itself."""


class _Refused:
    """Stands where a value was refused; no type of the configuration accepts it."""


class Scan:
    """A configuration as plain dicts and lists, and the places where a value was refused."""

    def __init__(self, raw: Mapping[str, object], report: Report) -> None:
        self._report = report
        self.refused: list[Loc] = []
        self.cleaned = self._mapping(raw, ())

    def _value(self, value: object, loc: Loc) -> object:
        if len(loc) > _DEPTH:
            return self._refuse(loc, "nests deeper than any key of the configuration", "remove it")
        match value:
            case bool() | int():
                return value
            case float() if math.isfinite(value):
                return value
            case str():
                return self._text(value, loc)
            case Mapping():
                return self._mapping(value, loc)
            case list() | tuple():
                return [self._value(item, (*loc, place)) for place, item in enumerate(value)]
            case None:
                remedy = "write a value, or remove the key to get its default"
                if "environment" in loc:
                    remedy = 'write "" where an empty text is meant'
                return self._refuse(loc, "has no value", remedy)
            case _:
                what = f"is {show(value)}, which the configuration has no use for"
                return self._refuse(loc, what, "write plain text, a number, a list or a mapping")

    def _text(self, value: str, loc: Loc) -> object:
        found = _unprintable(value)
        if found is None:
            return value
        # The value itself is not quoted: it may be a key or a password in the wrong place.
        return self._refuse(
            loc,
            f"has {found} in its text",
            "write it on one line, without control characters and without a YAML block (| or >)",
            "Values become lines of rules and names of files, so each is one printable line.",
        )

    def _mapping(self, raw: Mapping[str, object], loc: Loc) -> dict[str, object]:
        cleaned: dict[str, object] = {}
        # What YAML and JSON decode to is not bound by the type hints.
        items: list[tuple[object, object]] = list(raw.items())
        for key, value in items:
            if not isinstance(key, str):
                what = f"has {show(key)} as a key, which YAML does not read as text"
                self._report.add(loc, what, "Keys are names.", "quote the key")
            elif (found := _unprintable(key)) is not None:
                what = f"has a key with {found} in it"
                self._report.add(loc, what, "Keys are names.", "write the key anew")
            else:
                cleaned[key] = self._value(value, (*loc, key))
        return cleaned

    def _refuse(self, loc: Loc, what: str, remedy: str, why: str = "") -> _Refused:
        self._report.add(loc, what, why, remedy)
        self.refused.append(loc)
        return _Refused()


def _unprintable(text: str) -> str | None:
    """Return a name for the first character in `text` that no value may have, None for none."""
    if text.isprintable():
        return None
    found = next(character for character in text if not character.isprintable())
    names = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab", "\0": "a null byte"}
    return names.get(found, f"the unprintable character U+{ord(found):04X}")
