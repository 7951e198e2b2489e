"""A compromised host answers the operator: every answer is read or refused, without delay.

Each test tampers with a host's output (tests/providers/fake_remote.py).
"""

import json
import time
from collections.abc import Iterator
from functools import cache
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli.diagnosis import Reading, diagnose
from cli.status import draw as draw_status
from cli.status import view
from planner.config import Stack
from planner.plan import plan as planned
from providers.errors import SHOWN, HostError, readable
from providers.host.doctor import parse as parse_inspection
from providers.host.drift import found
from providers.host.facts import ParseError, parse
from providers.host.generation import compose
from providers.host.installed import live_installed
from providers.host.status import parse as parse_status
from tests.planner.samples import edited
from tests.providers.host.site import Site
from tests.providers.host.test_doctor import ANSWER as INSPECTION
from tests.providers.host.test_status import ANSWER as STATUS
from tests.providers.samples import HOST, only, plan
from tests.security.hostile import BREAKOUTS, FUZZ, texts

LIMIT = 10.0
"""Seconds of this process for one answer of any length."""

_WORDS = (
    "== end", "== addresses", "== live guard", "== loaded ipv4", "== edited host", "== routes",
    "== edited ../../etc/passwd", "== units", "== docker", "== containers", "-A ",
    "-A WANBOUND-DNAT", "-A  ",
    "== plan", "== generation", "current none", "current x", "owner x", "hook X", "jump", "first",
    "jump nat OUTPUT -j WANBOUND-DNAT", ":WANBOUND-X", "element", "element from x : accept",
    "docker 28.5.2 iptables", "docker stopped", '["a","","",""]', "ipv4 default via x dev y", "[]",
    '[{"Name": 1, "Id": 2}]', '"leaving": [],',
    "-A WANBOUND-SNAT -s 0.0.0.0/0 -j SNAT --to-source", "*nat", "COMMIT", ":FORWARD", "1: lo",
    "7: wan0    inet 203.0.113.10/32 scope", "7: wan0    inet6 ::/0 scope global \\", "\\", "inet ",
    "table inet wanbound {", "\tchain from-web {", "\tmap from {", "\t\telements = {", "}", "{",
    "\t\telements = { }", "type ", "\tchain forward {", "wanbound", "999999999999: a",
    "ipv4 default via 203.0.113.1 dev wan0", "ipv6 nexthop", "net.ipv4.ip_forward = ", "no systemd",
    "script", "script missing", "bridge 0123456789ab - -", "1.2.3.4/33", "fe80::%wan0/129",
)  # fmt: skip
"""Tokens of a host's answers."""


@cache
def answer() -> str:
    """Return the answer of a host with networks, a leaving one, and an edited file."""
    with pytest.MonkeyPatch.context() as patch:
        site = Site(patch)
        site.up()
        site.apply(only("web", "mail"))
        site.remote.disk[site.remote.current]["host"] = "link wan0 down\n"
        site.remote.files["/etc/iptables/rules.v4"] = "*nat\nCOMMIT\n"
        return site.remote.facts(drift=True)


@st.composite
def tampered(draw: st.DrawFn, of: str | None = None) -> str:
    """Draw an answer in which pieces were cut, copied, moved and added."""
    text = answer() if of is None else of
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 400)))
        evil = draw(st.sampled_from(_WORDS) | st.sampled_from(BREAKOUTS) | texts())
        match draw(st.sampled_from(["cut", "copy", "put", "line", "drop lines"])):
            case "cut":
                text = text[:start] + text[end:]
            case "copy":
                text = text[:end] + text[start:]
            case "put":
                text = text[:start] + evil + text[start:]
            case "line":
                at = text.find("\n", start) + 1
                text = f"{text[:at]}{evil}\n{text[at:]}"
            case _:
                lines = text.splitlines(keepends=True)
                first = draw(st.integers(0, len(lines)))
                text = "".join(lines[:first] + lines[first + draw(st.integers(1, 200)) :])
    return text


def _read(text: str) -> None:
    """Read it like a refresh: the result is plain properties or ParseError."""
    try:
        facts = parse(text, drift=True)
    except ParseError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000
        return
    if not facts.has_generation:
        # "Gone" makes the next `up` create it, so only an explicit answer may mean it.
        assert "current none" in text.split("\n")
    wanted = plan() if facts.plan is None else facts.plan
    props = found(HOST, wanted, compose(wanted), facts)
    _assert_plain({**props, "installed": live_installed(wanted, facts)})
    assert len(json.dumps(props)) < 1_000_000


def _assert_plain(value: object) -> None:
    """Assert texts without control characters, at any depth."""
    if isinstance(value, dict):
        for key, each in value.items():
            _assert_plain(key)
            _assert_plain(each)
    elif not isinstance(value, int):
        assert isinstance(value, str)
        assert value.isprintable()


def test_an_untouched_answer_is_read() -> None:
    """Otherwise the tests below would prove nothing."""
    facts = parse(answer(), drift=True)
    assert facts.plan is not None
    assert [each.name for each in facts.plan.leaving] == ["old"]
    assert facts.edited
    _read(answer())


@given(tampered())
@FUZZ
def test_a_tampered_answer(text: str) -> None:
    """Pieces are cut, copied, moved and added."""
    _read(text)


@given(tampered(STATUS))
@FUZZ
def test_a_tampered_status(text: str) -> None:
    """`./wanbound status` gets data that it can print, or refuses the answer."""
    try:
        status = parse_status(text)
    except ParseError as error:
        assert str(error).isprintable()
        return
    [host, _] = planned(Stack.parse(edited(), "any"))
    assert json.loads(json.dumps(view("any", host, status)))["host"] == "edge-1"
    draw_status(Console(file=StringIO()), view("any", host, status))


@given(tampered(INSPECTION))
@FUZZ
def test_a_tampered_inspection(text: str) -> None:
    """`./wanbound doctor` gets findings, or refuses the answer."""
    try:
        inspection = parse_inspection(text)
    except ParseError as error:
        assert str(error).isprintable()
        return
    stack = Stack.parse(edited(), "any")
    unread = HostError("edge-1", "no answer", "as it was", "look")
    assert diagnose(stack, planned(stack)[0], Reading(0.1, inspection, unread))


@st.composite
def tampered_plan(draw: st.DrawFn) -> str:
    """Draw an answer with another value at one place of its plan."""
    (line,) = (line for line in answer().split("\n") if line.startswith('{"leaving'))
    raw = json.loads(line)
    here: Any = raw
    while draw(st.integers(0, 5)):
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = draw(st.sampled_from(keys))
        if not isinstance(here[key], dict | list) or not here[key]:
            break
        here = here[key]
    keys = list(here) if isinstance(here, dict) else list(range(len(here)))
    odd: st.SearchStrategy[Any] = (
        st.sampled_from([None, 0, 1e999, True, [], {}, [[]], {"": ""}, "\x1b[2J"]) | texts()
    )
    here[draw(st.sampled_from(keys))] = draw(odd)
    if isinstance(here, dict) and draw(st.booleans()):
        here[draw(texts())] = here.pop(draw(st.sampled_from(list(here))))
    return answer().replace(line, json.dumps(raw))


@given(tampered_plan())
@FUZZ
def test_a_tampered_plan(text: str) -> None:
    """It is JSON, but not as wanbound writes it."""
    _read(text)


@st.composite
def invented(draw: st.DrawFn) -> str:
    """Draw an answer that has every part, with lines of any part in each."""
    real = answer().splitlines()
    line = st.sampled_from(real) | st.sampled_from(_WORDS) | texts()
    names = [line for line in real if line.startswith("== ")]
    text = ""
    for name in names:
        mine = list(_part(real, name)) if draw(st.booleans()) else []
        some = draw(st.lists(line, max_size=2)) if draw(st.integers(0, 9)) == 0 else []
        text += "".join(f"{line}\n" for line in [name, *mine, *some])
    return text


def _part(lines: list[str], name: str) -> Iterator[str]:
    """Yield the lines of one part of an answer."""
    for line in lines[lines.index(name) + 1 :]:
        if line.startswith("== "):
            return
        yield line


@given(invented())
@FUZZ
def test_an_invented_answer(text: str) -> None:
    """Every part exists; some are empty, some have lines of other parts or invented ones."""
    _read(text)


@given(st.binary(max_size=2000))
@FUZZ
def test_a_binary_answer(data: bytes) -> None:
    """Arbitrary bytes are handled alone and within a valid answer."""
    text = data.decode(errors="replace")
    _read(text)
    real = answer()
    _read(real[: len(real) // 2] + text + real[len(real) // 2 :])


@given(st.data())
@FUZZ
def test_a_truncated_answer_is_never_gone(data: st.DataObject) -> None:
    """Cut at any place, it never reads as a host without networks."""
    text = answer()
    at = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(ParseError):
        parse(text[:at], drift=True)


_HUGE = {
    "one line of blanks": "7: wan0    inet " + " " * 5_000_000,
    "one line of words": "-A WANBOUND-DNAT " + "-s a " * 1_000_000,
    "one line of sections": "== " * 1_000_000,
    "lines of nothing": "\n" * 3_000_000,
    "lines alike": "-A WANBOUND-SNAT -s 172.29.11.0/24 -j SNAT --to-source 203.0.113.1\n" * 300_000,
    "lines that differ": "".join(
        f"-A WANBOUND-SNAT -s 172.29.11.0/24 ! -o web -j SNAT --to-source 203.0.{n}\n"
        for n in range(200_000)
    ),
    "elements": "\tmap from {\n\t\telements = {" + ' "a" : jump from-a,' * 300_000 + " }\n\t}\n",
    "elements in lines": "\tmap from {\n\t\telements = {\n" + '"a" : jump a,\n' * 200_000,
    "addresses": "7: wan0    inet 203.0.113.10/32 scope global wan0\\ x\n" * 200_000,
    "routes": '["a","","",""]\n' + "ipv4 default via 10.0.0.1 dev eth0\n" * 300_000,
    "containers": '["a","","",""]\n' * 100_000,
    "backslashes": "7: wan0    inet 1.2.3.4/32 scope " + "\\" * 1_000_000,
}


@pytest.mark.parametrize(
    "section",
    [
        "live ipv4",
        "loaded ipv4",
        "live guard",
        "addresses",
        "edited host",
        "plan",
        "docker",
        "containers",
    ],
)
@pytest.mark.parametrize("kind", _HUGE)
def test_a_huge_answer_costs_no_time(section: str, kind: str) -> None:
    """Megabytes that are expensive to parse, in each part: seconds, not hours."""
    mark = f"\n== {section}\n"
    text = f"\n{answer()}".replace(mark, f"{mark}{_HUGE[kind]}\n", 1)[1:]
    assert len(text) > 1_000_000
    started = time.process_time()
    _read(text)
    assert time.process_time() - started < LIMIT


# --- output on the operator's terminal -----------------------------------------------------------


@given(st.text() | texts() | st.binary().map(lambda data: data.decode("latin-1")))
@FUZZ
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    """Quotes in errors have no escape sequence and no direction mark, and are short."""
    error: Any = HostError("edge-1", text, "unchanged", "see")
    for said in (str(error), str(error.about("web")), readable(text)):
        assert all(line.isprintable() for line in said.split("\n"))
    assert error.about("web").what == error.what
    if text.isprintable():
        assert error.what == text[: len(error.what)]


def test_a_long_word_of_a_host_is_cut() -> None:
    """Megabytes on standard error are cut before they reach the terminal."""
    assert len(readable("x" * 50_000_000)) == SHOWN
    assert len(readable("\x1b" * 50_000_000)) == SHOWN
    assert readable("all\nof this") == "all\nof this"
