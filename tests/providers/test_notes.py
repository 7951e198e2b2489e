"""What the operator is told of hosts that work at the same time."""

import io
import sys

import pytest

from providers.notes import tell


class Writes(io.StringIO):
    """A stderr that remembers what came in one write."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def write(self, text: str, /) -> int:
        """Keep the text."""
        self.seen.append(text)
        return len(text)


def test_a_line_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else another host's line could come before its line break. Nothing steers the terminal."""
    stderr = Writes()
    monkeypatch.setattr(sys, "stderr", stderr)
    tell("web1", "docker-ipv6nat runs here\x1b[2J")
    assert stderr.seen == ["host web1: docker-ipv6nat runs here\\x1b[2J\n"]
