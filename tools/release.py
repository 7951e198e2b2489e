"""Can this checkout be released? python -m tools.release prints every problem, or nothing.

The version is in pyproject.toml alone. `./wanbound --version`, the state and the hosts take it from
there.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cli import schema

ROOT = Path(__file__).resolve().parent.parent
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_PIN = re.compile(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)")


def version_problems(project: Mapping[str, Any], tags: str) -> Iterator[str]:
    """Yield problems of the version; `tags` are those of the commit, one per line."""
    version = str(project.get("version"))
    if not _VERSION.fullmatch(version):
        yield f"pyproject.toml: version {version} is not MAJOR.MINOR.PATCH"
    others = [tag for tag in tags.split() if tag.startswith("v") and tag != f"v{version}"]
    if others:
        yield (
            f"the commit has the tag {', '.join(others)}, and pyproject.toml says {version}\n"
            "  Fix: set the version and commit, or remove the tag"
        )


def changelog_problems(text: str, version: str) -> Iterator[str]:
    """Yield problems of the changelog: its first section must be that of the version."""
    _, *sections = re.split(r"(?m)^## ", text)
    first, _, content = sections[0].partition("\n") if sections else ("nothing", "", "")
    if first.split()[:1] != [version]:
        yield (
            f"CHANGELOG.md: its first section is `{first}`, and the version {version}\n"
            f"  Fix: name the section `## {version} (YEAR-MONTH-DAY)`"
        )
    elif not re.search(r"(?m)^- \S", content):
        yield f"CHANGELOG.md: the section {version} is empty\n  Fix: write what has changed"


def lock_problems(project: Mapping[str, Any], locks: Mapping[str, str]) -> Iterator[str]:
    """Yield the dependencies that a lock file lacks, or pins to a version that is not allowed.

    `locks` has the texts of requirements.txt and requirements-dev.txt by file name.
    """
    own = project["dependencies"]
    wanted = {"requirements.txt": own}
    wanted["requirements-dev.txt"] = [*own, *project["optional-dependencies"]["dev"]]
    for name, requirements in wanted.items():
        pins = {canonicalize_name(package): pin for package, pin in _PIN.findall(locks[name])}
        for each in map(Requirement, requirements):
            pin = pins.get(canonicalize_name(each.name))
            if pin is None or not each.specifier.contains(pin, prereleases=True):
                yield (f"{name}: {each} is pinned to {pin or 'nothing'}\n  Fix: run tools/lock.sh")


def license_problems(project: Mapping[str, Any], text: str) -> Iterator[str]:
    """Yield problems of the license; `text` is that of LICENSE, empty if it is missing."""
    if "Apache License" not in text or "Version 2.0" not in text:
        yield "LICENSE is missing, or not the text of Apache-2.0\n  Fix: git restore LICENSE"
    if project.get("license") != "Apache-2.0":
        yield f"pyproject.toml: license is {project.get('license')}, and LICENSE is Apache-2.0"


def tree_problems(status: str) -> Iterator[str]:
    """Yield uncommitted changes, from `git status --porcelain`."""
    if status.strip():
        yield f"the tree is not clean:\n{status.rstrip()}\n  Fix: commit or remove these files"


def schema_problems(text: str) -> Iterator[str]:
    """Yield a problem if the committed schema differs from the models'."""
    if text != schema.text():
        yield (
            "stacks/stack.schema.json differs from the models of the configuration\n"
            "  Fix: ./wanbound schema >stacks/stack.schema.json"
        )


def problems(root: Path) -> list[str]:
    """Return every reason against a release of the checkout at `root`."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    locks = {name: _text(root / name) for name in ("requirements.txt", "requirements-dev.txt")}
    return [
        *version_problems(project, _git(root, "tag", "--points-at", "HEAD")),
        *changelog_problems(_text(root / "CHANGELOG.md"), str(project.get("version"))),
        *lock_problems(project, locks),
        *license_problems(project, _text(root / "LICENSE")),
        *schema_problems(_text(root / "stacks" / "stack.schema.json")),
        *tree_problems(_git(root, "status", "--porcelain")),
    ]


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=root, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def main() -> int:
    """Print the problems; return 1 if there are any."""
    found = problems(ROOT)
    for each in found:
        print(f"✗ {each}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
