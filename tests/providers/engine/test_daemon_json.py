"""Changes of single keys of a daemon.json leave everything else as its author wrote it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.engine.daemon_json import DaemonJson, DaemonJsonError, json_source

FILE = """\
{
    "log-opts" : {"max-size": "10m"},
    "default-shm-size": 1e3,

    "registry-mirrors": [ "http://a" ]
}
"""


def test_a_key_is_put_at_the_end_in_the_manner_of_the_file() -> None:
    """The other lines stay unchanged to the byte."""
    after = DaemonJson(FILE).with_key("ipv6", "true")
    assert after.text == FILE.replace('"http://a" ]\n', '"http://a" ],\n    "ipv6": true\n')


def test_a_key_that_is_there_gets_its_value_at_its_place() -> None:
    """Only the value changes, nothing before or after it."""
    after = DaemonJson(FILE).with_key("default-shm-size", "64")
    assert after.text == FILE.replace("1e3", "64")
    assert after.value("default-shm-size") == 64
    assert DaemonJson(FILE).source("default-shm-size") == "1e3"


@pytest.mark.parametrize("key", ["log-opts", "default-shm-size", "registry-mirrors"])
def test_a_key_is_removed_wherever_it_stands(key: str) -> None:
    """At the start, in the middle and at the end; the other keys keep their text."""
    after = DaemonJson(FILE).without_key(key)
    assert key not in after
    assert json.loads(after.text).keys() == json.loads(FILE).keys() - {key}
    for other in after.keys:
        assert after.source(other) == DaemonJson(FILE).source(other)


def test_a_file_that_is_not_there_becomes_one_that_people_read() -> None:
    """It has line breaks and a final newline."""
    assert DaemonJson("").with_key("ipv6", "true").text == '{\n  "ipv6": true\n}\n'


BAD = [
    ("{", 1, 2, "Expecting property name"),
    ("[1]", 1, 1, "not an object"),
    ('{\n "a": nope\n}', 2, 7, "Expecting value"),
    ('{"a": 1 "b": 2}', 1, 9, "delimiter"),
    ('{"a": 1} x', 1, 10, "after its end"),
    ('{\n"a": 1,\n"a": 2}', 3, 1, "twice"),
    ('// mine\n{"a": 1}', 1, 1, "Expecting value"),
    ('{"a": NaN}', 1, 7, "the value of 'a': NaN"),
    ('{"NaN": 1,\n"a": [1' + "0" * 4999 + "]}", 2, 6, "'a': a number of 5000 digits"),
    ('{"a": -1' + "0" * 4999 + "}", 1, 7, "'a': a number of 5000 digits"),
    ('{"a": 1e999}', 1, 7, "'a': the number 1e999"),
    ('{"a": ' + "[" * 100_000, 1, 1, "nested"),
]


@pytest.mark.parametrize(("text", "line", "column", "what"), BAD)
def test_what_is_no_json_is_named_by_its_place(
    text: str, line: int, column: int, what: str
) -> None:
    """Line and column are counted as in an editor."""
    with pytest.raises(DaemonJsonError, match=f"line {line}, column {column}: ") as caught:
        DaemonJson(text)
    assert what in str(caught.value)


VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, min_size=1, max_size=5)


@given(
    st.dictionaries(st.text(max_size=6), VALUES, max_size=5),
    OBJECTS,
    st.sampled_from([None, 0, 1, 4, "\t"]),
)
def test_what_was_set_and_removed_again_leaves_the_file_as_it_was(
    there: dict[str, object], ours: dict[str, object], indent: int | str | None
) -> None:
    """Any content and indentation; unchanged to the byte if the file had a key."""
    text = json.dumps(there, indent=indent) + "\n"
    before = after = DaemonJson(text)
    for key, value in ours.items():
        after = after.with_key(key, json_source(value))
    assert json.loads(after.text) == {**there, **ours}
    for key in reversed(ours):
        source = before.source(key)
        after = after.without_key(key) if source is None else after.with_key(key, source)
    assert after.text == text


def test_whole_numbers_are_written_as_such() -> None:
    """Pulumi's engine passes 1400.0, which dockerd does not accept as an integer."""
    assert json_source({"mtu": 1400.0, "debug": True, "x": 0.5}) == (
        '{"mtu": 1400, "debug": true, "x": 0.5}'
    )
