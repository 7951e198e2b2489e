"""Each stack has one comment: written once, edited afterwards. Against a `gh` that keeps them."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tools.comments import post

GH = """#!/usr/bin/env python3
import json, os, pathlib, re, sys
store = pathlib.Path(os.environ["COMMENTS"])
there = json.loads(store.read_text())
words = sys.argv[1:]
assert words.pop(0) == "api", words
if words == ["--paginate", "--slurp", "repos/o/r/issues/7/comments"]:
    print(json.dumps([there[:1], there[1:]]))
else:
    method, where = words[1], words[2]
    body = json.load(sys.stdin)["body"]
    if method == "POST":
        assert where == "repos/o/r/issues/7/comments", where
        user = {"login": "github-actions[bot]"}
        there.append({"id": len(there) + 1, "body": body, "user": user})
        print(json.dumps(there[-1]))
    else:
        assert method == "PATCH", words
        number = int(re.fullmatch("repos/o/r/issues/comments/([0-9]+)", where)[1])
        [one] = [each for each in there if each["id"] == number]
        one["body"] = body
        print(json.dumps(one))
    store.write_text(json.dumps(there))
"""

Comments: TypeAlias = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Comments:
    """Return a function that reads the comments; the first one is from another user."""
    store = tmp_path / "comments.json"
    marker = "<!-- wanbound preview of production -->\n"
    store.write_text(json.dumps([{"id": 1, "body": marker, "user": {"login": "another-user"}}]))
    program = tmp_path / "bin" / "gh"
    program.parent.mkdir()
    program.write_text(GH)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("COMMENTS", str(store))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return lambda: json.loads(store.read_text())


def _write(folder: Path, stack: str, text: str) -> None:
    place = folder / f"preview-{stack}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "comment.md").write_text(text)


def test_a_later_run_edits_the_comment_of_the_first(tmp_path: Path, comments: Comments) -> None:
    """There is one for each stack after any number of runs; the other user's comment stays."""
    folder = tmp_path / "previews"
    for text in ("first", "second"):
        _write(folder, "production", text)
        _write(folder, "test", text)
        post(folder, "o/r", 7)
    first, *ours = [each["body"] for each in comments()]
    assert first == "<!-- wanbound preview of production -->\n"
    assert ours == [
        f"<!-- wanbound preview of {stack} -->\nsecond" for stack in ("production", "test")
    ]


def test_a_comment_is_never_longer_than_github_takes(tmp_path: Path, comments: Comments) -> None:
    """Whatever text the unreviewed code has written."""
    _write(tmp_path, "test", "x" * 100_000)
    post(tmp_path, "o/r", 7)
    assert len(comments()[-1]["body"]) <= 65_536
