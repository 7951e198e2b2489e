"""A fault, the observations of it, and the outcome. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from lab.settings import SUITES
from planner.config import Firewall

if TYPE_CHECKING:
    from lab.faults.site import Site

Expected: TypeAlias = Literal["repaired", "closed"]
"""`repaired`: everything comes back by itself. `closed`: it does not, and no packet leaves."""


@dataclass(frozen=True)
class Fault:
    """One row: a fault that a host's own shell injects, and the expected result.

    `inject` has the variables of `site.variables`, and its end is the end of the event: after it,
    the repair runs by itself. `prepare` runs before the event, `restore` afterwards, if wanbound is
    not expected to repair the fault.
    """

    name: str
    inject: str
    expected: Expected = "repaired"
    within: float = 5.0
    """Seconds from the event's end in which the host's own state must be restored."""
    traffic_within: float = 10.0
    """Seconds in which every network must send again; they include Docker's start of containers."""
    unseen: bool = False
    """Whether the row passes without any seen difference."""
    open: str = ""
    """Why packets with a wrong source are unavoidable until the repair; "" allows none."""
    open_on: Sequence[str] = SUITES
    """The suites on which they are unavoidable; on others none is allowed."""
    prepare: str = ""
    restore: str = ""
    firewalls: Sequence[Firewall] = ("iptables", "nftables")
    """It is injected on hosts with these values of `firewall`."""
    spares: Sequence[Firewall] = ()
    """With these values of `firewall` it changes nothing of ours, so no difference is allowed."""


@dataclass(frozen=True)
class Procedure:
    """A row that needs more than a host's shell: a function runs it.

    `act` is called once for all hosts, and returns the observations by host name.
    """

    name: str
    act: Callable[[Site, Sequence[str]], Mapping[str, Observation]]
    expected: str
    traffic_within: float = 10.0
    renumbers: bool = False
    """Whether the networks' other addresses are right as well while it runs."""
    long: bool = False
    """Whether it takes half a minute or more. tests/lab/atomic tests these at every step."""
    engine: str = ""
    """The first part of the Docker version that it needs; other hosts are left out."""


Row: TypeAlias = Fault | Procedure


@dataclass(frozen=True)
class Change:
    """A difference between two looks: it happened between their two times (s, 1970)."""

    since: float
    until: float
    missing: Sequence[str]
    new: Sequence[str]

    @property
    def as_before(self) -> bool:
        """Whether the host has its state from before the event again."""
        return not self.missing and not self.new


@dataclass(frozen=True)
class Observation:
    """What was seen on a host; times in seconds since 1970, by the captures' clock."""

    begin: float
    end: float
    changes: Sequence[Change] = ()
    looks: int = 0
    failed: str = ""
    """Why the event did not happen at all."""
    problems: Sequence[str] = ()
    """Problems that a procedure itself found."""
    note: str = ""
    """A procedure's text for the column "seen"."""
    took: float | None = None
    """Seconds to repair, if the traffic does not tell."""
    timed: bool = True
    """Whether such a time exists at all."""
    booted: float | None = None
    """When the host's systemd started."""
    loaded: float | None = None
    """When the rules were in force after that."""

    @property
    def differed(self) -> bool:
        """Whether the host was ever seen in another state than before."""
        return any(not change.as_before for change in self.changes)

    @property
    def repaired(self) -> float | None:
        """Seconds from the event's end to the look with the restored state; None without one."""
        if not self.changes:
            return 0.0
        last = self.changes[-1]
        return max(0.0, last.until - self.end) if last.as_before else None


@dataclass(frozen=True)
class Traffic:
    """One host's networks as the internet saw them, from before the event to the row's end."""

    right: int
    wrong: Mapping[str, int]
    """Packets with a wrong source, counted by description."""
    last_wrong: float | None
    """When the last of them passed."""
    silent: Sequence[str]
    """Networks and families with too little traffic before the event to prove anything."""
    first_after_boot: float | None
    """When the first packet, right or wrong, passed after the host's boot."""
    back: float | None
    """Seconds from the event's end until every flow ran without pause; None if one is stopped."""
    still: Sequence[str] = ()
    """The flows that did not come back."""

    @property
    def wrong_count(self) -> int:
        """How many packets had a wrong source."""
        return sum(self.wrong.values())


@dataclass(frozen=True)
class Outcome:
    """The result of a row on a host: what the table shows, and why it failed."""

    row: Row
    host: str
    observation: Observation
    traffic: Traffic
    problems: Sequence[str]
    seen: str
    seconds: float | None
    """Time to repair: that of the host's state or of its traffic, whichever is later."""

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems
