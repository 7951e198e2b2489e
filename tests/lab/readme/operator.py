"""An operator's machine, on which the README's blocks are pasted into one shell, unchanged.

This module also does what a reader does besides pasting: fills in the server's address and
interface, and answers "yes" to the host key of the first login and to Pulumi.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.api import Host, Lab
from lab.errors import LabError
from lab.namespace import inside
from tests.pages import ROOT

STACK_FILE = "stacks/Pulumi.myserver.yaml"

_SERVER = re.compile(r"(?<![\d.])203\.0\.113\.2(?!\d)")
"""The README: "Here and below, 203.0.113.2 is the server's own address"."""

_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")
_SECONDS = 600


def addressed(text: str, address: str) -> str:
    """Return a block or a file with the address of the reader's own server."""
    return _SERVER.sub(address, text)


@dataclass(frozen=True)
class Shell:
    """A shell in `folder`; exported variables pass from one block to the next."""

    folder: Path
    environment: Mapping[str, str]
    kept: Path
    """The file with the exported variables."""

    def paste(self, block: str, *, most: int = 0) -> str:
        """Run a block up to its end or first error; return its output.

        Raises LabError if the exit status is more than `most`.
        """
        kept = shlex.quote(str(self.kept))
        script = f"set -e\n[ ! -e {kept} ] || . {kept}\n{block}\nexport -p >{kept}\n"
        try:
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"not done within {_SECONDS} s:\n{block}") from error
        if done.returncode > most:
            raise LabError(f"status {done.returncode} of:\n{block}\n{done.stdout}")
        return done.stdout


def operator(lab: Lab, folder: Path) -> Shell:
    """Return the shell of an operator in a copy of the checkout, with a separate home."""
    home, programs, checkout = (folder / name for name in ("home", "bin", "wanbound"))
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    programs.mkdir()
    shutil.copytree(ROOT, checkout, symlinks=True, ignore=_NOT_COPIED)
    # ssh takes the home from /etc/passwd and ignores HOME. The program's own calls still demand a
    # known key: an option of the command line precedes the file's.
    config = home / ".ssh" / "config"
    known = home / ".ssh" / "known_hosts"
    config.write_text(f"UserKnownHostsFile {known}\nStrictHostKeyChecking accept-new\n")
    _program(programs / "ssh", [str(shutil.which("ssh")), "-F", str(config)])
    # The operator is on the internet.
    client = ["--interface", lab.internet.ipv4, "--noproxy", "*"]
    _program(programs / "curl", inside(lab.settings, [str(shutil.which("curl")), *client]))
    environment = {**os.environ, **lab.environment(), "HOME": str(home)}
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    # pulumi asks for confirmation, which needs a terminal.
    environment["PULUMI_SKIP_CONFIRMATIONS"] = "true"
    plugins = Path(environment.pop("PULUMI_HOME", Path.home() / ".pulumi")) / "plugins"
    if plugins.is_dir():
        (home / ".pulumi").mkdir()
        (home / ".pulumi" / "plugins").symlink_to(plugins)
    # The page sets the state's location and passphrase itself.
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE"):
        environment.pop(name, None)
    return Shell(checkout, environment, folder / "exported")


def edited(text: str, host: Host) -> str:
    """Return the stack file as its reader edits it: the server's address and interface."""
    found = addressed(text, host.address).replace("interface: eth0", "interface: wan0")
    if found.count(host.address) != 1 or found.count("wan0") != 1:
        raise ValueError("the stack file does not have one address and one interface of the server")
    return found


def _program(path: Path, words: list[str]) -> None:
    path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    path.chmod(0o755)
