"""Runs parts of the hosts' scripts here, in temporary folders, as far as they need no kernel."""

import subprocess
from importlib import resources
from pathlib import Path

PROVIDERS = Path(str(resources.files("providers")))
ONHOST, CALL = PROVIDERS / "onhost", PROVIDERS / "call"
ENGINE = PROVIDERS / "engine" / "engine.sh"


def run(program: str, *parts: str, stdin: str = "") -> str:
    """Return the output of a program that comes after those parts, in plain sh.

    A part is named as in the scripts: onhost/live.sh.
    Raises CalledProcessError if the program fails.
    """
    text = "".join(PROVIDERS.joinpath(name).read_text() for name in parts)
    done = subprocess.run(
        ["sh", "-uc", text + program],
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout
