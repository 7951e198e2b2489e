"""One network's lines as they are on its host, held against what was applied. Pure.

Whatever is found in a line's place keeps the line's role; what is there and should not be, or is
wrong in a way that no single line shows, has a role that begins with "drift" and says it in words.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache

from providers.fragment import SECTIONS, Rules, claims, digest, fragment
from providers.live import GUARD_BASE, GUARD_BRIDGE, Live
from providers.live_match import (
    Lines,
    Stray,
    address_of,
    claims_of,
    concerning,
    lines_of,
    match,
    placed_text,
)

_NAT = {"PREROUTING": "DNAT", "OUTPUT": "DNAT", "POSTROUTING": "SNAT"}
_NAT_CHAINS = ("-A WANBOUND-DNAT ", "-A WANBOUND-SNAT ")
_FORWARD_CHAINS = ("-A WANBOUND-FORWARD ",)
_TABLES = {
    "nat_ipv4": ("ipv4 nat", _NAT_CHAINS),
    "forward_ipv4": ("ipv4 filter", _FORWARD_CHAINS),
    "nat_ipv6": ("ipv6 nat", _NAT_CHAINS),
    "forward_ipv6": ("ipv6 filter", _FORWARD_CHAINS),
    "guard": ("guard", ("add ",)),
}

_HOOKS = ("PREROUTING", "OUTPUT", "POSTROUTING", "DOCKER-USER", "FORWARD", "INPUT")
"""Where the host script looks for jumps to our chains (jumps in compose.awk)."""

_LISTED = 20
"""So many lines of an edited file are shown, and places of one address."""


def live_rules(
    network: str, bridge: str, rules: Rules, live: Live, applied: str | None = None
) -> dict[str, dict[str, str]] | None:
    """Return `rules` as they are on the host, None where nothing of the network is there.

    A line in force keeps its role. A role whose line is gone is left out, or holds the line that
    was found in its place. What is there and should not be has a role beginning with "drift"; a
    line in our chains that is about nobody's packets in particular is every network's.
    `applied` is the digest of the fragment that was put; by default `rules` are what was put.
    """
    rules = {section: without_drift(rules.get(section, {})) for section in SECTIONS}
    own = concerning([*claims(bridge, rules), *claims_of(network, live)])
    found = {"addresses": _addresses(rules["addresses"], live)}
    for section, (table, chains) in _TABLES.items():
        # What the host puts in for `@BRIDGE` is not to be seen as another line.
        places = {placed_text(line, live): line for line in rules[section].values()}
        wanted = {role: placed_text(line, live) for role, line in rules[section].items()}
        found[section] = match(network, table, chains, wanted, live, _or_nobodys(own, wanted))
        found[section] = {role: places.get(line, line) for role, line in found[section].items()}
        if section == "guard":
            found[section] |= _base_drift(live) if wanted else {}
            found[section] |= _bridge_drift(wanted, live)
        elif wanted:
            found[section] |= jump_drift(table, lines_of(live))
    if network not in live.fragments and not any(
        found[section].keys() & rules[section].keys() for section in SECTIONS
    ):
        return None
    wanted_text = fragment(network, bridge, rules)
    found["addresses"] |= file_drift(network, wanted_text, applied or digest(wanted_text), live)
    return {section: found[section] for section in SECTIONS}


def without_drift(lines: Mapping[str, str]) -> dict[str, str]:
    """Return the lines without what an earlier refresh found: that is looked for anew."""
    return {role: line for role, line in lines.items() if not role.startswith("drift ")}


def file_drift(name: str, wanted: str, applied: str, live: Live) -> dict[str, str]:
    """Say what is wrong with a fragment's file, nothing where it is as it was put.

    `wanted` is the text that was put and `applied` its digest. Where they do not belong together,
    because another version put it, it is not known which of its lines were edited.
    """
    path = f"/etc/wanbound/{name}.rules"
    text = live.fragments.get(name)
    if text is None:
        return {"drift file": f"{path} is gone"}
    if digest(text) == applied:
        return {}
    drift = {"drift file": f"{path} was edited"}
    if digest(wanted) == applied:
        before, after = Counter(wanted.split("\n")), Counter(text.split("\n"))
        said = [f"lacks: {line}" for line in (before - after).elements()]
        said += [f"has: {line}" for line in (after - before).elements()]
        drift |= {f"drift file {n}": line[:1000] for n, line in enumerate(said[:_LISTED], 1)}
    return drift


# It is the same for every network of a host.
@lru_cache(maxsize=8)
def jump_drift(table: str, lines: Lines) -> Mapping[str, str]:
    """Say which jumps into a table's chains are not there once, as the first rule."""
    hooks = _NAT if table.endswith(" nat") else {_forward_hook(table, lines): "FORWARD"}
    drift = {}
    for chain in _HOOKS:
        rules = lines.chains.get((table, chain), ())
        for target in dict.fromkeys(hooks.values()):
            jump = f"-A {chain} -j WANBOUND-{target}"
            count = rules.count(jump)
            if hooks.get(chain) != target:
                if count:
                    drift[f"drift jump {chain} {target}"] = f"{jump} should not be there"
            elif count != 1:
                state = f"is there {count} times" if count else "is gone"
                drift[f"drift jump {chain}"] = f"{jump} {state}"
            elif rules[0] != jump:
                drift[f"drift jump {chain}"] = f"{jump} is not the first rule"
                drift[f"drift jump {chain} behind"] = rules[0]
    return drift


def _forward_hook(table: str, lines: Lines) -> str:
    """Return where the forward lines are hooked: Docker keeps DOCKER-USER first, if it made one.

    docker-ipv6nat may put its isolation before it, where what is accepted in it comes too late.
    """
    for line in lines.chains.get((table, "FORWARD"), ()):
        if line == "-A FORWARD -j DOCKER-USER":
            return "DOCKER-USER"
        if line.startswith("-A FORWARD -j DOCKER-ISOLATION"):
            break
    return "FORWARD"


def _or_nobodys(own: Callable[[Stray], bool], wanted: Mapping[str, str]) -> Callable[[Stray], bool]:
    """Return what blames a network for its own strays, and for nobody's where it has lines."""
    return lambda stray: own(stray) or (stray.nobodys and bool(wanted))


@lru_cache(maxsize=2)
def _base_drift(live: Live) -> Mapping[str, str]:
    """Say what is wrong with the base chains of the guard, which belong to all networks."""
    if not live.guard:
        return {"drift base": "the table inet wanbound is gone"}
    base = [line for line in live.guard if line in GUARD_BASE]
    if missing := [line for line in GUARD_BASE if line not in base]:
        return {f"drift base {n}": f"{line} is gone" for n, line in enumerate(missing, 1)}
    if base != list(GUARD_BASE):
        return {"drift base": "the lines of the table's base chains stand in another order"}
    return {}


def _bridge_drift(wanted: Mapping[str, str], live: Live) -> Mapping[str, str]:
    """Say whether the line is gone that finds a network by its bridge, where one needs it."""
    needed = any(
        line.startswith("add element inet wanbound by-bridge ") for line in wanted.values()
    )
    if not needed or not live.guard or GUARD_BRIDGE in live.guard:
        return {}
    return {"drift bridge": f"{GUARD_BRIDGE} is gone"}


def _addresses(wanted: Mapping[str, str], live: Live) -> dict[str, str]:
    found: dict[str, str] = {}
    for role, text in wanted.items():
        device = role.split()[0]
        # How it was added says nothing once it is there.
        line = text.removesuffix(" nodad")
        places = lines_of(live).addresses.get(address_of(line), ())
        for live_device, live_line in places[:_LISTED]:
            if live_device != device:
                found[f"drift {live_device} {role}"] = f"{live_line} (on {live_device})"
            elif role not in found:
                found[role] = text if live_line == line else live_line
            else:
                # One address with two prefixes: the kernel takes both, and one is right at most.
                other, found[role] = sorted(
                    (live_line, found[role]), key=lambda x: x in (line, text)
                )
                found[f"drift {role}"] = other
    return found
