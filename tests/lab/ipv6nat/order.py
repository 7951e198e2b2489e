"""Which rule of a chain comes first where other programs add theirs beside wanbound's. Pure."""

import re
from collections.abc import Iterator

_JUMP = re.compile(r"^-A (\S+) .*-j (\S+)")


def first_rule(saved: str, table: str, chain: str) -> str:
    """Return the first rule of a chain of ip6tables-save, "" where it has none."""
    return next((line for line in _rules(saved, table) if line.startswith(f"-A {chain} ")), "")


def first_verdict(saved: str, chain: str) -> str:
    """Return the rule of table filter that a forwarded packet may meet first: our jump, or a drop.

    Jumps are followed in order, with and without conditions; "" if neither is found.
    """
    rules = list(_rules(saved, "filter"))
    return next(_verdicts(rules, chain, frozenset()), "")


def _verdicts(rules: list[str], chain: str, above: frozenset[str]) -> Iterator[str]:
    for line in rules:
        found = _JUMP.match(line)
        if found is None or found[1] != chain:
            continue
        if found[2] in ("WANBOUND-FORWARD", "DROP", "REJECT"):
            yield line
        elif found[2] not in above:
            yield from _verdicts(rules, found[2], above | {chain})


def _rules(saved: str, table: str) -> Iterator[str]:
    _, _, part = saved.partition(f"*{table}\n")
    for line in part.partition("COMMIT")[0].splitlines():
        if line.startswith("-A "):
            yield line
