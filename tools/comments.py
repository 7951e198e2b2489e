"""Writes the comments of a pull request: one for each stack, edited by every later run.

    python3 -m tools.comments FOLDER REPOSITORY NUMBER

FOLDER has preview-STACK/comment.md, as `gh run download` puts it there. It needs only Python and
`gh`. FOLDER was written by unreviewed code: its content is passed on and not interpreted.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_AUTHOR = "github-actions[bot]"
_LONGEST = 65_000
"""Characters of a comment; GitHub takes 65,536."""


def post(folder: Path, repository: str, number: int) -> None:
    """Write or edit the comment of each stack; other authors' comments stay."""
    issue = f"repos/{repository}/issues/{number}/comments"
    there = [each for page in _gh("--paginate", "--slurp", issue) for each in page]
    for file in sorted(folder.glob("preview-*/comment.md")):
        stack = file.parent.name.removeprefix("preview-")
        marker = f"<!-- wanbound preview of {stack} -->"
        body = f"{marker}\n{file.read_text()[:_LONGEST]}"
        ours = [
            each["id"]
            for each in there
            if each["user"]["login"] == _AUTHOR and each["body"].startswith(marker)
        ]
        if ours:
            where = f"repos/{repository}/issues/comments/{ours[0]}"
            _gh("--method", "PATCH", where, "--input", "-", body=body)
        else:
            _gh("--method", "POST", issue, "--input", "-", body=body)


def _gh(*words: str, body: str | None = None) -> list[Any]:
    text = None if body is None else json.dumps({"body": body})
    done = subprocess.run(
        ["gh", "api", *words], input=text, stdout=subprocess.PIPE, text=True, check=True
    )
    found = json.loads(done.stdout)
    return found if isinstance(found, list) else [found]


if __name__ == "__main__":
    post(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
