"""One row on its hosts, from the traffic before it to the verdict after it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from lab.api import Host
from lab.checks import run as ask
from lab.errors import LabError
from lab.faults.judge import Times, outcome, traffic
from lab.faults.model import Fault, Observation, Outcome, Procedure, Row
from lab.faults.site import Site
from lab.faults.watching import bring_back, everywhere, look, watch
from lab.traffic import expression

BEFORE = 1.5
"""Seconds of traffic before the event: enough of each flow to show that it runs."""

PATIENCE = 15.0
"""Seconds in which traffic must run before a row; then the hosts' containers are restarted."""

ATTEMPTS = 3
"""How often a row is run at most, see `Runner.run`."""


class Runner:
    """Runs rows on the hosts of a site, each from the state before the first one."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._before = everywhere(tuple(site.hosts), lambda name: look(site, name))
        self._flows = False
        """Whether all flows ran at the end of the last row."""

    def run(self, row: Row) -> list[Outcome]:
        """Return the outcome on each host of the row.

        Runs it again if a host was repaired between two looks, so that no difference was seen and
        nothing is proven: on a busy machine a look takes as long as a repair.
        """
        for _ in range(ATTEMPTS - 1):
            outcomes = self._once(row)
            if not any(self._missed(row, outcome) for outcome in outcomes):
                return outcomes
        return self._once(row)

    def _once(self, row: Row) -> list[Outcome]:
        names = [name for name, host in self._site.hosts.items() if _is_for(row, host)]
        if not names:
            return []
        site = self._site
        right = site.right_meanwhile if isinstance(row, Procedure) and row.renumbers else site.right
        if not self._flows:
            self._flowing(names)
        everywhere(names, lambda name: self._prepare(row, name))
        with site.lab.internet.capture(expression(tuple(site.ports))) as capture:
            time.sleep(BEFORE)
            seen = self._act(row, names)
            wrong = self._ask([name for name in names if self._to_be_asked(row, seen[name])])
            until = time.time()
        outcomes = []
        for name in names:
            times = Times(seen[name].begin, seen[name].end, until)
            found = traffic(capture.packets, site.networks(name, right), times, seen[name].booted)
            host, failed = site.hosts[name], wrong.get(name, [])
            outcomes.append(
                outcome(
                    row, name, seen[name], found, failed, suite=host.suite, firewall=host.firewall
                )
            )
        restore = row.restore if isinstance(row, Fault) else ""
        everywhere(names, lambda name: bring_back(site, name, self._before[name], restore))
        # Traffic that a closed row has stopped may need a moment to run again.
        closed = isinstance(row, Fault) and row.expected == "closed"
        self._flows = not closed and all(outcome.ok for outcome in outcomes)
        return outcomes

    def _missed(self, row: Row, outcome: Outcome) -> bool:
        """Whether nothing is wrong except that no difference was seen."""
        seen = outcome.observation
        if not isinstance(row, Fault) or self._site.hosts[outcome.host].firewall in row.spares:
            return False
        return not (seen.differed or row.unseen or seen.failed)

    def _prepare(self, row: Row, name: str) -> None:
        self._site.save(name, "row")
        # Rows start Docker; systemd refuses its fourth start within a minute.
        self._site.hosts[name].run("systemctl reset-failed docker.service")
        if isinstance(row, Fault) and row.prepare:
            self._site.hosts[name].run(f"set -e\n{row.prepare}")

    def _act(self, row: Row, names: Sequence[str]) -> Mapping[str, Observation]:
        if isinstance(row, Procedure):
            return row.act(self._site, names)
        return everywhere(
            names,
            lambda name: watch(
                self._site,
                name,
                row.inject,
                before=self._before[name],
                limit=row.within * 2 if row.expected == "repaired" else 3,
                environment=self._site.variables_of[name],
            )[0],
        )

    @staticmethod
    def _to_be_asked(row: Row, seen: Observation) -> bool:
        # A failed row would only wait for answers.
        return not (isinstance(row, Fault) and (row.expected == "closed" or seen.repaired is None))

    def _ask(self, names: Sequence[str]) -> dict[str, list[str]]:
        # Without checks that need another host's answer, if that host's row has failed.
        checks = [
            check
            for check in self._site.checks
            if check.host in names
            and self._site.host_of.get(check.question.address, check.host) in names
        ]
        failed: dict[str, list[str]] = {}
        for result in ask(self._site.lab, checks) if checks else []:
            if not result.ok:
                failed.setdefault(result.check.host, []).append(str(result))
        return failed

    def _flowing(self, names: Sequence[str]) -> None:
        """Wait until every flow runs, as a row needs it from the start."""
        silent = self._silent(names)
        end = time.monotonic() + PATIENCE
        while silent and time.monotonic() < end:
            silent = self._silent(names)
        if not silent:
            return
        # The previous row has reported this; restart them for the present one.
        for name in silent:
            self._site.hosts[name].run("docker restart $(docker ps -aq)", check=False)
        time.sleep(BEFORE)
        if silent := self._silent(names):
            raise LabError(f"no traffic where a row should begin: {silent}")

    def _silent(self, names: Sequence[str]) -> dict[str, Sequence[str]]:
        """Return the flows that do not run, by host."""
        site = self._site
        with site.lab.internet.capture(expression(tuple(site.ports))) as capture:
            time.sleep(BEFORE)
        now = Times(time.time(), time.time(), time.time())
        found = {
            name: traffic(capture.packets, site.networks(name, site.right), now).silent
            for name in names
        }
        return {name: flows for name, flows in found.items() if flows}


def _is_for(row: Row, host: Host) -> bool:
    if isinstance(row, Procedure):
        return host.docker_version.startswith(row.engine)
    return host.firewall in row.firewalls
