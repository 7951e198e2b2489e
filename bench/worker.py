"""One run of Pulumi's dynamic plugin, as far as HostNat goes: a fresh process, four threads.

    python -m bench.worker <job.json      prints one JSON object

The job has `phase`, `olds` and `news` (lists of HostNat's properties). The engine's own order of
calls is kept: diff before update, read before both where the run refreshes.
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias
from unittest.mock import patch

from providers.host_nat import HostNatProvider
from providers.session import Session, Target

from providers import host as seam

THREADS = 4
"""Calls that Pulumi's dynamic plugin serves at a time."""

Props: TypeAlias = dict[str, Any]


class CountedSession(Session):
    """A session that can be asked afterwards what went over it."""

    made: "list[CountedSession]" = []  # noqa: RUF012 - of the class: there is one run per process

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.made.append(self)


class Calls:
    """The provider's calls for one network; each raises where it is not what its phase expects."""

    def __init__(self) -> None:
        self._provider = HostNatProvider()

    def create(self, _old: Props, new: Props) -> None:
        """Make it from nothing."""
        self._provider.create(new)

    def change(self, old: Props, new: Props) -> None:
        """Bring it from one set of properties to another."""
        if not self._differs(old, new):
            raise RuntimeError(f"{_id(old)}: a difference passes for none")
        self._provider.update(_id(old), old, new)

    def no_op(self, old: Props, new: Props) -> None:
        """Find that there is nothing to do."""
        if self._differs(old, new):
            raise RuntimeError(f"{_id(old)}: no difference passes for one")

    def refresh(self, old: Props, _new: Props) -> None:
        """Look at the host, where nothing has drifted."""
        found = self.read(old)
        if found != old:
            wrong = {key: value for key, value in found.items() if value != old.get(key)}
            raise RuntimeError(f"{_id(old)}: drift is reported where there is none: {wrong}")

    def read(self, old: Props) -> Props:
        """Return the properties as they are on the host."""
        return self._provider.read(_id(old), old).inputs or {}

    def delete(self, old: Props, _new: Props) -> None:
        """Remove it."""
        self._provider.delete(_id(old), old)

    def _differs(self, old: Props, new: Props) -> bool:
        # None leaves it to the engine to compare; only False says that there is nothing to do.
        return self._provider.diff(_id(new), old, new).changes is not False


def _id(props: Props) -> str:
    return f"{props['host']['name']}/{props['network']}"


def run(phase: str, olds: list[Props], news: list[Props]) -> dict[str, Any]:
    """Return how long the calls took in seconds, first to last, and what went over the network."""
    calls = Calls()
    by_phase: dict[str, Callable[[Props, Props], None]] = {
        "create": calls.create,
        "refresh": calls.refresh,
        "no-op": calls.no_op,
        "change": calls.change,
        "mend": calls.change,
        "delete": calls.delete,
    }
    started = time.monotonic()
    with (
        patch.object(seam, "Session", CountedSession),
        ThreadPoolExecutor(max_workers=THREADS) as pool,
    ):
        if phase == "mend":
            # As `pulumi up --refresh`: all is read before anything is done.
            olds = list(pool.map(calls.read, olds))
        for _ in pool.map(by_phase[phase], olds, news):
            pass
        seconds = time.monotonic() - started
    return {
        "seconds": seconds,
        "handshakes": sum(session.handshakes for session in CountedSession.made),
        "commands": sum(session.commands for session in CountedSession.made),
    }


if __name__ == "__main__":
    json.dump(run(**json.load(sys.stdin)), sys.stdout)
