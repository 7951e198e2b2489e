"""Rows that need more than a host's own shell."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lab import docker29
from lab.faults.model import Observation
from lab.faults.site import FOLDER, Site
from lab.faults.watching import DOCKER_BACK, everywhere, look, watch

IDLE_LIMIT = {"nft": 0.010, "legacy": 0.600}
"""Seconds of CPU time that the watcher may use per minute. The kernel announces no change to legacy
tables, so the watcher reads them every few seconds."""

_UNIT = "wanbound-watch.service"
_BOOT = """\
import subprocess, time
ago = time.time() - time.monotonic()
def at(*words):
    shown = subprocess.run(["systemctl", "show", "--value", "-p", *words], stdout=subprocess.PIPE)
    return ago + int(shown.stdout) / 1e6
print(at("UserspaceTimestampMonotonic"))
print(at("ExecMainExitTimestampMonotonic", "wanbound.service"))
"""
"""When the host's systemd started and when wanbound's rules were in force, in seconds since 1970:
the host is a container, whose clocks are the machine's and the capture's."""


def reboot(site: Site, names: Sequence[str]) -> Mapping[str, Observation]:
    """Reboot the hosts for real. The rules must be in force before the first packet."""

    def one(name: str) -> Observation:
        host = site.hosts[name]
        before = look(site, name)
        began = time.time()
        host.reboot()
        seen, _ = watch(site, name, before=before, limit=20)
        booted, loaded = (float(line) for line in host.run("python3 -", stdin=_BOOT).stdout.split())
        problems = []
        if seen.repaired is None:
            problems.append(f"not as before the reboot: {seen.changes[-1]}")
        if loaded < booted:
            problems.append("wanbound.service did not run at boot")
        return Observation(
            begin=began,
            end=began,
            looks=seen.looks,
            problems=problems,
            booted=booted,
            loaded=loaded,
        )

    return everywhere(names, one)


def renumber(site: Site, names: Sequence[str]) -> Mapping[str, Observation]:
    """Give a network of each host another address by one `pulumi up`, and revert it by another."""
    before = everywhere(names, lambda name: look(site, name))
    began = time.time()
    problems = []
    for config in (site.other, site.config):
        site.stack.configure(config)
        done = site.stack.up(check=False)
        if done.status != 0:
            problems.append(f"pulumi up failed; its log is {site.stack.log}")
    ended = time.time()

    def one(name: str) -> Observation:
        seen, _ = watch(site, name, before=before[name], limit=5)
        lost = [] if seen.repaired is not None else [f"not as before: {seen.changes[-1]}"]
        return Observation(begin=began, end=ended, looks=seen.looks, problems=[*problems, *lost])

    return everywhere(names, one)


_UPGRADE = f"""\
systemctl stop docker.socket docker
for program in {" ".join(docker29.PROGRAMS)}; do mv {FOLDER}/$program /usr/sbin/$program; done
systemctl start docker
{DOCKER_BACK}
"""


def upgrade(site: Site, names: Sequence[str]) -> Mapping[str, Observation]:
    """Replace Docker 28 by 29, as a package does. It stays for the following rows."""
    made = docker29.binaries(site.lab.settings)

    def one(name: str) -> Observation:
        host = site.hosts[name]
        for program in docker29.PROGRAMS:
            host.copy(made / program, f"{FOLDER}/{program}", mode=0o755)
        seen, _ = watch(site, name, _UPGRADE, before=look(site, name), limit=20)
        # The following rows begin with the rules of Docker 29.
        site.save(name, "row")
        version = host.run("docker version --format '{{.Server.Version}}'").stdout.strip()
        lost = [] if seen.repaired is not None else [f"not as before: {seen.changes[-1]}"]
        if not version.startswith("29."):
            lost.append(f"Docker is {version}")
        return replace(seen, problems=lost, note=f"Docker {version}")

    return everywhere(names, one)


@dataclass(frozen=True)
class Idle:
    """Nothing happens for a while, and networks send as usual: measures the watcher's CPU time."""

    seconds: float

    def __call__(self, site: Site, names: Sequence[str]) -> Mapping[str, Observation]:
        """Measure it by systemd's accounting of the service."""
        began = time.time()
        before = everywhere(names, lambda name: self._used(site, name))
        time.sleep(max(0.0, began + self.seconds - time.time()))
        after = everywhere(names, lambda name: self._used(site, name))
        ended = time.time()
        return {
            name: self._one(site, name, began, ended, after[name] - before[name]) for name in names
        }

    @staticmethod
    def _used(site: Site, name: str) -> float:
        shown = site.hosts[name].run(f"systemctl show -p CPUUsageNSec --value {_UNIT}").stdout
        # "[not set]" without the service or its accounting: then the row proves nothing.
        return int(shown) / 1e9 if shown.strip().isdigit() else math.nan

    def _one(self, site: Site, name: str, began: float, ended: float, used: float) -> Observation:
        host = site.hosts[name]
        state = host.run(f"systemctl is-active {_UNIT}", check=False).stdout.strip()
        problems = [] if state == "active" else [f"{_UNIT} is {state}"]
        allowed = IDLE_LIMIT[host.backend]
        if math.isnan(used):
            problems.append(f"systemd has no CPU time of {_UNIT}")
        elif used > allowed * self.seconds / 60:
            problems.append(f"more CPU time than {allowed * 1000:.0f} ms in a minute")
        note = f"{used * 1000:.1f} ms of CPU time in {self.seconds:.0f} s"
        return Observation(begin=began, end=ended, problems=problems, note=note, timed=False)
