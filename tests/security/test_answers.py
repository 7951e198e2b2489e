"""A host that was taken over answers the operator: whatever it says is read, or refused, at once.

Each test takes what real hosts printed (tests/providers/captured) and has somebody tamper with it.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from providers.live import ParseError, parse
from providers.live_base import live_base

from providers.errors import SHOWN, HostError, readable
from tests.providers.drift import found_in
from tests.providers.samples import HOSTS, base, captured, samples
from tests.security.hostile import BREAKOUTS, FUZZ, texts

LIMIT = 10.0
"""Seconds of this process for one answer, however long it is."""

_WORDS = (
    "== end", "== addresses", "== guard", "== ipv4 nat", "== fragment tst-web.rules", "== routes",
    "== fragment ../../etc/passwd", "== units", "== docker", "-A ", "-A WANBOUND-DNAT", "-A  ",
    "-A WANBOUND-SNAT -s 0.0.0.0/0 -j SNAT --to-source", "*nat", "COMMIT", ":FORWARD", "1: lo",
    "7: wan0    inet 203.0.113.10/32 scope", "7: wan0    inet6 ::/0 scope global \\", "\\", "inet ",
    "table inet wanbound {", "\tchain from-web {", "\tmap from {", "\t\telements = {", "}", "{",
    "\t\telements = { }", "type ", "claim bridge tst-web", "claim ", "wanbound", "999999999999: a",
    "ipv4 default via 203.0.113.1 dev wan0", "ipv6 nexthop", "net.ipv4.ip_forward = ", "no systemd",
    "script", "script missing", "bridge 0123456789ab - -", "1.2.3.4/33", "fe80::%wan0/129",
)  # fmt: skip
"""Pieces of the language in which a host answers."""


@st.composite
def tampered(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a host, and what it says once somebody has cut, copied, moved and added pieces."""
    host = draw(st.sampled_from(HOSTS))
    text = captured(host)
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
    return host, text


def _read(host: str, text: str) -> None:
    """Read it as a refresh does, for every network: a result, or ParseError and nothing else."""
    try:
        parse(text)
    except ParseError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000
        return
    event("read")
    own = live_base(base(host), None, parse(text))
    if own is None:
        assert "== fragment _host.rules" not in text.split("\n")
    else:
        _assert_plain(own)
    for name, sample in samples(host).items():
        found = found_in(sample, text)
        if found is None:
            # "Gone" makes the next `up` create it anew: only if nothing at all speaks of it.
            assert f"== fragment {name}.rules" not in text.split("\n")
        else:
            _assert_plain(found)


def _assert_plain(found: dict[str, dict[str, str]]) -> None:
    assert sum(map(len, found.values())) < 1000
    for lines in found.values():
        for role, line in lines.items():
            assert isinstance(role, str)
            assert isinstance(line, str)
            assert "\n" not in role + line


@pytest.mark.parametrize("host", HOSTS)
def test_an_untouched_answer_is_read(host: str) -> None:
    """Else the tests below would tamper with nothing."""
    for sample in samples(host).values():
        assert found_in(sample, captured(host)) is not None


@given(tampered())
@FUZZ
def test_a_tampered_answer(drawn: tuple[str, str]) -> None:
    """Pieces cut, copied, moved and added."""
    _read(*drawn)


@st.composite
def invented(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a host, and an answer that has every part and in them lines from anywhere."""
    host = draw(st.sampled_from(HOSTS))
    real = captured(host).splitlines()
    line = st.sampled_from(real) | st.sampled_from(_WORDS) | texts()
    names = [line for line in real if line.startswith("== ")]
    text = ""
    for name in names:
        mine = list(_part(real, name)) if draw(st.booleans()) else []
        some = draw(st.lists(line, max_size=2)) if draw(st.integers(0, 9)) == 0 else []
        text += "".join(f"{line}\n" for line in [name, *mine, *some])
    return host, text


def _part(lines: list[str], name: str) -> Iterator[str]:
    """Yield the lines of one part of an answer."""
    for line in lines[lines.index(name) + 1 :]:
        if line.startswith("== "):
            return
        yield line


@given(invented())
@FUZZ
def test_an_invented_answer(drawn: tuple[str, str]) -> None:
    """Every part is there, some empty, some with lines of others and of nobody."""
    _read(*drawn)


@given(st.sampled_from(HOSTS), st.binary(max_size=2000))
@FUZZ
def test_a_binary_answer(host: str, data: bytes) -> None:
    """Bytes of no encoding, alone and within a real answer."""
    text = data.decode(errors="replace")
    _read(host, text)
    real = captured(host)
    _read(host, real[: len(real) // 2] + text + real[len(real) // 2 :])


@given(st.sampled_from(HOSTS), st.data())
@FUZZ
def test_a_truncated_answer_is_never_gone(host: str, data: st.DataObject) -> None:
    """Cut at any place: the network is not said to be gone, so nothing is created over it."""
    text = captured(host)
    at = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(ParseError):
        parse(text[:at])


_HUGE = {
    "one line of blanks": "7: wan0    inet " + " " * 5_000_000,
    "one line of words": "-A WANBOUND-DNAT " + "-s a " * 1_000_000,
    "one line of sections": "== " * 1_000_000,
    "lines of nothing": "\n" * 3_000_000,
    "lines alike": "-A WANBOUND-SNAT -s 172.29.11.0/24 -j SNAT --to-source 203.0.113.1\n" * 300_000,
    "lines that differ": "".join(
        f"-A WANBOUND-SNAT -s 172.29.11.0/24 ! -o tst-web -j SNAT --to-source 203.0.{n}\n"
        for n in range(200_000)
    ),
    "elements": "\tmap from {\n\t\telements = {" + ' "a" : jump from-a,' * 300_000 + " }\n\t}\n",
    "elements in lines": "\tmap from {\n\t\telements = {\n" + '"a" : jump a,\n' * 200_000,
    "addresses": "7: wan0    inet 203.0.113.10/32 scope global wan0\\ x\n" * 200_000,
    "backslashes": "7: wan0    inet 1.2.3.4/32 scope " + "\\" * 1_000_000,
}


@pytest.mark.parametrize("section", ["ipv4 nat", "guard", "addresses", "fragment tst-web.rules"])
@pytest.mark.parametrize("kind", _HUGE)
def test_a_huge_answer_costs_no_time(section: str, kind: str) -> None:
    """Megabytes of what is expensive to read, in each part: seconds, not hours."""
    host = HOSTS[0]
    mark = f"\n== {section}\n"
    text = f"\n{captured(host)}".replace(mark, f"{mark}{_HUGE[kind]}\n", 1)[1:]
    assert len(text) > 1_000_000
    started = time.process_time()
    _outside_hypothesis(host, text)
    assert time.process_time() - started < LIMIT


def _outside_hypothesis(host: str, text: str) -> None:
    try:
        live_base(base(host), None, parse(text))
        for sample in samples(host).values():
            found_in(sample, text)
    except ParseError as error:
        assert len(str(error)) < 1000


# --- what of it reaches the operator's terminal --------------------------------------------------


@given(st.text() | texts() | st.binary().map(lambda data: data.decode("latin-1")))
@FUZZ
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    """Whatever an error quotes: no escape sequence, no mark of direction, no end."""
    error: Any = HostError("edge-1", text, "unchanged", "see")
    for said in (str(error), str(error.about("web")), readable(text)):
        assert all(line.isprintable() for line in said.split("\n"))
    assert error.about("web").what == error.what
    if text.isprintable():
        assert error.what == text[: len(error.what)]


def test_a_long_word_of_a_host_is_cut() -> None:
    """Megabytes on standard error are not megabytes on the terminal."""
    assert len(readable("x" * 50_000_000)) == SHOWN
    assert len(readable("\x1b" * 50_000_000)) == SHOWN
    assert readable("all\nof this") == "all\nof this"
