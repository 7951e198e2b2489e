"""The Go program lab/images/probe: its own tests and its form."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "lab" / "images" / "probe"


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
