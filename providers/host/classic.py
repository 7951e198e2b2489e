"""The rules of wanbound in the files that iptables-persistent loads at boot. Pure.

A copy of our rules can be kept in /etc/iptables/rules.v4 and rules.v6. These files belong to the
operator: every line that is not ours stays, byte for byte, and when our lines leave, the file is
what it was before. Each of our lines is recognised by itself, not by its place, so a file that was
edited or saved again by netfilter-persistent loses our lines and nothing else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_MARK = "# wanbound: "
_MADE_FILE = _MARK + "made this file"
_MADE_TABLE = _MARK + "made this table"
_UNENDED = _MARK + "no newline was at the end"
_BEGIN = _MARK + "begin"
_BEGIN_RULES = _BEGIN + " (copied from /etc/wanbound; wanbound overwrites changes made here)"
_END = _MARK + "end"

_OURS = re.compile(
    rf"{_MARK}|:WANBOUND-|(?:\[[0-9]+:[0-9]+\] )?-A (?:WANBOUND-[A-Z]+ |[^ ]+ -j WANBOUND-[A-Z]+$)"
)
"""Begins a line that wanbound wrote, or that was saved from rules that it loaded."""

_TOP_JUMPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "nat": {"WANBOUND-DNAT": ("PREROUTING", "OUTPUT"), "WANBOUND-SNAT": ("POSTROUTING",)},
    # Docker creates DOCKER-USER after these files are loaded.
    "filter": {"WANBOUND-FORWARD": ("FORWARD",), "WANBOUND-INPUT": ()},
}
"""Table → chain → built-in chains that jump to it before the rules of others."""

_BOTTOM_JUMPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "filter": {"WANBOUND-INPUT": ("INPUT",)}
}
"""The same, for jumps after the rules of others: what these accept stays accepted."""


def with_rules(text: str | None, rules: Mapping[str, Mapping[str, Sequence[str]]]) -> str | None:
    """Return a file's content with these rules of ours and no others; None if no file is wanted.

    `text` is what the file has now, None if it does not exist. To keep bytes that are not UTF-8,
    decode and encode it with "surrogateescape". `rules` is table ("nat", "filter") → chain → lines
    of iptables-restore; without any line, the content is what it would be without wanbound. A chain
    that wanbound does not have raises ValueError.
    """
    if unknown := set(rules) - set(_TOP_JUMPS):
        raise ValueError(f"wanbound has no rules in table {', '.join(sorted(unknown))}")
    tables = {table: _parts(table, rules[table]) for table in _TOP_JUMPS if _any(rules.get(table))}
    file = _read(text or "")
    made = text is None or file.made
    if not tables:
        return None if made and not file.others else _joined(file.others, ended=not file.unended)
    places = _places(file.others)
    lines = [_MADE_FILE] if made else []
    for number, line in enumerate(file.others):
        for table, (top, bottom) in tables.items():
            first, commit = places.get(table, (None, None))
            lines += top if number == first else []
            lines += bottom if number == commit else []
        lines.append(line)
    for table, (top, bottom) in tables.items():
        if table not in places:
            lines += [_MADE_TABLE, f"*{table}", *top, *bottom, "COMMIT"]
    return _joined([*lines, _UNENDED] if file.unended else lines, ended=True)


@dataclass
class _File:
    """What others have in a file, whether wanbound created it, and whether it lacks a newline."""

    others: list[str] = field(default_factory=list)
    made: bool = False
    unended: bool = False


def _read(text: str) -> _File:
    file = _File()
    if not text:
        return file
    # splitlines would split at characters that are no end of line here.
    lines = text.removesuffix("\n").split("\n")
    file.unended = not text.endswith("\n") or lines[-1] == _UNENDED
    file.made = _MADE_FILE in lines
    # The first line of a table that wanbound created, until a foreign line is found in it.
    opened: str | None = None
    created = False
    for line in lines:
        if _OURS.match(line):
            created = created or line == _MADE_TABLE
            continue
        if opened is not None:
            closed = line == "COMMIT"
            file.others += [] if closed else [opened]
            opened = None
            if closed:
                continue
        if created and line.startswith("*"):
            opened = line
        else:
            file.others.append(line)
        created = False
    file.others += [] if opened is None else [opened]
    return file


def _places(lines: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return table → where its first rule and its COMMIT are.

    Of a table that comes twice the last counts: iptables-restore flushes it in between.
    """
    places: dict[str, tuple[int, int]] = {}
    table, first = "", None
    for number, line in enumerate(lines):
        if line.startswith("*"):
            table, first = line[1:].rstrip(" \t"), None
        elif line == "COMMIT" and table:
            places[table] = (number if first is None else first, number)
            table = ""
        elif first is None and line.startswith(("-", "[")):
            first = number
    return places


def _any(chains: Mapping[str, Sequence[str]] | None) -> bool:
    return chains is not None and any(chains.values())


def _parts(table: str, chains: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Return the lines that come before the rules of others, and those that come after them."""
    if unknown := set(chains) - set(_TOP_JUMPS[table]):
        raise ValueError(f"wanbound has no chain {', '.join(sorted(unknown))} in table {table}")
    # nat has both of its chains as soon as it has one line.
    declared = [chain for chain in _TOP_JUMPS[table] if table == "nat" or chains.get(chain)]
    top = [
        _BEGIN_RULES,
        *(f":{chain} - [0:0]" for chain in declared),
        *_jumps(_TOP_JUMPS[table], declared),
        *(line for lines in chains.values() for line in lines),
        _END,
    ]
    bottom = list(_jumps(_BOTTOM_JUMPS.get(table, {}), declared))
    return top, ([_BEGIN, *bottom, _END] if bottom else [])


def _jumps(hooks: Mapping[str, tuple[str, ...]], declared: Sequence[str]) -> Iterator[str]:
    for chain in declared:
        yield from (f"-A {hook} -j {chain}" for hook in hooks.get(chain, ()))


def _joined(lines: Sequence[str], *, ended: bool) -> str:
    return "\n".join(lines) + ("\n" if lines and ended else "")
