"""Docker's daemon.json as text in which single keys are set and removed. Pure.

Everything else stays byte for byte as its author wrote it: order, indentation, a number like 1e3.
So setting a key and removing it again leaves the file unchanged.
"""

import json
import math
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")


class DaemonJsonError(ValueError):
    """The text is not one JSON object that Docker reads; `line` and `column` count from 1."""

    def __init__(self, what: str, text: str, at: int) -> None:
        self.what = what
        self.line = text.count("\n", 0, at) + 1
        self.column = at - (text.rfind("\n", 0, at) + 1) + 1
        super().__init__(f"is not JSON: line {self.line}, column {self.column}: {what}")


class _WordError(ValueError):
    """A word that Docker does not accept as a value, although Python's decoder may."""


def _integer(word: str) -> int:
    # Go's largest has 19 digits. Python refuses to convert one of more than 4300.
    if len(word) > 300:
        raise _WordError(f"a number of {len(word.lstrip('-'))} digits is too large")
    return int(word)


def _float(word: str) -> float:
    value = float(word)
    if math.isinf(value):
        raise _WordError(f"the number {word[:40]} is too large")
    return value


def _constant(word: str) -> object:
    raise _WordError(f"{word} is not JSON")


# The first finds objects and the places of their members, the second decodes values.
_SHAPE = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_VALUE = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant)


@dataclass(frozen=True)
class _Member:
    """A key with its place in the text: from its own first character to its value's last."""

    key: str
    start: int
    value: int
    end: int


class DaemonJson:
    """The text of a daemon.json; "" for none. Raises DaemonJsonError for what is not one.

    Every method that changes something returns another one.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._body = text if text.strip(" \t\n\r") else "{}\n"
        self._members = list(_members(self._body))
        seen: set[str] = set()
        for member in self._members:
            if member.key in seen:
                raise DaemonJsonError(f"the key {member.key!r} occurs twice", text, member.start)
            seen.add(member.key)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys in their order."""
        return tuple(member.key for member in self._members)

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def value(self, key: str) -> Any:  # noqa: ANN401 - JSON is anything
        """Return a key's value, None where the key is not there."""
        source = self.source(key)
        return None if source is None else _VALUE.decode(source)

    def source(self, key: str) -> str | None:
        """Return the text of a key's value as written, None where the key is not there."""
        for member in self._members:
            if member.key == key:
                return self._body[member.value : member.end]
        return None

    def with_key(self, key: str, source: str) -> "DaemonJson":
        """Return it with the key set to a value, which is given as JSON text."""
        for member in self._members:
            if member.key == key:
                text = self._body[: member.value] + source + self._body[member.end :]
                return DaemonJson(text)
        if not self._members:
            opening = self._body.index("{") + 1
            closing = self._body.index("}", opening)
            tail = self._body[closing:]
            return DaemonJson(f"{self._body[:opening]}\n  {json.dumps(key)}: {source}\n{tail}")
        last = self._members[-1]
        gap = self._gap()
        text = f"{self._body[: last.end]},{gap}{json.dumps(key)}: {source}{self._body[last.end :]}"
        return DaemonJson(text)

    def without_key(self, key: str) -> "DaemonJson":
        """Return it without the key. This reverses a `with_key` that added the key at the end."""
        for place, member in enumerate(self._members):
            if member.key != key:
                continue
            if len(self._members) == 1:
                opening = self._body.index("{") + 1
                closing = self._body.index("}", member.end)
                return DaemonJson(self._body[:opening] + self._body[closing:])
            if place == 0:
                start, end = member.start, self._members[1].start
            else:
                start, end = self._members[place - 1].end, member.end
            return DaemonJson(self._body[:start] + self._body[end:])
        return self

    def _gap(self) -> str:
        """Return the whitespace between a comma and the next key, as the file has it so far."""
        first = self._members[0].start
        found = re.search(r"[ \t\n\r]*$", self._body[:first])
        gap = found.group() if found is not None else ""
        return gap or " "


def json_source(value: object, indent: str = "  ") -> str:
    """Return a value as the text that is written for it, as in a file with that indent.

    The engine hands whole numbers over as floats; Docker wants them whole.
    """
    text = json.dumps(plain(value), ensure_ascii=False, indent=len(indent))
    if not isinstance(value, dict | list) or len(text) < 60:
        text = json.dumps(plain(value), ensure_ascii=False)
    return text.replace("\n", f"\n{indent}")


def plain(value: object) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the same value with whole numbers as such, mappings and lists as plain ones."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _members(text: str) -> Iterator[_Member]:
    try:
        found, _ = _SHAPE.raw_decode(text, _space(text, 0))
    except json.JSONDecodeError as error:
        raise DaemonJsonError(error.msg, text, error.pos) from None
    except RecursionError:
        raise DaemonJsonError("it is nested too deeply", text, 0) from None
    at = _space(text, 0)
    if not isinstance(found, dict):
        raise DaemonJsonError("it is not an object ({…})", text, at)
    end = yield from _walk(text, at + 1)
    if (rest := _space(text, end)) != len(text):
        raise DaemonJsonError("there is text after its end", text, rest)


def _walk(text: str, at: int) -> Generator[_Member, None, int]:
    """Yield the members of an object that is valid, from behind its brace; return its end."""
    at = _space(text, at)
    while text[at] != "}":
        start = at
        key, at = _SHAPE.raw_decode(text, at)
        value = _space(text, _space(text, at) + 1)
        try:
            _, at = _VALUE.raw_decode(text, value)
        except _WordError as error:
            raise DaemonJsonError(f"the value of {key!r}: {error}", text, value) from None
        except RecursionError:
            raise DaemonJsonError("it is nested too deeply", text, value) from None
        yield _Member(key, start, value, at)
        at = _space(text, at)
        if text[at] == ",":
            at = _space(text, at + 1)
    return at + 1


def _space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
