"""One run of Pulumi's dynamic plugin, as far as one host goes: a fresh process, one resource.

    python -m bench.worker <job.json      prints one JSON object

The job has `phase` and HostNetworking's properties `old` and `new`. The calls are in the engine's
order: diff before update, and read before both if the run refreshes.
"""

import json
import sys
import time
from typing import Any, TypeAlias
from unittest.mock import patch

from providers.host.resource import HostNetworkingProvider
from providers.ssh import remote
from providers.ssh.session import Session
from providers.ssh.target import Target

Props: TypeAlias = dict[str, Any]


class CountedSession(Session):
    """A session that counts its traffic."""

    made: "list[CountedSession]" = []  # noqa: RUF012 - of the class: there is one run per process

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.made.append(self)


def call(phase: str, old: Props, new: Props) -> None:
    """Make the calls of a phase. Raises RuntimeError on an unexpected result."""
    provider, name = HostNetworkingProvider(), new["host"]["name"]
    if phase == "create":
        provider.create(new)
        return
    if phase == "delete":
        provider.delete(name, old)
        return
    if phase in ("refresh", "mend"):
        found = provider.read(name, old).inputs or {}
        if phase == "refresh":
            if found != old:
                wrong = {key: value for key, value in found.items() if value != old.get(key)}
                raise RuntimeError(f"drift is reported where there is none: {wrong}")
            return
        old = found
    # None leaves the comparison to the engine; only False means that there is nothing to do.
    differs = provider.diff(name, old, new).changes is not False
    if differs != (phase != "no-op"):
        raise RuntimeError(f"{phase}: diff finds {'a' if differs else 'no'} difference")
    if differs:
        provider.update(name, old, new)


def run(phase: str, old: Props, new: Props) -> dict[str, Any]:
    """Return the seconds that the calls took, first to last, and the network traffic."""
    started = time.monotonic()
    with patch.object(remote, "Session", CountedSession):
        call(phase, old, new)
    return {
        "seconds": time.monotonic() - started,
        "handshakes": sum(session.handshakes for session in CountedSession.made),
        "commands": sum(session.commands for session in CountedSession.made),
    }


if __name__ == "__main__":
    json.dump(run(**json.load(sys.stdin)), sys.stdout)
