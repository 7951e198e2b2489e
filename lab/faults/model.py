"""What a fault is, what is seen of it, and what comes of both. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from lab.settings import SUITES
from planner.config import Firewall

if TYPE_CHECKING:
    from lab.faults.site import Site

Expected: TypeAlias = Literal["repaired", "closed"]
"""`repaired`: everything comes back on its own. `closed`: it does not, and nothing gets out."""


@dataclass(frozen=True)
class Fault:
    """One row: what is done to a host by its own shell, and what has to come of it.

    `inject` has the variables of `site.variables` and ends where the event ends: what runs on its
    own from there on is the repair. `prepare` is run before (not part of the event), `restore`
    afterwards, where the product is not expected to mend it.
    """

    name: str
    inject: str
    expected: Expected = "repaired"
    within: float = 5.0
    """Seconds from the event's end in which the host's own state has to be as before."""
    traffic_within: float = 10.0
    """Seconds in which every network sends again: a container's start is Docker's to take."""
    unseen: bool = False
    """Whether the host's state may never be seen to differ."""
    open: str = ""
    """Why packets with a wrong source are unavoidable until the repair; else none may be."""
    open_on: Sequence[str] = SUITES
    """The suites of hosts on which they are unavoidable; on the others none may be."""
    prepare: str = ""
    restore: str = ""
    firewalls: Sequence[Firewall] = ("iptables", "nftables")
    """On hosts with which `firewall` it is done."""
    spares: Sequence[Firewall] = ()
    """On hosts with which `firewall` it changes nothing of ours: there, nothing may differ."""


@dataclass(frozen=True)
class Deed:
    """A row that is more than a host's shell can do: a function brings the host through it.

    `act` is called once for all hosts and returns what was seen of each by its name.
    """

    name: str
    act: Callable[[Site, Sequence[str]], Mapping[str, Observation]]
    expected: str
    traffic_within: float = 10.0
    renumbers: bool = False
    """Whether the networks' other addresses are right too while it runs."""
    long: bool = False
    """Whether it takes half a minute or more. tests/lab/atomic does these things at every step."""
    engine: str = ""
    """What the version of a host's Docker begins with; a host with another one is left out."""


Row: TypeAlias = Fault | Deed


@dataclass(frozen=True)
class Change:
    """What a look saw that the one before did not: it happened between two times (s, 1970)."""

    since: float
    until: float
    missing: Sequence[str]
    new: Sequence[str]

    @property
    def as_before(self) -> bool:
        """Whether the host is again as it was before the event."""
        return not self.missing and not self.new


@dataclass(frozen=True)
class Observation:
    """What was seen on a host; times in seconds since 1970, of the clock that captures have too."""

    begin: float
    end: float
    changes: Sequence[Change] = ()
    looks: int = 0
    failed: str = ""
    """Why the event did not even happen."""
    problems: Sequence[str] = ()
    """What a deed found wrong on its own."""
    note: str = ""
    """What a deed has to say in the column "seen"."""
    took: float | None = None
    """Seconds to repair, where it is not the traffic that says so."""
    timed: bool = True
    """Whether there is such a time at all."""
    booted: float | None = None
    """When the host's systemd began to run."""
    loaded: float | None = None
    """When the rules were in force after that."""

    @property
    def differed(self) -> bool:
        """Whether the host was seen in another state than before."""
        return any(not change.as_before for change in self.changes)

    @property
    def repaired(self) -> float | None:
        """Seconds from the event's end to the look that found all as before; None without one."""
        if not self.changes:
            return 0.0
        last = self.changes[-1]
        return max(0.0, last.until - self.end) if last.as_before else None


@dataclass(frozen=True)
class Traffic:
    """What the internet saw of one host's networks, from before the event to the row's end."""

    right: int
    wrong: Mapping[str, int]
    """Packets with a wrong source, by their description."""
    last_wrong: float | None
    """When the last of them passed."""
    silent: Sequence[str]
    """Networks and families of which not enough was seen before the event to prove anything."""
    first_after_boot: float | None
    """When the first packet passed, right or wrong, after the host had booted."""
    back: float | None
    """Seconds from the event's end until every flow ran without pause; None where one is still."""
    still: Sequence[str] = ()
    """The flows that did not come back."""

    @property
    def wrong_count(self) -> int:
        """How many packets had a wrong source."""
        return sum(self.wrong.values())


@dataclass(frozen=True)
class Outcome:
    """A row on a host: what the table shows, and why it failed where it did."""

    row: Row
    host: str
    observation: Observation
    traffic: Traffic
    problems: Sequence[str]
    seen: str
    seconds: float | None
    """Time to repair: the host's state and its traffic, whichever is later."""

    @property
    def ok(self) -> bool:
        """Whether all is as it has to be."""
        return not self.problems
