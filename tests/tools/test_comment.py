"""The comment on a pull request, composed from recorded previews."""

import re

import pytest

from tests.tools.previews import PAGE, RUN, SHOWN, comment, diff, preview
from tools.comment import coloured, compose
from tools.preview import Preview


def test_the_meaning_comes_before_the_diff() -> None:
    """The summary comes first, then the sentences, then the lines."""
    text = comment("address")
    places = [text.index(each) for each in ("### `production`: 1 to", "- `mail` on", "```diff")]
    assert places == sorted(places)


def test_a_change_is_a_line_for_each_value() -> None:
    """The lines have GitHub's colours, with the sign in the first column."""
    found = coloured('    ~ a: {\n        ~ ipv4: "1" => "2"\n      + b: "3"\n      c: "=> d"\n')
    assert found.splitlines() == [
        "!     a: {",
        '-         ipv4: "1"',
        '+         ipv4: "2"',
        '+       b: "3"',
        '      c: "=> d"',
    ]


def test_no_line_of_a_real_diff_is_lost() -> None:
    """Each line is there, or both of its values."""
    shown, text = diff("containers"), coloured(diff("containers"))
    changes = sum(
        1 for line in shown.splitlines() if line.lstrip().startswith("~ ") and " => " in line
    )
    assert changes > 0
    assert len(text.splitlines()) == len(shown.splitlines()) + changes


def test_a_comment_that_is_too_long_is_cut_and_says_so() -> None:
    """The sentences are complete; the comment has the number of omitted lines and their place."""
    whole, text = comment("containers"), comment("containers", 6000)
    assert len(text) <= 6000 < len(whole)
    assert all(f"- {sentence}" in text for sentence in preview("containers").meaning)
    cut = re.search(r"… cut here: (\d+) more lines are in the artifact of (\S+)\n```\n\Z", text)
    assert cut is not None
    assert cut[2] == RUN
    kept = text.partition("```diff\n")[2].partition("\n\n… cut")[0]
    assert len(kept.splitlines()) + int(cut[1]) == len(coloured(diff("containers")).splitlines())


def test_a_failed_preview_looks_failed() -> None:
    """The heading says so, with the errors, and without a diff that looks like a small change."""
    text = comment("refused")
    assert text.startswith("### `production`: the preview failed\n\n> [!CAUTION]\n")
    assert "203.0.113.10 is the public address of network web" in text
    assert "```diff" not in text


def test_nothing_to_change_is_one_line() -> None:
    """Unchanged resources have no diff."""
    assert comment("nothing") == (
        "### `production`: 16 unchanged\n\n`pulumi up` changes nothing.\n"
    )


@pytest.mark.parametrize("text", ["```\n# heading", "a ````` b"])
def test_no_text_ends_its_block(text: str) -> None:
    """A fence is longer than every run of backticks in the text."""
    found = compose("x", Preview({"update": 1}, ("something",)), text, RUN)
    fence = re.search(r"(?m)^(`+)diff$", found)
    assert fence is not None
    assert fence[1] not in text
    failed = compose("x", Preview(errors=(text,)), "", RUN)
    assert re.search(r"(?m)^`{4,}text$", failed) is not None


def test_the_page_shows_the_recordedcomment() -> None:
    """It is the current comment for the recorded preview."""
    shown = SHOWN.search(PAGE.read_text())
    assert shown is not None
    assert shown[0] == comment("address")
