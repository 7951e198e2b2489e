"""The measured host of the lab, reached like the provider and like plain ssh."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bench import floor
from bench.scenario import MARK, Place, Props, config, props, public_space
from lab import hosts
from lab.api import Host, Lab
from lab.lifecycle import specs
from lab.namespace import inside
from lab.steps import ENDS_WITH_US
from providers.host.generation import Family
from providers.host.plan import Plan

CHECKOUT = Path(__file__).resolve().parent.parent

PHASE_SECONDS = 300.0
"""Limit for one call of the worker or of ssh; 100 networks take seconds."""

HANDSHAKES = {
    "create": 2,
    "refresh": 1,
    "no-op": 0,
    "one": 2,
    "all": 2,
    "mend": 2,
    "delete": 2,
}
"""SSH handshakes by phase: one connection per run, and a second one that confirms a change."""


class BenchError(Exception):
    """The benchmark cannot continue, or it does not measure what it claims."""


class TooLongError(BenchError):
    """A program did not end in time, and was killed."""


@dataclass(frozen=True)
class Timed:
    """A run of a program: `seconds` from its start to its end."""

    seconds: float
    stdout: str


@dataclass(frozen=True)
class Worked:
    """A run of bench.worker: seconds of the calls and of the whole process, and its counts."""

    calls: float
    process: float
    handshakes: int
    commands: int


class Site:
    """One host, and the benchmark's operations on it.

    This process must have the lab's environment (`Lab.environment`).
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

    def work(self, phase: str, old: Props, new: Props) -> Worked:
        """Run one phase in a fresh process, as the dynamic plugin would. Raises BenchError."""
        job = json.dumps({"phase": phase, "old": old, "new": new})
        ran = self.timed([sys.executable, "-m", "bench.worker"], stdin=job)
        found = json.loads(ran.stdout)
        if found["handshakes"] != HANDSHAKES[phase]:
            raise BenchError(
                f"{self.name}: {phase}: {found['handshakes']} SSH handshakes, not"
                f" {HANDSHAKES[phase]}"
            )
        return Worked(found["seconds"], ran.seconds, found["handshakes"], found["commands"])

    def floor_load(self, plan: Plan, *, hooked: bool = False) -> float:
        """Load the rules by plain ssh; return the seconds that it took."""
        return self._restore({f: floor.load(plan, f, hooked=hooked) for f in floor.FAMILIES})

    def floor_unload(self) -> float:
        """Remove the rules of `floor_load` by plain ssh; return the seconds that it took."""
        return self._restore({family: floor.unload() for family in floor.FAMILIES})

    def floor_read(self) -> float:
        """Read all rules by plain ssh; return the seconds that it took."""
        return sum(
            self._plain_ssh(floor.tool(family, "save"), "").seconds for family in floor.FAMILIES
        )

    def saved(self, family: Family, table: str) -> str:
        """Return what iptables-save prints."""
        return self.host.run(f"{floor.tool(family, 'save')} -t {table}").stdout

    @contextmanager
    def unchecked_addresses(self) -> Iterator[None]:
        """Keep the kernel from asking the link for duplicates of new IPv6 addresses."""
        setting = "sysctl -qw net.ipv6.conf.wan0.accept_dad"
        self.host.run(f"{setting}=0")
        try:
            yield
        finally:
            self.host.run(f"{setting}=1")

    def damage(self, plan: Plan) -> None:
        """Remove a rule of each network, as an operator or another program might.

        The watcher would repair that at once, so it is stopped; a change starts it.
        """
        self.host.run("systemctl stop wanbound-watch.service")
        for family in floor.FAMILIES:
            call = f"{floor.tool(family, 'restore')} --noflush -w 10"
            self.host.run(call, stdin=floor.damage(plan, family))

    def unhook(self) -> None:
        """Remove all of our chains from every packet's path; `load` restores them."""
        self.host.run("systemctl stop wanbound-watch.service; nft delete table inet wanbound")
        for family in floor.FAMILIES:
            saved = self.host.run(floor.tool(family, "save")).stdout
            call = f"{floor.tool(family, 'restore')} --noflush -w 10"
            self.host.run(call, stdin=floor.unhook(saved))

    def load(self) -> None:
        """Load the host's whole generation, as at boot."""
        self.host.run("wanbound apply")

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
            # A process group, so that its child processes end with it.
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
        """Remove everything that a part has made on the host. Raises BenchError."""
        program = (
            f"systemctl stop '{MARK}*' 2>/dev/null\n"
            f"rm -f /run/{MARK}*\n"
            f"set -- $(docker ps -aq --filter name='^{MARK}')\n"
            '[ $# = 0 ] || docker rm -f "$@"\n'
            f"set -- $(docker network ls -q --filter name='^{MARK}')\n"
            '[ $# = 0 ] || docker network rm "$@"\n'
        )
        self.host.run(program + floor.sweep(), timeout=PHASE_SECONDS)
        # After Docker's networks, as everywhere: rules are removed last.
        if self.host.run("test -e /etc/wanbound", check=False).status == 0:
            everything = props(config(self.place, 1))
            self.work("delete", everything, everything)
        for subnet, version in zip(public_space(self.place), ("-4", "-6"), strict=True):
            route = ["ip", version, "route", "del", str(subnet)]
            self.lab.internet.run(route, check=False)

    def route_back(self) -> None:
        """Route the internet's answers to our public addresses to this host."""
        gateways = (self.host.wan_ipv4, self.host.wan_ipv6)
        for subnet, gateway in zip(public_space(self.place), gateways, strict=True):
            version = "-6" if ":" in gateway else "-4"
            self.lab.internet.run(["ip", version, "route", "replace", str(subnet), "via", gateway])

    def start_outside(self, args: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a program in the internet's namespace; it ends with this process at the latest."""
        return subprocess.Popen(
            inside(self.lab.settings, [*ENDS_WITH_US, *args]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def _restore(self, texts: dict[Family, str]) -> float:
        return sum(
            self._plain_ssh(f"{floor.tool(family, 'restore')} --noflush -w 10", text).seconds
            for family, text in texts.items()
        )

    def _plain_ssh(self, command: str, stdin: str) -> Timed:
        # A new handshake each time, as in a plain call.
        options = ("-o", "ControlMaster=no", "-o", "ControlPath=none")
        return self.timed(hosts.ssh(self.lab.settings, self.name, [command], *options), stdin=stdin)
