"""Explanations: the golden files, and malformed questions."""

from difflib import unified_diff
from pathlib import Path

import pytest

from cli.explain import explain
from cli.stack_file import read
from planner.config import Stack
from planner.explain import QuestionError
from tests.cli import golden
from tests.planner.samples import edited


@pytest.mark.parametrize("name", golden.QUESTIONS)
def test_the_explanations_are_the_golden_ones(name: str) -> None:
    """`python -m tests.cli.golden` updates them after a wanted change."""
    expected = golden.path(name, "explain").read_text().splitlines()
    found = golden.explained(name).splitlines()
    difference = unified_diff(expected, found, f"{name}.explain", "found", lineterm="")
    assert not (text := "\n".join(difference)), text


WRONG: dict[str, tuple[list[str], str | None, list[str], str]] = {
    "no port": (["203.0.113.10"], None, [], "not a port of an address"),
    "another protocol": (["203.0.113.10:25/sctp"], None, [], "not a port of an address"),
    "IPv6 without brackets": (["2001:db8::10:25"], None, [], "not a port of an address"),
    "no address": (["203.0.113.256:25"], None, [], "no IPv4 or IPv6 address"),
    "a caller with a prefix": (["203.0.113.10:25"], "10.0.0.0/8", [], "no IPv4 or IPv6 address"),
    "a port in --to": (["edge-1", "web"], None, ["198.51.100.1:80"], "no IPv4 or IPv6 address"),
    "--to without a network": (["edge-1"], None, ["198.51.100.1"], "HOST NETWORK --to"),
    "--to and --from": (["edge-1", "web"], "198.51.100.9", ["198.51.100.1"], "without --from"),
    "a network without --to": (["edge-1", "web"], None, [], "HOST NETWORK --to"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_question_that_is_written_wrongly_is_refused(name: str) -> None:
    """The error has the correct form."""
    where, source, to, what = WRONG[name]
    with pytest.raises(QuestionError, match=what) as raised:
        explain(Stack.parse(edited(), "any"), where, source, to)
    assert "\n  Fix: " in str(raised.value)


@pytest.mark.parametrize(
    ("where", "source", "to", "form"),
    [
        (["203.0.113.10:25"], "office", [], "such as 203.0.113.7 or 2001:db8::7, without port"),
        (["edge-1", "web"], None, ["example.com"], "such as 203.0.113.7 or 2001:db8::7, without"),
        (["example.com:25"], None, [], "write ADDRESS:PORT/PROTOCOL"),
    ],
)
def test_a_name_in_place_of_an_address_is_refused_with_the_form_there(
    where: list[str], source: str | None, to: list[str], form: str
) -> None:
    """A target has a port, a caller and a destination have none."""
    with pytest.raises(QuestionError) as raised:
        explain(Stack.parse(edited(), "any"), where, source, to)
    assert form in str(raised.value)
    assert str(raised.value).endswith("; names are not looked up")


def test_the_explanation_in_the_docs_is_that_of_the_demo() -> None:
    """Readers run it."""
    text = (Path(__file__).parent.parent.parent / "docs/cli.md").read_text()
    said = explain(read("demo"), ["203.0.113.10:443/tcp"], "172.20.0.5")
    assert f"```text\n{said}```\n" in text
