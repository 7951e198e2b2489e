"""Pages that a test can follow: their files, and the commands for each machine in order.

A block of YAML is the file whose path ends the text before it: "`shop/compose.yaml`:". A block of
shell is for the machine named at the start of the last line before it: "On the server:", "On your
machine:".
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FENCED = re.compile(r"(?ms)^( *)```(\w*)\n(.*?)^\1```$")

_BLOCK = re.compile(r"(?ms)^([^\n]*)\n\n```(bash|yaml)\n(.*?)^```$")
_FILE = re.compile(r"`([\w./-]+\.yaml)`:$")
_WHERE = re.compile(r"On (the server|your machine)\b")


@dataclass(frozen=True)
class Step:
    """A file to write at the path `where`, or commands to run on the machine `where`."""

    kind: Literal["file", "server", "machine"]
    where: str
    text: str


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and content of each fenced block."""
    for _, language, content in FENCED.findall(text):
        yield language, textwrap.dedent(content)


def first_host() -> list[str]:
    """Return the shell blocks of the README that set up the first real host, in their order."""
    text = (ROOT / "README.md").read_text()
    part = text.partition("\n## The first real host\n")[2].partition("\n## ")[0]
    return [content for language, content in blocks(part) if language == "bash"]


def steps(page: str) -> Iterator[Step]:
    """Yield the blocks of a page in their order. Raises ValueError for a block without a place."""
    for line, language, text in _BLOCK.findall((DOCS / page).read_text()):
        if language == "yaml" and (path := _FILE.search(line)):
            yield Step("file", path[1], text)
        elif language == "bash" and (place := _WHERE.match(line)):
            yield Step("server" if place[1] == "the server" else "machine", place[1], text)
        else:
            raise ValueError(f"{page}: a block of {language} has no place: {line!r}")
