"""Text and configurations of an attacker who wants to break out of a value."""

import copy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.planner.strategies import Raw, stacks

CASES = max(300, settings.default.max_examples if settings.default else 0)
"""Cases for each test; `--hypothesis-profile=long` tries 20,000, and other ones in each run."""

FUZZ = settings(
    max_examples=CASES,
    # Milliseconds for one case: none may take long, even on a busy machine.
    deadline=10_000,
    derandomize=CASES == 300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

BREAKOUTS = (
    "\n", "\r", "\0", "\t", "\x1b[2J", "\x85", "\u2028", "\u202e", "\x0b", "\x1c", " ", "\xa0",
    "-", "--", "-oProxyCommand=id", " -o ProxyCommand=id", " -j ACCEPT", "-A INPUT -j ACCEPT",
    "'", '"', "`", "$(id)", "${IFS}", "$IFS", ";", "; id", "&& id", "| id", "& ", ">", "<",
    "\\", "\\n", "%h", "%n", "%", "!", "*", "?", "[", "]", "{", "}", "} ; flush ruleset ; {", "#",
    "(", ")", "~", ",", ":", "/", "//", "/../", "..", ".", "=", "@", "@evil", "EOF", "END-",
    "`) || Host(`x", "`,`", "\nCOMMIT\n*filter\n", "\n== remove web\n", "\n== put x\n", "== end",
    "\uff11", "\u0430", "é", "\u0301", "\u200b", "\ufeff", "😀", "\ud800", "0x1f", "1e9", "null",
)  # fmt: skip
"""Text that ends, opens or changes something in one of the languages that get a value."""


def texts() -> st.SearchStrategy[str]:
    """Return texts of dangerous, common and arbitrary parts."""
    piece = st.sampled_from(BREAKOUTS) | st.sampled_from(["web", "a", "0", "203.0.113.1", "::1"])
    return st.lists(piece | st.text(max_size=4), min_size=1, max_size=4).map("".join)


_GENTLE = st.sampled_from(["-", ".", "_", "A", "a", "0", "1", "--", "..", "_-", ".-", "-o", "-j"])
"""Characters that many places allow, so that much of it is accepted."""


@st.composite
def sprinkled(draw: st.DrawFn, text: str) -> str:
    """Draw `text` with something dangerous in it, before it, after it or in place of it."""
    if draw(st.integers(0, 9)) > 3:
        at = draw(st.integers(0, len(text)))
        return text[:at] + draw(_GENTLE) + text[at:]
    evil = draw(texts())
    if draw(st.integers(0, 4)) == 0:
        return evil
    at = draw(st.integers(0, len(text)))
    return text[:at] + evil + text[at + draw(st.integers(0, 2)) :]


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401
    """Return the path of every value that is neither a list nor a mapping."""
    if isinstance(value, dict):
        return [way for key, below in value.items() for way in places(below, (*here, key))]
    if isinstance(value, list):
        return [way for at, below in enumerate(value) for way in places(below, (*here, at))]
    return [here]


_FREE = frozenset({"name", "bridge", "domain", "image", "user", "interface", "seed", "address"})
_TEXTS = frozenset({"environment", "labels", "command", "volumes"})
"""Keys with free text, where most of what could break out is allowed."""


@st.composite
def poisoned(draw: st.DrawFn) -> Raw:
    """Draw a valid configuration in which one to three values were tampered with."""
    raw = copy.deepcopy(draw(stacks(max_hosts=2, max_networks=2, moded=True)))
    for host in raw["hosts"]:
        host["ssh"] |= {"user": "root", "port": 22, "host_key": HOST_KEY}
        for network in host["networks"]:
            for container in network.get("containers", ()):
                container.setdefault("environment", {})["TOKEN"] = "x"
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        found = places(raw)
        if draw(st.integers(0, 2)):
            found = [way for way in found if way[-1] in _FREE or _TEXTS.intersection(way)]
        *way, last = draw(st.sampled_from(found))
        here: Any = raw
        for part in way:
            here = here[part]
        evil = draw(sprinkled(str(here[last])))
        if isinstance(last, str) and draw(st.integers(0, 9)) == 0:
            here[draw(sprinkled(last))] = here.pop(last)
        else:
            here[last] = evil
    return raw


HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEjzRZqjCCR4BrlzUQXzLeVBrNUzqyGsFPYbnUuKbFWL"
"""A valid key whose private half does not exist."""
