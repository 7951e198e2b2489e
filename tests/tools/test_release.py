"""Each kind of problem with a release is found; a correct checkout has none."""

import copy
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools.release import (
    changelog_problems,
    license_problems,
    lock_problems,
    problems,
    schema_problems,
    tree_problems,
    version_problems,
)

ROOT = Path(__file__).parents[2]
FILES = ("pyproject.toml", "requirements.txt", "requirements-dev.txt", "LICENSE")


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _locks() -> dict[str, str]:
    return {name: (ROOT / name).read_text() for name in FILES if name.endswith(".txt")}


def test_a_checkout_in_order_can_be_released(tmp_path: Path) -> None:
    """It has this tree's files, a changelog with the version, and everything is committed."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "stacks").mkdir()
    shutil.copy(ROOT / "stacks" / "stack.schema.json", tmp_path / "stacks")
    version = _project()["version"]
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {version} (2030-01-02)\n\n- All.\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"], ["tag", f"v{version}"]):
        subprocess.run([*git, *words], check=True)
    assert problems(tmp_path) == []
    (tmp_path / "LICENSE").unlink()
    said = "\n".join(problems(tmp_path))
    assert "LICENSE is missing" in said
    assert "the tree is not clean:\n D LICENSE" in said


@pytest.mark.parametrize(
    ("version", "tags", "count"),
    [
        ("1.2.3", "", 0),
        ("1.2.3", "v1.2.3\nnightly\n", 0),
        ("1.2.3", "v1.2.4\n", 1),
        ("1.2", "", 1),
        ("1.2.3.dev1", "v1.2.3\n", 2),
    ],
)
def test_the_version(version: str, tags: str, count: int) -> None:
    """It has three numbers, and the commit has no tag of another version."""
    assert len(list(version_problems({"version": version}, tags))) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("# Changelog\n\n## 1.2.3 (2030-01-02)\n\n- A change.\n\n## 1.2.2\n", 0),
        ("# Changelog\n\n## Unreleased\n\n- A change.\n\n## 1.2.3\n\n- One.\n", 1),
        ("# Changelog\n\n## 1.2.2\n\n- A change.\n", 1),
        ("# Changelog\n\n## 1.2.3\n\n## 1.2.2\n\n- A change.\n", 1),
        ("", 1),
    ],
)
def test_the_changelog(text: str, count: int) -> None:
    """Its first section is that of the version, and is not empty."""
    assert len(list(changelog_problems(text, "1.2.3"))) == count


def test_the_lock_has_every_dependency() -> None:
    """Each version is one that pyproject.toml allows; this tree's lock is correct."""
    assert list(lock_problems(_project(), _locks())) == []
    more = copy.deepcopy(_project())
    more["dependencies"].append("a-package-that-is-new>=1")
    more["optional-dependencies"]["dev"].append("pytest>=999")
    said = "\n".join(lock_problems(more, _locks()))
    assert said.count("a-package-that-is-new>=1 is pinned to nothing") == 2
    assert "requirements-dev.txt: pytest>=999 is pinned to " in said


def test_the_license() -> None:
    """The license's text and name are checked."""
    text = (ROOT / "LICENSE").read_text()
    assert list(license_problems(_project(), text)) == []
    assert len(list(license_problems(_project(), ""))) == 1
    assert len(list(license_problems({"license": "MIT"}, text))) == 1


def test_the_schema() -> None:
    """The committed schema must be current; tests/cli checks it too."""
    assert len(list(schema_problems("{}\n"))) == 1


def test_what_is_not_committed() -> None:
    """Every uncommitted file is named."""
    assert list(tree_problems("")) == []
    assert " M README.md" in next(iter(tree_problems(" M README.md\n?? new\n")))
