"""The recorded previews (recorder.py), parsed as tools/ parses them."""

import re
from pathlib import Path

from tools.comment import compose
from tools.preview import Preview, read

FOLDER = Path(__file__).parent / "recorded"
RUN = "https://github.com/example/servers/actions/runs/1"
PAGE = Path(__file__).parents[2] / "docs" / "pull-requests.md"
SHOWN = re.compile(r"(?ms)(?<=^````markdown\n).*?(?=^````$)")
"""The comment that the page shows."""


def data(name: str) -> str:
    """Return the output of `pulumi preview --json`."""
    return (FOLDER / f"{name}.json").read_text()


def diff(name: str) -> str:
    """Return the output of `pulumi preview --diff`."""
    return (FOLDER / f"{name}.txt").read_text()


def preview(name: str) -> Preview:
    """Return a recorded preview; `refused` is the failed one."""
    return read(data(name), failed=name == "refused")


def comment(name: str, limit: int = 60_000) -> str:
    """Return the comment for a recorded preview."""
    return compose("production", preview(name), diff(name), RUN, limit)
