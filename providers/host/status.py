"""What a host prints of its networks and counters (providers/onhost/status.sh), as data. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from providers.host.facts import ParseError, matches, sections_of

_SECTIONS = (
    "generation", "pending", "rolled back", "watcher", "owned table", "repairs", "duplicates",
    "networks", "drops", "containers", "end",
)  # fmt: skip


@dataclass(frozen=True)
class Bridge:
    """A bridge of ours: packets of its containers since it was created, and their addresses.

    `there` is False where Docker has not created it, or has removed it.
    """

    name: str
    there: bool
    packets_out: int = 0
    packets_in: int = 0
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drop:
    """What a rule of the guard has dropped since the last load."""

    chain: str
    packets: int
    bytes: int
    rule: str


@dataclass(frozen=True)
class Attached:
    """A running container on a bridge; `defaults` has the link of its default route by family."""

    bridge: str
    name: str
    addresses: tuple[str, ...]
    defaults: tuple[tuple[str, str], ...]

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The links that its default routes use instead of this bridge."""
        return tuple(sorted({link for _, link in self.defaults} - {self.bridge}))


@dataclass(frozen=True)
class Status:
    """A host's state; times are in UTC, as in 2026-01-31T12:00:00Z.

    `loaded` is when the rules were last loaded in this boot, `changed` when the generation was last
    switched; both are empty where that has not happened. `differs` are the parts of what is in
    force that are not as they were loaded, or "unreadable". `pending` says how long a change waits,
    or after a reboot that it is undone next. `rolled_back` has a line for each change that was
    undone since the last one that was not. `owned_table` is "held", "not held" or "not supported",
    and empty where no network needs it (providers/onhost/keep.sh). `repairs` are of this
    boot, `duplicates` pairs of address and link. `drops` is None where the guard cannot be read,
    `containers` where Docker does not run or does not answer.
    """

    current: str
    owner: str
    loaded: str
    changed: str
    differs: tuple[str, ...]
    pending: str
    rolled_back: tuple[str, ...]
    watcher: str
    owned_table: str
    repairs: tuple[tuple[str, str], ...]
    duplicates: tuple[tuple[str, str], ...]
    bridges: tuple[Bridge, ...]
    drops: tuple[Drop, ...] | None
    containers: tuple[Attached, ...] | None


def parse(text: str) -> Status:
    """Return a host's status as data. Raises ParseError for anything else."""
    sections = sections_of(text, _SECTIONS)
    generation = dict(
        matches(r"(current|confirmed|owner|loaded|differs|changed) (.+)", sections["generation"])
    )
    if "current" not in generation:
        raise ParseError("the host does not say which generation it has")
    pending = [words for _, words in matches(r"(\S+) (\S.*)", sections["pending"])]
    return Status(
        current=generation["current"],
        owner=generation.get("owner", ""),
        loaded=generation.get("loaded", ""),
        changed=generation.get("changed", ""),
        differs=tuple(generation["differs"].split(", ")) if "differs" in generation else (),
        pending=" ".join(pending),
        rolled_back=tuple(words for _, words in matches(r"(\S+) (.+)", sections["rolled back"])),
        watcher=" ".join(sections["watcher"]),
        owned_table=" ".join(sections["owned table"]),
        repairs=tuple(matches(r"(\S+) (.+)", sections["repairs"])),
        duplicates=tuple(matches(r"(\S+) (\S+)", sections["duplicates"])),
        bridges=tuple(_bridges(sections["networks"])),
        drops=None if sections["drops"] == ["unreadable"] else tuple(_drops(sections["drops"])),
        containers=_containers(sections["containers"]),
    )


def _bridges(lines: Iterable[str]) -> Iterator[Bridge]:
    for name, words in matches(r"(\S+) (missing|out [0-9]+ [0-9]+ in [0-9]+ [0-9]+ as.*)", lines):
        if words == "missing":
            yield Bridge(name, there=False)
            continue
        _, packets_out, _, _, packets_in, _, _, *addresses = words.split()
        yield Bridge(name, True, _number(packets_out), _number(packets_in), tuple(addresses))


def _drops(lines: Iterable[str]) -> Iterator[Drop]:
    for chain, words in matches(r"(\S+) ([0-9]+ [0-9]+ .+)", lines):
        packets, size, rule = words.split(" ", 2)
        yield Drop(chain, _number(packets), _number(size), rule)


def _number(digits: str) -> int:
    # Python reads at most 4,300 digits, and a counter has no more than 20.
    return int(digits[:20])


def _containers(lines: Sequence[str]) -> tuple[Attached, ...] | None:
    if lines and lines[0] in ("docker stopped", "docker silent"):
        return None
    found = []
    for bridge, words in matches(r"(\S+) (\S+ \S+(?: ipv[46] \S+)*)", lines):
        name, addresses, *defaults = words.split()
        inside = () if addresses == "none" else tuple(addresses.split(","))
        pairs = tuple(re.findall(r"(ipv[46]) (\S+)", " ".join(defaults)))
        found.append(Attached(bridge, name, inside, pairs))
    return tuple(found)
