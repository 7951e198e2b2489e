"""Faults of a change between its load and its confirmation, while networks send."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.faults.model import Observation
from lab.faults.site import CONFIRM_SECONDS, Site
from lab.faults.watching import everywhere, look, watch
from lab.stacks import Run
from lab.steps import wait_until

ARMED = "etc/wanbound/armed"
"""Exists from before the load of the first rule until the change is confirmed or rolled back."""

_BEGUN = f"[ -e /{ARMED} ]"
"""The rules are being loaded: the confirmation is at least 0.1 s away, so this is not missed."""

_LOADED = f"grep -qs loaded /{ARMED}"


def _until(condition: str) -> str:
    return f'timeout 120 sh -c "until {condition}; do sleep 0.01; done"\n'


SHUT = "iptables -I INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -j DROP"
"""New SSH connections are rejected, open ones continue: the effect of a wrong filter."""

LATE = 15.0
"""Seconds after the time for confirmation within which a rollback must be complete."""


@dataclass(frozen=True)
class Armed:
    """A `pulumi up` of other addresses, into which a fault is injected while its undo is armed."""

    then: str = ""
    """Run on each host as soon as its change begins."""
    restore: str = ""
    how: Literal["", "reboot", "kill"] = ""
    """Whether each host is rebooted when it has loaded the change, before it can be confirmed; or
    the client is killed, with all that it has started, when the first undo is armed."""
    either: bool = False
    """Whether the new state is accepted as well as the old one, as the change may be confirmed."""

    def __call__(self, site: Site, names: Sequence[str]) -> Mapping[str, Observation]:
        """Bring the hosts through the fault, to the new state, and back."""
        before = everywhere(names, lambda name: look(site, name))
        site.stack.configure(site.other)
        began = time.time()
        try:
            done, seen = self._change(site, names, before)
        finally:
            # In any case: the next row needs reachable hosts.
            everywhere(names, lambda name: site.hosts[name].run(self.restore or "true"))
        problems = []
        if not self.either and done.status == 0:
            problems.append("pulumi up reported success after an undo")
        after = everywhere(names, lambda name: look(site, name))
        again = site.stack.up("--refresh", check=False)
        if again.status != 0:
            problems.append(f"the next pulumi up failed; its log is {site.stack.log}")
        if not self.either and "was rolled back" not in again.output:
            problems.append("the next pulumi up does not say that the change was rolled back")
        new = everywhere(names, lambda name: look(site, name))
        site.stack.configure(site.config)
        if site.stack.up(check=False).status != 0:
            problems.append(f"the way back failed; its log is {site.stack.log}")
        ended = time.time()
        return {
            name: self._one(
                began, ended, seen[name], before[name], after[name], new[name], problems
            )
            for name in names
        }

    def _change(
        self, site: Site, names: Sequence[str], before: Mapping[str, list[str]]
    ) -> tuple[Run, dict[str, Observation]]:
        with ThreadPoolExecutor(max_workers=len(names) + 1) as pool:
            watched = {} if self.how == "kill" else self._watch(site, names, before, pool)
            # Pulumi changes four hosts at a time; without this option it begins with no further
            # host once one has failed.
            run = pool.submit(site.stack.up, "--continue-on-error", check=False)
            if self.how == "kill":
                _kill(site, names, run)
                run.result()
                watched = self._watch(site, names, before, pool)
                # A killed CLI leaves its lock of the stack to the user.
                site.stack.run("cancel", "--stack", site.stack.name, "--yes", check=False)
            return run.result(), {name: future.result() for name, future in watched.items()}

    def _watch(
        self,
        site: Site,
        names: Sequence[str],
        before: Mapping[str, list[str]],
        pool: ThreadPoolExecutor,
    ) -> dict[str, Future[Observation]]:
        def one(name: str) -> Observation:
            host = site.hosts[name]
            limit = CONFIRM_SECONDS + LATE
            if self.how == "reboot":
                boot = host.boot_id
                script = f"{_until(_BEGUN)}{SHUT}\n{_until(_LOADED)}systemctl reboot"
                host.run(f"systemd-run --quiet --collect sh -c '{script}'")
                host.wait_rebooted(boot)
                return watch(site, name, before=before[name], limit=limit)[0]
            inject = f"{_until(_BEGUN)}{self.then}" if self.then else ""
            return watch(site, name, inject, before=before[name], limit=limit, settled=2)[0]

        return {name: pool.submit(one, name) for name in names}

    def _one(
        self,
        began: float,
        ended: float,
        seen: Observation,
        before: Sequence[str],
        after: Sequence[str],
        new: Sequence[str],
        problems: Sequence[str],
    ) -> Observation:
        found = list(problems)
        if seen.failed:
            found.append(seen.failed)
        old = after == before
        if not old and not (self.either and after == new):
            lacking = [line for line in before if line not in after]
            found.append(f"neither the old state nor the new one: it lacks {lacking[:3]}")
        if new == before:
            found.append("the next pulumi up did not bring the new state")
        took = seen.repaired if old and self.how != "reboot" else None
        note = "the old state" if old else "the new state"
        if took is not None and seen.differed:
            note += f", {took:.1f} s after that"
        return Observation(
            begin=began,
            end=ended,
            looks=seen.looks,
            problems=found,
            note=note,
            took=took,
            timed=False,
        )


def _kill(site: Site, names: Sequence[str], run: Future[Run]) -> None:
    """Kill the client when the first host has armed its undo."""
    files = [site.hosts[name].disk / ARMED for name in names]
    wait_until(
        "an armed undo",
        lambda: run.done() or any(file.exists() for file in files),
        timeout=120,
        every=0.002,
    )
    if site.stack.pid is not None:
        for pid in [site.stack.pid, *_below(site.stack.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _below(pid: int) -> Iterator[int]:
    """Yield every process that the process has started, and their children."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # proc(5): the name, which may contain anything, is in parentheses; the parent is field 4.
        parents.setdefault(int(stat.rpartition(") ")[2].split()[1]), []).append(int(folder.name))
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            yield child
            waiting.append(child)
