"""Stacks on the lab, by the real `pulumi`: the checkout's own, and copies for tests to change."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

# It comes with pulumi; its stubs are not among the pinned requirements.
import yaml

from lab import names
from lab.api import Lab
from lab.errors import LabError
from planner.config import Firewall, Stack
from planner.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parent.parent
PREFIX = "wanbound:"
PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "planner", "providers", ".venv")
"""The files of the program; a copy of a stack links to them, so that it runs the same files."""

Config: TypeAlias = dict[str, Any]
"""A stack's configuration, as written in its file, without the prefix of its keys."""

SPOKEN: Mapping[Firewall, Config] = {
    "iptables": {},
    "nftables": {"firewall": "nftables", "engine": {"firewall_backend": "nftables"}},
}
"""A host's keys, by its Docker's firewall backend."""

OnLine: TypeAlias = Callable[[str], None]

# The CLI's warning at each start of a plugin from PATH, as the lab's are.
_FROM_PATH = "warning: using pulumi-resource-"
# "    + 24 created", "    +-12 replaced", "    26 changes. 15 unchanged".
_COUNT = re.compile(r"(\d+) (created|updated|deleted|replaced|unchanged)\b")


@dataclass(frozen=True)
class Run:
    """A pulumi command that has ended; `output` lacks the warnings about the lab's plugins."""

    status: int
    output: str
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """How many resources were created, updated, deleted, replaced, and left unchanged."""
        _, _, summary = self.output.rpartition("Resources:")
        return {what: int(number) for number, what in _COUNT.findall(summary)}


def read(file: Path) -> Config:
    """Return the configuration in a stack file."""
    content = yaml.safe_load(file.read_text())
    return {key.removeprefix(PREFIX): value for key, value in content["config"].items()}


def parsed(config: Config, name: str) -> Stack:
    """Return the stack as the program parses it. Raises planner.errors.ConfigError."""
    return Stack.parse(config, name)


def on(lab: Lab, config: Config) -> Config:
    """Return a copy of `config` whose hosts are those of `lab`, in their order."""
    moved = copy.deepcopy(config)
    for host, edge in zip(moved["hosts"], lab.hosts.values(), strict=True):
        host["name"] = edge.name
        host["ssh"] = {"address": edge.address, "host_key": edge.host_key}
    return moved


class LabStack:
    """One stack in one project folder; every call is one run of the real `pulumi`."""

    def __init__(self, lab: Lab, name: str, folder: Path = CHECKOUT) -> None:
        self.name = name
        self.folder = folder
        self._settings = lab.settings
        self.log = lab.settings.logs / f"pulumi-{name}.log"
        self.pid: int | None = None
        """The pulumi that is running."""
        self._environment = {**os.environ, **lab.environment()}
        if folder != CHECKOUT:
            # A separate stack, whose state is deleted with its folder.
            backend = folder / "backend"
            backend.mkdir(exist_ok=True)
            self._environment["PULUMI_BACKEND_URL"] = f"file://{backend}"

    @classmethod
    def copy(cls, lab: Lab, name: str, config: Config, folder: Path) -> LabStack:
        """Make a project in `folder` with the checkout's program and a stack of its own."""
        for part in PROGRAM:
            if (CHECKOUT / part).exists():
                (folder / part).symlink_to(CHECKOUT / part)
        (folder / "stacks").mkdir()
        stack = cls(lab, name, folder)
        # Secrets in `config` are encrypted for the demo, with the passphrase of every lab.
        demo = yaml.safe_load((CHECKOUT / "stacks" / "Pulumi.demo.yaml").read_text())
        stack.file.write_text(json.dumps({"encryptionsalt": demo["encryptionsalt"]}) + "\n")
        stack.configure(config)
        stack.init()
        return stack

    @property
    def file(self) -> Path:
        """The stack's configuration file."""
        return self.folder / "stacks" / f"Pulumi.{self.name}.yaml"

    def configure(self, config: Config) -> None:
        """Write the configuration; keep the CLI's other entries in the file."""
        content = yaml.safe_load(self.file.read_text()) if self.file.exists() else {}
        content["config"] = {f"{PREFIX}{key}": value for key, value in config.items()}
        # JSON is valid YAML, and unambiguous about strings.
        self.file.write_text(json.dumps(content, indent=2) + "\n")

    def init(self) -> None:
        """Make the stack in its backend, unless it exists."""
        listed = json.loads(self.run("stack", "ls", "--json").output)
        if self.name not in {stack["name"] for stack in listed}:
            # Without selecting it, as the user may have selected another stack.
            self.run("stack", "init", self.name, "--no-select")

    def up(self, *args: str, check: bool = True, on_line: OnLine | None = None) -> Run:
        """Publish the configuration's names in the internet's DNS and bring the hosts to it."""
        # An invalid configuration, as in some tests, has no names.
        with contextlib.suppress(ConfigError):
            found = names.records(parsed(read(self.file), self.name))
            names.publish(self._settings, self.name, found)
        return self._on_stack("up", "--yes", "--skip-preview", *args, check=check, on_line=on_line)

    def preview(self, *args: str, check: bool = True) -> Run:
        """Show what `up` would do."""
        return self._on_stack("preview", *args, check=check)

    def destroy(self, *args: str, check: bool = True) -> Run:
        """Remove everything of the stack from the hosts, and its names from the DNS."""
        done = self._on_stack("destroy", "--yes", "--skip-preview", *args, check=check)
        names.publish(self._settings, self.name, ())
        return done

    def _on_stack(
        self, command: str, *args: str, check: bool, on_line: OnLine | None = None
    ) -> Run:
        words = (command, "--stack", self.name, "--color", "never", *args)
        return self.run(*words, check=check, on_line=on_line)

    def run(
        self,
        *args: str,
        check: bool = True,
        on_line: OnLine | None = None,
        timeout: float = 600,
    ) -> Run:
        """Run `pulumi ARGS` to its end; `on_line` gets each line at once.

        Raises LabError with the name of the log if it fails (unless check is false) or takes longer
        than `timeout` seconds: it is then told to cancel, and given a minute for that.
        """
        started = time.monotonic()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        lines: list[str] = []
        with self.log.open("a") as log:
            log.write(f"[{time.strftime('%H:%M:%S')}] $ pulumi {' '.join(args)}\n")
            # INT, not KILL: the CLI then finishes what it has begun and releases its lock.
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", "--", "pulumi", *args, "--non-interactive"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self.pid = process.pid
            limit = threading.Timer(timeout, process.send_signal, [signal.SIGINT])
            limit.start()
            try:
                for line in process.stdout or ():
                    log.write(line)
                    if _FROM_PATH in line:
                        continue
                    lines.append(line)
                    if on_line is not None:
                        on_line(line.rstrip("\n"))
                status = process.wait(timeout=60)
            finally:
                in_time = limit.is_alive()
                limit.cancel()
                self.pid = None
                if process.poll() is None:
                    process.kill()
                    process.wait()
        run = Run(status, "".join(lines), time.monotonic() - started)
        what = f"`pulumi {' '.join(args)}`"
        if not in_time:
            raise LabError(f"{what} took longer than {timeout:g} s; the log is {self.log}")
        if check and status != 0:
            raise LabError(
                f"{what} ended with status {status}; its log is {self.log}\n{run.output}"
            )
        return run
