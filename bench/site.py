"""Where it is measured: one host of the lab, reached as the provider and as plain ssh reach it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from providers.session import Session, Target
from providers.ssh_host import SshHost

from bench import floor
from bench.scenario import MARK, Place, Props, public_space
from lab import hosts
from lab.api import Host, Lab
from lab.lifecycle import specs
from lab.namespace import inside
from lab.steps import ENDS_WITH_US

CHECKOUT = Path(__file__).resolve().parent.parent

PHASE_SECONDS = 300.0
"""Limit for one call of the worker or of ssh; 100 networks take seconds."""


class BenchError(Exception):
    """The benchmark cannot go on, or what it measures is not what it says."""


class TooLongError(BenchError):
    """A program did not end in time, and was ended."""


@dataclass(frozen=True)
class Timed:
    """A run of a program: `seconds` from its start to its end."""

    seconds: float
    stdout: str


@dataclass(frozen=True)
class Worked:
    """A run of bench.worker: the calls alone and the whole process, in seconds, and its counts."""

    calls: float
    process: float
    handshakes: int
    commands: int


class Site:
    """One host, and what the benchmark does to it.

    The lab's environment (`Lab.environment`) has to be this process's own.
    """

    def __init__(self, lab: Lab, host: Host) -> None:
        self.lab = lab
        self.host = host
        [spec] = [found for found in specs(lab.settings) if found.name == host.name]
        self.place = Place(host.name, host.address, host.host_key, spec.number)

    @property
    def name(self) -> str:
        """The host's name."""
        return self.host.name

    def at_port(self, port: int) -> Place:
        """Return the same place behind another sshd."""
        return replace(self.place, port=port)

    @cached_property
    def engine(self) -> str:
        """Docker's version and that of iptables."""
        version = self.host.run("iptables --version").stdout.strip()
        return f"Docker {self.host.docker_version}, {version}"

    @property
    def others(self) -> int:
        """How many networks of other stacks have rules on the host now."""
        return int(self.host.run(f"ls /etc/wanbound 2>/dev/null | grep -vc '^{MARK}' ; :").stdout)

    def work(self, phase: str, olds: Sequence[Props], news: Sequence[Props]) -> Worked:
        """Run one phase in a fresh process, as the dynamic plugin would."""
        job = json.dumps({"phase": phase, "olds": olds, "news": news})
        ran = self.timed([sys.executable, "-m", "bench.worker"], stdin=job)
        found = json.loads(ran.stdout)
        return Worked(found["seconds"], ran.seconds, found["handshakes"], found["commands"])

    def floor_load(self, networks: Sequence[Props], *, hooked: bool = False) -> float:
        """Load the rules by plain ssh; return the seconds that it took."""
        return self._restore({f: floor.load(networks, f, hooked=hooked) for f in floor.FAMILIES})

    def floor_unload(self) -> float:
        """Remove by plain ssh what `floor_load` made; return the seconds that it took."""
        return self._restore({family: floor.unload() for family in floor.FAMILIES})

    def floor_read(self) -> float:
        """Read all rules by plain ssh; return the seconds that it took."""
        return sum(
            self._plain_ssh(floor.tool(family, "save"), "").seconds for family in floor.FAMILIES
        )

    def saved(self, family: floor.Family, table: str) -> str:
        """Return what iptables-save prints."""
        return self.host.run(f"{floor.tool(family, 'save')} -t {table}").stdout

    def damage(self, networks: Sequence[Props]) -> None:
        """Take a rule from each network, as a hand or a program that knows nothing of us might.

        The watcher, which would mend them before anybody looks, is stopped; a change starts it.
        """
        self.host.run("systemctl stop wanbound-watch.service")
        for family in floor.FAMILIES:
            call = f"{floor.tool(family, 'restore')} --noflush -w 10"
            self.host.run(call, stdin=floor.damage(networks, family))

    def fragments(self, put: dict[str, str], remove: Sequence[str]) -> None:
        """Load and remove networks' fragments in one command, for what is not itself measured."""
        place = self.place
        session = Session(Target(place.name, place.address, 22, "root", place.host_key))
        try:
            SshHost(session).change(put, remove)
        finally:
            session.close()

    def timed(
        self,
        args: Sequence[str],
        *,
        stdin: str = "",
        timeout: float = PHASE_SECONDS,
        env: Mapping[str, str] | None = None,
        cwd: Path = CHECKOUT,
    ) -> Timed:
        """Run a program to its end. Raises BenchError, TooLongError after `timeout` seconds."""
        started = time.monotonic()
        child = subprocess.Popen(
            [*ENDS_WITH_US, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            # A group of its own, so that what it has started ends with it.
            start_new_session=True,
        )
        try:
            stdout, stderr = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise TooLongError(f"`{args[0]}`: not done within {timeout:g} s") from error
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
        seconds = time.monotonic() - started
        if child.returncode != 0:
            said = (stdout[-2000:] + stderr[-4000:]).strip()
            raise BenchError(f"`{' '.join(args)}` ended with {child.returncode}\n{said}")
        return Timed(seconds, stdout)

    def clean(self) -> None:
        """Remove everything of the benchmark's own from the host, whatever run left it."""
        found = self.host.run(f"cd /etc/wanbound 2>/dev/null && ls -d {MARK}*.rules; :").stdout
        names = [name.removesuffix(".rules") for name in found.split()]
        program = (
            f"systemctl stop '{MARK}*' 2>/dev/null\n"
            f"rm -f /run/{MARK}*\n"
            f"set -- $(docker ps -aq --filter name='^{MARK}')\n"
            '[ $# = 0 ] || docker rm -f "$@"\n'
            f"set -- $(docker network ls -q --filter name='^{MARK}')\n"
            '[ $# = 0 ] || docker network rm "$@"\n'
        )
        self.host.run(program + floor.sweep(), timeout=PHASE_SECONDS)
        # After Docker's networks, as everywhere: rules go last.
        if names:
            self.fragments({}, names)
        for subnet, version in zip(public_space(self.place), ("-4", "-6"), strict=True):
            route = ["ip", version, "route", "del", str(subnet)]
            self.lab.internet.run(route, check=False)

    def route_back(self) -> None:
        """Let the internet send answers to our public addresses to this host."""
        gateways = (self.host.wan_ipv4, self.host.wan_ipv6)
        for subnet, gateway in zip(public_space(self.place), gateways, strict=True):
            version = "-6" if ":" in gateway else "-4"
            self.lab.internet.run(["ip", version, "route", "replace", str(subnet), "via", gateway])

    def start_outside(self, args: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a program in the internet's namespace; it ends with us at the latest."""
        return subprocess.Popen(
            inside(self.lab.settings, [*ENDS_WITH_US, *args]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def _restore(self, texts: dict[floor.Family, str]) -> float:
        return sum(
            self._plain_ssh(f"{floor.tool(family, 'restore')} --noflush -w 10", text).seconds
            for family, text in texts.items()
        )

    def _plain_ssh(self, command: str, stdin: str) -> Timed:
        # A handshake of its own each time: that is what a plain call is.
        options = ("-o", "ControlMaster=no", "-o", "ControlPath=none")
        return self.timed(hosts.ssh(self.lab.settings, self.name, [command], *options), stdin=stdin)
