"""Checks for every Go module of this repository."""

import os
import subprocess
from pathlib import Path

from lab.golang import go


def check_go_module(folder: Path) -> None:
    """Assert that the module's own tests pass, and that vet and gofmt find nothing in it."""
    _run(folder, str(go()), "test", "./...")
    _run(folder, str(go()), "vet", "./...")
    gofmt = Path(_run(folder, str(go()), "env", "GOROOT").strip()) / "bin" / "gofmt"
    assert _run(folder, str(gofmt), "-l", ".") == ""


def in_module(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a module's folder, without C and without a surrounding workspace."""
    return subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _run(folder: Path, *argv: str) -> str:
    done = in_module(folder, *argv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
