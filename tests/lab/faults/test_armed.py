"""What a row of an unconfirmed change leaves behind when it cannot be completed."""

from types import SimpleNamespace
from typing import cast

import pytest

from lab.api import LabError
from lab.faults import armed
from lab.faults.site import Site
from lab.stacks import Run


class _Host:
    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, command: str) -> None:
        self.ran.append(command)


class _Stack:
    def __init__(self) -> None:
        self.ups: list[tuple[str, ...]] = []

    def configure(self, config: object) -> None:
        pass

    def up(self, *words: str, check: bool) -> Run:
        self.ups.append(words)
        return Run(1, "", 0.1)


def test_hosts_can_be_reached_again_when_a_row_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cut is reverted on every host, and no host waits for a change that never begins."""

    def failed(*words: object, **more: object) -> None:
        raise LabError("not done within 205 s")

    monkeypatch.setattr(armed, "look", lambda site, name: [])
    monkeypatch.setattr(armed, "watch", failed)
    hosts, stack = {"fault-1": _Host(), "fault-2": _Host()}, _Stack()
    site = cast("Site", SimpleNamespace(hosts=hosts, stack=stack, other={}, config={}))
    with pytest.raises(LabError, match="not done"):
        armed.Armed("cut", restore="uncut")(site, list(hosts))
    assert [host.ran for host in hosts.values()] == [["uncut"], ["uncut"]]
    assert stack.ups == [("--continue-on-error",)]
