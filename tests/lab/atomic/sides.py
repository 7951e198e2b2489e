"""A host that alternates between two versions, with operators' runs that fail."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from lab.api import Host, Lab
from providers.host.plan import Plan
from tests.lab.atomic.drill import Drill
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.look import Look
from tests.lab.atomic.operators import Ended, operator
from tests.lab.atomic.plans import Net, base, plan

SECONDS = 2
"""For which the hosts here wait for a confirmation."""

CONFIRMED_SECONDS = 10
"""The same, where the confirmation must come in time: it needs a new connection to a busy host."""

RECOVERED_SECONDS = 20.0
"""Within which the host is restored after that time; host and machine are busy."""

UNDONE = "was not confirmed in time over a new SSH connection and was rolled back"
NOT_LET_IN = "it accepted no new SSH connection after the change"
CAME_TOO_LATE = "it rolled the change back, because no confirmation came in time"


class Side(Drill):
    """One host, whose operator can log in by every way in both versions."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.plans = {
            -1: None,
            0: plan(host, [Net("one", 64)], base(1, gateway=1)),
            1: plan(host, [Net("one", 65, 64)], base(2, gateway=1)),
        }

    @property
    def other(self) -> Plan:
        """The version that the host does not have."""
        found = self.plans[1 if self.now == self.plans[0] else 0]
        assert found is not None
        return found

    def back(self, before: Look, seconds: float = SECONDS) -> None:
        """Assert that the host has exactly its former state, once nothing is armed any more."""
        until = time.monotonic() + seconds + RECOVERED_SECONDS
        while True:
            # A connection that begins under a redirecting rule stays redirected until its end.
            with suppress(OSError), socket.create_connection((self.host.address, 22), 0.5):
                break
            assert time.monotonic() < until, "port 22 accepts no connection"
        seen = self.look(seconds + RECOVERED_SECONDS)
        assert not seen.armed
        assert seen.same(before), before.differences(seen)

    def told(self, why: str = UNDONE) -> None:
        """Assert that the next run reports `why` and succeeds, and that the one after does not."""
        for expected in (True, False):
            wanted = self.other
            done = operator(self).run(self, wanted)
            assert done.error == "", done.error
            assert (why in done.notes) == expected, done.notes
            self.now = wanted


def refused(done: Ended, *words: str) -> None:
    """Assert that the run failed, with one of those words, and reports the host's state."""
    print(done.error)
    assert "as it was before the change, in both families" in done.error
    assert any(word in done.error for word in words), done.error


@contextmanager
def sides(lab: Lab) -> Iterator[Mapping[str, Side]]:
    """Yield both hosts, in version 0 at first; they are bare again afterwards."""
    found = {name: Side(host) for name, host in lab.hosts.items()}
    with ExitStack() as stack:
        for side in found.values():
            stack.callback(side.close)
        bare = {name: side.look() for name, side in found.items()}
        on_both(lab, lambda host: found[host.name].apply(found[host.name].plans[0]))
        yield found
        on_both(lab, lambda host: found[host.name].apply(None))
        for name, side in found.items():
            after = side.look()
            assert after == bare[name], bare[name].differences(after)
