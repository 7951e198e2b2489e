"""The Go program images/whoami: its own tests, its form, and that its two builds agree."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.images.recipes import GoRecipe, all_recipes

MODULE = Path(__file__).resolve().parents[2] / "images" / "whoami"


@pytest.fixture
def go() -> str:
    """The Go command; without one there is nothing to test here."""
    found = shutil.which(os.environ.get("GO") or "go")
    if found is None:
        pytest.skip("no Go compiler here")
    return found


def run(*argv: str) -> str:
    """What a command prints in the module's folder; it must succeed."""
    done = subprocess.run(
        argv,
        cwd=MODULE,
        env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_go_tests_pass(go: str) -> None:
    """The module's own tests."""
    run(go, "test", "./...")


def test_go_vet_finds_nothing(go: str) -> None:
    """Suspicious constructs are errors."""
    run(go, "vet", "./...")


def test_gofmt_changes_nothing(go: str) -> None:
    """Every file is as gofmt would write it."""
    gofmt = Path(run(go, "env", "GOROOT").strip()) / "bin" / "gofmt"
    assert run(str(gofmt), "-l", ".") == ""


def test_lab_builds_what_the_dockerfile_says() -> None:
    """The lab's image, made without Docker, has the Dockerfile's flags, user, port and commands."""
    [recipe] = [r for r in all_recipes() if r.name == "wanbound/whoami:1"]
    assert isinstance(recipe, GoRecipe)
    text = (MODULE / "Dockerfile").read_text()
    said = dict(re.findall(r"^(USER|EXPOSE|ENTRYPOINT|CMD) (.*)$", text, re.MULTILINE))
    assert said == {
        "USER": recipe.user,
        "EXPOSE": recipe.expose[0].removesuffix("/tcp"),
        "ENTRYPOINT": f'["/{recipe.binary}"]',
        "CMD": f'["{recipe.command[0]}"]',
    }
    build = 'CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -buildid="'
    assert build in text
