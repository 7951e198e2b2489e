"""Runs parts of the host script here, with folders of the test's own: what needs no kernel."""

import subprocess
from importlib import resources
from pathlib import Path

PARTS = Path(str(resources.files("providers"))) / "onhost"
ENGINE = PARTS.parent / "engine" / "engine.sh"


def run(program: str, *parts: str, stdin: str = "") -> str:
    """Return what a program prints that comes behind those parts of the script, in plain sh.

    Raises CalledProcessError where it fails.
    """
    text = "".join(PARTS.joinpath(name).read_text() for name in parts)
    done = subprocess.run(
        ["sh", "-uc", text + program],
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout
