"""What a host has in force, from ``wanbound state``, held against what was applied. Pure."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from providers.fragment import SECTIONS, Rules, claims, digest, fragment

_TABLES = {
    "nat_ipv4": ("ipv4 nat", {"PREROUTING": "DNAT", "OUTPUT": "DNAT", "POSTROUTING": "SNAT"}),
    "forward_ipv4": ("ipv4 filter", {}),
    "nat_ipv6": ("ipv6 nat", {"PREROUTING": "DNAT", "OUTPUT": "DNAT", "POSTROUTING": "SNAT"}),
    "forward_ipv6": ("ipv6 filter", {}),
}

_GUARD_BASE = tuple(
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
"""The lines of the table that belong to no network (guard_table in compose.awk), in order."""

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
    network: str, bridge: str, rules: Rules, live: Live, applied: str | None = None
) -> dict[str, dict[str, str]] | None:
    """Return `rules` as they are on the host, None where nothing of the network is there.

    A line in force keeps its role. A role whose line is gone is left out, or holds the line that
    was found in its place. What is there and should not be has a role beginning with "drift"; a
    line in our chains that is about nobody's packets in particular is every network's.
    `applied` is the digest of the fragment that was put; by default `rules` are what was put.
    """
    rules = {section: _without_drift(rules.get(section, {})) for section in SECTIONS}
    others = _lines_of_others(network, live)
    blamed = _blamed([*claims(bridge, rules), *_claims(network, live)])
    guard = [line for line in live.guard if line not in _GUARD_BASE]
    found = {
        "addresses": _live_addresses(rules.get("addresses", {}), live),
        "guard": _match(rules.get("guard", {}), guard, others, blamed),
    }
    for section, (table, hooks) in _TABLES.items():
        wanted = rules.get(section, {})
        lines = live.tables.get(table, ())
        own = [line for line in lines if line.startswith("-A WANBOUND-")]
        found[section] = _match(wanted, own, others, blamed)
        if wanted:
            found[section] |= _hook_drift(hooks or _forward_hook(lines), lines)
    if rules.get("guard"):
        found["guard"] |= _base_drift(live.guard)
    if network not in live.fragments and not any(
        found[s].keys() & rules.get(s, {}).keys() for s in SECTIONS
    ):
        return None
    text = live.fragments.get(network)
    if text is None or digest(text) != (applied or digest(fragment(network, bridge, rules))):
        what = "is gone" if text is None else "was edited"
        found["addresses"]["drift file"] = f"/etc/wanbound/{network}.rules {what}"
    return {section: found[section] for section in SECTIONS}


def _without_drift(lines: Mapping[str, str]) -> dict[str, str]:
    """Return the lines without what an earlier refresh found: that is looked for anew."""
    return {role: line for role, line in lines.items() if not role.startswith("drift ")}


def _match(
    wanted: Mapping[str, str],
    lines: Sequence[str],
    others: Counter[str],
    blamed: Callable[[str], bool],
) -> dict[str, str]:
    unknown = Counter(lines) - others
    found = {}
    for role, line in wanted.items():
        if unknown[line] > 0:
            unknown[line] -= 1
            found[role] = line
    drift = _order_drift(found, lines)
    left = [line for line in unknown.elements() if blamed(line)] if wanted else []
    for role, line in wanted.items():
        if role not in found and (near := difflib.get_close_matches(line, left, 1, _ALIKE)):
            left.remove(near[0])
            found[role] = near[0]
    return found | drift | {f"drift {number}": line for number, line in enumerate(left, 1)}


def _order_drift(found: Mapping[str, str], lines: Iterable[str]) -> dict[str, str]:
    """Compare the order in each chain with that of the roles, in which lines are loaded."""
    wanted = [line for _, line in sorted(found.items()) if _chain(line)]
    live = [line for line in dict.fromkeys(lines) if line in set(wanted)]
    for chain in dict.fromkeys(map(_chain, wanted)):
        if [x for x in wanted if _chain(x) == chain] != [x for x in live if _chain(x) == chain]:
            return {"drift order": f"the lines of {chain} stand in another order"}
    return {}


def _chain(line: str) -> str:
    """Return the chain that a line is in, nothing for an element of a map, which has no order."""
    words = line.split()
    if words[0] == "-A":
        return words[1]
    return words[4] if words[1] == "rule" else ""


def _base_drift(guard: Iterable[str]) -> dict[str, str]:
    base = [line for line in guard if line in _GUARD_BASE]
    if missing := len(set(_GUARD_BASE).difference(base)):
        return {"drift base": f"{missing} lines of the table's base chains are gone"}
    if base != list(_GUARD_BASE):
        return {"drift base": "the lines of the table's base chains stand in another order"}
    return {}


def _claims(network: str, live: Live) -> Iterable[tuple[str, str]]:
    for line in live.fragments.get(network, "").splitlines():
        if found := re.fullmatch(r"claim (\S+) (\S+)", line):
            yield found[1], found[2]


def _blamed(own: Iterable[tuple[str, str]]) -> Callable[[str], bool]:
    """Return what tells whether a line that nobody applied is the matter of who claims `own`."""
    claimed = [value for _, value in own]
    ranges = [found for value in claimed if (found := _range(value)) is not None]

    def blamed(line: str) -> bool:
        bridges = {name for pattern in _BRIDGES for name in re.findall(pattern, line)}
        places = [found for word in line.split() if (found := _range(word)) is not None]
        if not bridges and not places:
            return True
        return not bridges.isdisjoint(claimed) or any(
            version == other and first <= end and start <= last
            for version, first, last in places
            for other, start, end in ranges
        )

    return blamed


_BRIDGES = (
    r'(?:-[io] |[io]ifname (?:!= )?")([^\s"]+)',
    r"(?:inet wanbound|jump) (?:from|to|egress|public)-(\S+)",
    r'\{ "([^"]+)" :',
)
"""Where a line of iptables or nft names a bridge."""


def _range(text: str) -> tuple[int, int, int] | None:
    """Return version, first and last address of a subnet or address, None for any other word."""
    try:
        subnet = ip_network(text, strict=False)
    except ValueError:
        return None
    return subnet.version, int(subnet.network_address), int(subnet.broadcast_address)


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
        address = line.split()[1].partition("/")[0]
        for live_device, live_line in live.addresses:
            if live_line.split()[1].partition("/")[0] != address:
                continue
            if live_device != device:
                found[f"drift {live_device} {role}"] = f"{live_line} (on {live_device})"
            elif role not in found:
                found[role] = live_line
            else:
                # One address with two prefixes: the kernel takes both, and one is right at most.
                other, found[role] = sorted((live_line, found[role]), key=lambda x: x == line)
                found[f"drift {role}"] = other
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
