"""The list of threats in docs/security.md: every row has a test, and every test exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows(text: str) -> list[str]:
    """The rows of all tables, without headers."""
    return [
        line
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith(("| Threat", "|---"))
    ]


def unproven(text: str) -> list[str]:
    """Return rows without a test, and tests that do not exist."""
    problems = [row for row in rows(text) if not _TEST.search(row)]
    for file, name in _TEST.findall(text):
        path = ROOT / file
        tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
        if name not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            problems.append(f"{file}::{name} does not exist")
    return problems


@pytest.fixture
def text() -> str:
    """The text of the page."""
    return (ROOT / "docs" / "security.md").read_text()


def test_every_threat_has_a_test_that_exists(text: str) -> None:
    """Rows name a file and a test function."""
    assert len(rows(text)) > 25
    assert unproven(text) == []


def test_every_part_of_the_list_is_there(text: str) -> None:
    """The page has all attackers, and the remaining risks."""
    parts = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert len(parts) == 8
    assert parts[-1] == "What is not defended"
    assert len(re.findall(r"^- \*\*", text.partition(f"## {parts[-1]}")[2], re.MULTILINE)) > 5


@pytest.mark.parametrize(
    "bad",
    [
        "| a | b | no test |",
        "| a | b | `tests/security/test_doc.py::test_nowhere` |",
        "| a | b | `tests/nowhere/test_doc.py::test_every_part_of_the_list_is_there` |",
    ],
)
def test_a_row_without_proof_is_found(bad: str) -> None:
    """The check finds such a row."""
    assert len(unproven(f"| Threat | What stops it | Proven by |\n|---|---|---|\n{bad}\n")) == 1
