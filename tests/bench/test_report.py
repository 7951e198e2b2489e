"""A finding is the same on the screen, in Markdown and in JSON."""

import io
import json

import pytest
from rich.console import Console

from bench.report import Failure, Finding, as_json, markdown, rich_table

FINDING = Finding(
    part="a",
    title="HostNetworking [bold]",
    columns=("networks", "floor", "ours"),
    rows=[("1: create", "0.40 s", "1.2 (1.0-1.4)"), ("a|b", "", "x")],
    notes=["What the floor is."],
    raw={"1": {"floor": [0.4, 0.41]}},
)


def test_markdown_has_what_it_was_measured_on_and_every_row() -> None:
    """Pipe characters inside cells do not break the table."""
    assert markdown({"machine": "2 x CPU"}, [FINDING]) == (
        "# Benchmark\n"
        "\n"
        "- machine: 2 x CPU\n"
        "\n"
        "## (a) HostNetworking [bold]\n"
        "\n"
        "| networks | floor | ours |\n"
        "| --- | ---: | ---: |\n"
        "| 1: create | 0.40 s | 1.2 (1.0-1.4) |\n"
        "| a\\|b |  | x |\n"
        "\n"
        "- What the floor is.\n"
    )


def test_a_failed_part_stands_among_the_others() -> None:
    """Its row has the reason."""
    text = markdown({}, [Failure("b", "BenchError: why"), FINDING])
    assert "## (b) failed\n\n```\nBenchError: why\n```\n\n## (a) HostNetworking" in text


def test_json_has_every_single_measurement() -> None:
    """Medians can be recomputed from it."""
    found = json.loads(json.dumps(as_json({"at": "now"}, [FINDING, Failure("b", "why")])))
    assert found["about"] == {"at": "now"}
    assert found["findings"][0]["raw"] == {"1": {"floor": [0.4, 0.41]}}
    assert found["findings"][0]["rows"][0] == ["1: create", "0.40 s", "1.2 (1.0-1.4)"]
    assert found["failures"] == [{"part": "b", "reason": "why"}]


def test_the_screen_shows_markup_as_text() -> None:
    """A bracket in a title does not count as a style."""
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(rich_table(FINDING))
    shown = console.export_text()
    assert "(a) HostNetworking [bold]" in shown
    assert "1.2 (1.0-1.4)" in shown


def test_a_row_that_does_not_fit_is_refused() -> None:
    """A missing column would shift all cells after it."""
    with pytest.raises(ValueError, match="does not fit"):
        Finding(part="a", title="", columns=("one", "two"), rows=[("1",)])
