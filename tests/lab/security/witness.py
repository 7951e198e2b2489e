"""Counts what a host's kernel sees of packets, with rules that only count."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from lab.api import Host

FIRST, LAST = -400, 300
"""Priorities of hooks: before conntrack and every other rule, behind every other rule."""


@contextmanager
def witness(
    host: Host, chains: Mapping[str, tuple[int, Sequence[str]]]
) -> Iterator[dict[str, list[int]]]:
    """Count packets per match; each hook has a priority and its matches.

    The yielded map has the packets per match, by hook, once the context has ended.
    """
    table = "table inet witness {\n"
    for hook, (priority, matches) in chains.items():
        rules = "".join(f"{match} counter\n" for match in matches)
        table += f"chain {hook} {{\ntype filter hook {hook} priority {priority};\n{rules}}}\n"
    host.run("nft -f -", stdin=table + "}\n")
    counted: dict[str, list[int]] = {}
    try:
        yield counted
        listed = json.loads(host.run("nft -j list table inet witness").stdout)
        counted |= {hook: [] for hook in chains}
        for each in listed["nftables"]:
            if "rule" in each:
                parts = each["rule"]["expr"]
                packets = next(p["counter"]["packets"] for p in parts if "counter" in p)
                counted[each["rule"]["chain"]].append(packets)
    finally:
        host.run("nft delete table inet witness")
