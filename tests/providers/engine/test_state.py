"""What a host reports about its engine, and invalid reports."""

import pytest

from providers.engine.state import EngineParseError, digest, engine_state
from tests.providers.engine.fake_engine import FakeEngine


def said(**engine: object) -> str:
    """Return what a host with such an engine prints."""
    found = FakeEngine('{"mtu": 1400}')
    for name, value in engine.items():
        setattr(found, name, value)
    return found.engine("state", {})


@pytest.mark.parametrize(
    ("flags", "config"),
    [
        ("/usr/sbin/dockerd\n-H\nfd://", ""),
        ("/usr/sbin/dockerd\n--config-file=/a", "/a"),
        ("/usr/sbin/dockerd\n--config-file\n/a\n--config-file=/b\n-D", "/b"),
        ("/usr/sbin/dockerd\n--config-file", ""),
    ],
)
def test_the_file_that_a_flag_names(flags: str, config: str) -> None:
    """The last flag counts, as for dockerd."""
    assert engine_state(said().replace("/usr/sbin/dockerd", flags)).config == config


def test_a_separator_of_unicode_in_an_answer_is_no_line_break() -> None:
    """A label may have one."""
    text = said().replace('"ServerVersion"', '"Labels": ["a\u2028b"], "ServerVersion"')
    assert engine_state(text).answers


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("== end\n", "", "its parts are"),
        ("runs yes\n", "", "its answer lacks: runs"),
        ("== daemon.json\n", "== daemon.json\n!", "daemon.json is not text"),
        ("== was\n-", "== was\nbm8=", "was cannot be read"),
    ],
)
def test_what_is_no_answer_is_an_error(old: str, new: str, what: str) -> None:
    """A truncated answer must not count as a host without something."""
    text = said()
    assert old in text
    with pytest.raises(EngineParseError, match=what):
        engine_state(text.replace(old, new))


def test_an_empty_file_is_not_the_same_as_none() -> None:
    """Both are restored as they were."""
    assert engine_state(said(file="")).file == ""
    assert engine_state(said(file=None)).file is None
    assert digest("") != digest(None) == "none"
