"""The real CLI with one network, held on the host at a step and killed there."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from lab.api import Host, Lab
from lab.stacks import Config, LabStack
from tests.lab.atomic.drill import Drill
from tests.lab.atomic.programs import FOLDER, Fault, Step, arm, disarm
from tests.lab.atomic.sides import CONFIRMED_SECONDS

Victim: TypeAlias = Literal["CLI", "plugin"]
"""`pulumi` itself, or the process that runs the dynamic provider."""

Phase: TypeAlias = Literal["before", "loading", "unconfirmed", "confirmed"]
PHASES: Mapping[Phase, str] = {
    "before": "sh */wanbound change *",
    "loading": "iptables-restore --noflush -w 10",
    "unconfirmed": "sh */wanbound confirm *",
    "confirmed": "systemctl stop wanbound-undo-*.timer",
}
"""The step that is held: nothing has begun; the kernel has part of the change; the host waits for
the confirmation; the host has the confirmation."""

STACK = "killed"


def config(host: Host, number: int) -> Config:
    """A stack of one network without containers."""
    number += 100 * (int(host.name[-1]) % 2 == 0)
    return {
        "seed": "killed-5b0d77e1",
        "hosts": [
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {"interface": "wan0"},
                "confirm_seconds": CONFIRMED_SECONDS,
                "networks": [
                    {
                        "name": "only",
                        "public_ipv4": f"203.0.113.{number}",
                        "public_ipv6": f"2001:db8::{number}",
                        "subnet_ipv4": "10.66.1.0/24",
                        "subnet_ipv6": "fd66:1::/64",
                        "load_balancer": False,
                    }
                ],
            }
        ],
    }


class Deployment:
    """A stack whose runs can be killed."""

    def __init__(self, lab: Lab, host: Host, folder: Path) -> None:
        self.host = host
        self.stack = LabStack.copy(lab, STACK, config(host, 64), folder)
        self._environment = {
            **os.environ,
            **lab.environment(),
            "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
        }

    @contextmanager
    def running(self, command: str) -> Iterator[subprocess.Popen[str]]:
        """Run `pulumi` in a session of its own; kill all of that session at the end."""
        words = ["--yes", "--skip-preview", "--color", "never", "--non-interactive", "--stack"]
        process = subprocess.Popen(
            ["pulumi", command, *words, STACK],
            cwd=self.stack.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            for pid in _session(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()


def kill(process: subprocess.Popen[str], victim: Victim) -> str:
    """Kill one process of a run; return the run's output, once it has ended."""
    if victim == "CLI":
        process.kill()
        process.wait()
        return ""
    plugins = [pid for pid in _session(process.pid) if "pulumi.dynamic" in _words(pid)]
    assert plugins, [_words(pid) for pid in _session(process.pid)]
    for pid in plugins:
        os.kill(pid, signal.SIGKILL)
    return process.communicate(timeout=120)[0]


def _session(leader: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # After the name come the state, the parent, the group and the session (proc(5)).
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def _words(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def hold(drill: Drill, phase: Phase) -> None:
    """Make the next change stop in that phase."""
    drill.ask(arm(Fault("hold", Step(PHASES[phase], 1))))


def held(drill: Drill, process: subprocess.Popen[str], seconds: float = 120) -> None:
    """Wait until the change has stopped."""
    until = time.monotonic() + seconds
    while "held" not in drill.ask(f"ls {FOLDER}"):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "the step was never reached"
        time.sleep(0.1)


def release(drill: Drill) -> None:
    """Let the change continue."""
    drill.ask(disarm() + f"true >{FOLDER}/go")
