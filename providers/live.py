"""What a host has in force, from ``wanbound state``, held against what was applied. Pure."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from providers.fragment import SECTIONS, Rules, claims, fragment

_TABLES = {
    "nat_ipv4": ("ipv4 nat", {"PREROUTING": "DNAT", "OUTPUT": "DNAT", "POSTROUTING": "SNAT"}),
    "forward_ipv4": ("ipv4 filter", {}),
    "nat_ipv6": ("ipv6 nat", {"PREROUTING": "DNAT", "OUTPUT": "DNAT", "POSTROUTING": "SNAT"}),
    "forward_ipv6": ("ipv6 filter", {}),
}

_GUARD_BASE = frozenset(
    f"add rule inet wanbound {rule}"
    for rule in (
        "forward iifname vmap @from",
        "forward ct state established,related accept",
        "forward oifname vmap @to",
        "postrouting ct original ip saddr vmap @subnet-ipv4",
        "postrouting ip saddr vmap @subnet-ipv4",
        "postrouting ct original ip6 saddr vmap @subnet-ipv6",
        "postrouting ip6 saddr vmap @subnet-ipv6",
        "postrouting ct direction original ip saddr vmap @public-ipv4",
        "postrouting ct direction original ip6 saddr vmap @public-ipv6",
    )
)
"""The lines of the table that belong to no network (guard_file in providers/wanbound.sh)."""

_ALIKE = 0.6
"""From this similarity on a line that nobody knows passes for an edited one, not a new one."""


class ParseError(ValueError):
    """A host printed something that is no answer of ``wanbound state``."""


@dataclass(frozen=True)
class Live:
    """A host's state: lines by table, addresses as (interface, line), guard lines, fragments."""

    tables: Mapping[str, tuple[str, ...]]
    addresses: tuple[tuple[str, str], ...]
    guard: tuple[str, ...]
    fragments: Mapping[str, str]


def parse(text: str) -> Live:
    """Return what ``wanbound state`` printed as data. Raises ParseError for anything else."""
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        if line.startswith("== "):
            current = sections.setdefault(line[3:], [])
        elif current is None:
            raise ParseError(f"unexpected text before the first section: {line[:80]!r}")
        else:
            current.append(line)
    if "end" not in sections or "addresses" not in sections:
        raise ParseError("the host's answer ends early")
    return Live(
        tables={
            name: tuple(line for line in lines if line.startswith("-A "))
            for name, lines in sections.items()
            if name.startswith(("ipv4 ", "ipv6 "))
        },
        addresses=tuple(_addresses(sections["addresses"])),
        guard=tuple(_guard(sections.get("guard", []))),
        fragments={
            name.removeprefix("fragment ").removesuffix(".rules"): "".join(f"{x}\n" for x in lines)
            for name, lines in sections.items()
            if name.startswith("fragment ")
        },
    )


def live_rules(
    network: str, bridge: str, rules: Rules, live: Live
) -> dict[str, dict[str, str]] | None:
    """Return `rules` as they are on the host, None where nothing of the network is there.

    A line in force keeps its role. A role whose line is gone is left out, or holds the line that
    was found in its place. What is there and should not be has a role beginning with "drift".
    """
    marks = [bridge, *(value for _, value in claims(bridge, rules))]
    others = _lines_of_others(network, live)
    found = {
        "addresses": _live_addresses(rules.get("addresses", {}), live),
        "guard": _match(
            rules.get("guard", {}),
            [line for line in live.guard if line not in _GUARD_BASE],
            others,
            marks,
        ),
    }
    for section, (table, hooks) in _TABLES.items():
        wanted = rules.get(section, {})
        lines = live.tables.get(table, ())
        own = [line for line in lines if line.startswith("-A WANBOUND-")]
        found[section] = _match(wanted, own, others, marks)
        if wanted:
            found[section] |= _hook_drift(hooks or _forward_hook(lines), lines)
    if rules.get("guard") and (missing := _GUARD_BASE.difference(live.guard)):
        found["guard"]["drift base"] = f"{len(missing)} lines of the table's base chains are gone"
    if network not in live.fragments and not any(
        found[s].keys() & rules.get(s, {}).keys() for s in SECTIONS
    ):
        return None
    text = live.fragments.get(network)
    if text != fragment(network, bridge, rules):
        what = "is gone" if text is None else "was edited"
        found["addresses"]["drift file"] = f"/etc/wanbound/{network}.rules {what}"
    return {section: found[section] for section in SECTIONS}


def _match(
    wanted: Mapping[str, str], lines: Iterable[str], others: Counter[str], marks: Iterable[str]
) -> dict[str, str]:
    unknown = Counter(lines) - others
    found = {}
    for role, line in wanted.items():
        if unknown[line] > 0:
            unknown[line] -= 1
            found[role] = line
    left = [line for line in unknown.elements() if _mentions(line, marks)]
    for role, line in wanted.items():
        if role not in found and (near := difflib.get_close_matches(line, left, 1, _ALIKE)):
            left.remove(near[0])
            found[role] = near[0]
    return found | {f"drift {number}": line for number, line in enumerate(left, 1)}


def _mentions(line: str, marks: Iterable[str]) -> bool:
    words = set(re.findall(r'[^\s"{},]+', line))
    return any(
        mark in words
        or any(word.startswith(f"{mark}/") or word.endswith(f"-{mark}") for word in words)
        for mark in marks
    )


def _lines_of_others(network: str, live: Live) -> Counter[str]:
    prefixes = ("ipv4 nat ", "ipv4 filter ", "ipv6 nat ", "ipv6 filter ", "guard ")
    return Counter(
        line.removeprefix(prefix)
        for name, text in live.fragments.items()
        if name != network
        for line in text.splitlines()
        for prefix in prefixes
        if line.startswith(prefix)
    )


def _forward_hook(lines: Iterable[str]) -> dict[str, str]:
    docker = "-A FORWARD -j DOCKER-USER" in lines
    return {"DOCKER-USER" if docker else "FORWARD": "FORWARD"}


def _hook_drift(hooks: Mapping[str, str], lines: Iterable[str]) -> dict[str, str]:
    drift = {}
    for chain, target in hooks.items():
        jump = f"-A {chain} -j WANBOUND-{target}"
        in_chain = [line for line in lines if line.startswith(f"-A {chain} ")]
        count = in_chain.count(jump)
        if count != 1 or in_chain[0] != jump:
            state = ("is gone" if count == 0 else f"is there {count} times") if count != 1 else ""
            drift[f"drift jump {chain}"] = f"{jump} {state or 'is not the first rule'}"
    return drift


def _live_addresses(wanted: Mapping[str, str], live: Live) -> dict[str, str]:
    found = {}
    for role, line in wanted.items():
        device = role.split()[0]
        address = line.split()[1]
        for live_device, live_line in live.addresses:
            live_address = live_line.split()[1]
            if live_address.partition("/")[0] != address.partition("/")[0]:
                continue
            if live_device == device:
                found[role] = live_line
            else:
                found[f"drift {live_device} {role}"] = f"{live_line} (on {live_device})"
    return found


def _addresses(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Read ``ip -o addr show``; lines come back as ``ip addr show`` prints their first half."""
    for line in lines:
        found = re.match(r"\d+: (\S+)\s+(inet6? .*?)\s*\\", line)
        if found is None:
            continue
        # What does not matter here is left out: broadcast address, label (eth0:1), lifetime flags
        # of whoever set it up, and "tentative", which lasts a second (duplicate address detection).
        words = found[2].split()
        scope = words[words.index("scope") + 1] if "scope" in words else "?"
        flags = [flag for flag in ("deprecated", "dadfailed") if flag in words]
        name = [found[1]] if words[0] == "inet" else []
        yield found[1], " ".join([*words[:2], "scope", scope, *name, *flags])


def _guard(lines: Iterable[str]) -> Iterable[str]:
    """Read ``nft -s list table inet wanbound`` back into the commands that would make it."""
    block = ""
    elements = ""
    for raw in lines:
        line = raw.strip()
        if opened := re.match(r"(chain|map) (\S+) \{$", line):
            block = " ".join(opened.groups())
        elif line == "}":
            block = ""
        elif block.startswith("chain ") and line and not line.startswith("type "):
            yield f"add rule inet wanbound {block.removeprefix('chain ')} {line}"
        elif block.startswith("map ") and (elements or line.startswith("elements = {")):
            elements += " " + line
            if line.endswith("}"):
                inside = elements.partition("{")[2].rpartition("}")[0]
                name = block.removeprefix("map ")
                for element in inside.split(","):
                    yield f"add element inet wanbound {name} {{ {element.strip()} }}"
                elements = ""
