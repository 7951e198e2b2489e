"""What a host wants for itself as it is there, held against what was applied. Pure.

The same convention as `providers.live_rules`: what is found in a line's place keeps its role, what
is beside it has a role that begins with "drift".
"""

from collections.abc import Callable, Mapping

from providers.base_fragment import BASE_NAME, BASE_SECTIONS, base_fragment
from providers.fragment import Rules, digest
from providers.live import Live
from providers.live_match import Lines, Stray, lines_of, match
from providers.live_rules import file_drift, jump_drift, without_drift

_INPUT = ("-A WANBOUND-INPUT ",)
_FORWARD = ("-A WANBOUND-FORWARD ",)
_RULES = {
    "input_ipv4": ("ipv4 filter", _INPUT),
    "forward_ipv4": ("ipv4 filter", _FORWARD),
    "input_ipv6": ("ipv6 filter", _INPUT),
    "forward_ipv6": ("ipv6 filter", _FORWARD),
}


def live_base(
    base: Rules, persist: str | None, live: Live, applied: str | None = None
) -> dict[str, dict[str, str]] | None:
    """Return `base` as it is on the host, None where nothing of it is there.

    What is in force by chance (a route, a link, a kernel parameter) does not make it be there.
    `applied` is the digest of the fragment that was put; by default `base` is what was put.
    """
    base = {section: without_drift(base.get(section, {})) for section in BASE_SECTIONS}
    found = {
        "link": _links(base["link"], live),
        "routes": _routes(base["routes"], live),
        "sysctls": _sysctls(base["sysctls"], live),
    }
    lines = lines_of(live)
    for section, (table, chains) in _RULES.items():
        wanted = base[section]
        found[section] = match(BASE_NAME, table, chains, wanted, live, _blamed(chains, wanted))
        if wanted:
            jumps = _input_jump(table, lines) if chains is _INPUT else jump_drift(table, lines)
            found[section] |= jumps
    if BASE_NAME not in live.fragments and not any(
        found[section].keys() & base[section].keys() for section in _RULES
    ):
        return None
    text = base_fragment(base, persist)
    found["link"] |= file_drift(BASE_NAME, text, applied or digest(text), live)
    return {section: found[section] for section in BASE_SECTIONS}


def _blamed(chains: tuple[str, ...], wanted: Mapping[str, str]) -> Callable[[Stray], bool]:
    """Return what blames the host: in its own chain for all, else for what no network claims."""
    whole = chains is _INPUT
    return lambda stray: bool(wanted) and (whole or stray.hosts or stray.nobodys)


def _links(wanted: Mapping[str, str], live: Live) -> dict[str, str]:
    devices = {role: line.split()[0] for role, line in wanted.items()}
    return {
        role: f"{device} {live.links[device]}"
        for role, device in devices.items()
        if device in live.links
    }


def _routes(wanted: Mapping[str, str], live: Live) -> dict[str, str]:
    """Compare gateway and interface; who set a route, and its metric, are of no interest.

    The first route of a family is the one that packets take: one before ours is drift, one behind
    it is not.
    """
    found = {}
    for role, line in wanted.items():
        family = "ipv6" if ":" in line else "ipv4"
        routes = [route for version, route in live.routes if version == family]
        ours = [number for number, route in enumerate(routes) if _same(route, line)]
        if ours:
            found[role] = line
            before = routes[: ours[0]]
            found |= {f"drift {role} {n}": route for n, route in enumerate(before[:20], 1)}
        elif routes:
            found[role] = routes[0]
    return found


def _same(route: str, wanted: str) -> bool:
    return f"{route} ".startswith(f"{wanted} ")


def _sysctls(wanted: Mapping[str, str], live: Live) -> dict[str, str]:
    """Compare values; of a key that the file does not name any more the host does not tell."""
    keys = {role: line.partition(" = ")[0] for role, line in wanted.items()}
    asked = {
        words[1]
        for line in live.fragments.get(BASE_NAME, "").split("\n")
        if (words := line.split())[:1] == ["sysctl"] and len(words) > 1
    }
    return {
        role: f"{key} = {live.sysctls[key]}" if key in live.sysctls else wanted[role]
        for role, key in keys.items()
        if key in live.sysctls or key not in asked
    }


def _input_jump(table: str, lines: Lines) -> dict[str, str]:
    """Say what is wrong with the jump that has to be the last rule of INPUT."""
    rules = lines.chains.get((table, "INPUT"), ())
    jump = "-A INPUT -j WANBOUND-INPUT"
    count = rules.count(jump)
    if count != 1:
        state = f"is there {count} times" if count else "is gone"
        return {"drift jump INPUT": f"{jump} {state}"}
    if rules[-1] != jump:
        return {
            "drift jump INPUT": f"{jump} is not the last rule",
            "drift jump INPUT before": rules[-1],
        }
    return {}
