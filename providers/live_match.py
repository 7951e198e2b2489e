"""Which of the lines in our chains are whose: what was put, what is missing, what is too much.

Everything that does not depend on one network is found out once for a host's state (`Lines`): a
refresh of a thousand networks must not compare each with all of the others. What a host says may
be hostile, so whatever is looked at closely is limited in number and length.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import ip_network
from itertools import islice
from typing import TypeAlias

from providers.base_fragment import BASE_NAME
from providers.live import GUARD_BASE, GUARD_BRIDGE, OWN, Live

TABLES = ("ipv4 nat", "ipv4 filter", "ipv6 nat", "ipv6 filter", "guard")
"""What a line of a fragment begins with that stands for a rule."""

Range: TypeAlias = tuple[int, int, int]
"""Version, first and last address of a subnet or of one address."""

_ALIKE = 0.6
"""From this similarity on a line that nobody knows passes for an edited one, not a new one."""

_STRAYS = 500
"""So many lines that nobody put are looked at in each table: more than anybody adds by hand."""

_LISTED = 20
"""So many of them are shown for one network and table; then their number."""

_LENGTH = 1000
"""So many characters of a line are looked at and shown; ours have a fifth of that."""


@dataclass(frozen=True)
class Stray:
    """A line in our chains that no fragment has, with what it names.

    `hosts` if it is about the host itself, `nobodys` if it is about nothing that we know of.
    """

    line: str
    names: frozenset[str]
    ranges: tuple[Range, ...]
    hosts: bool
    nobodys: bool


class Lines:
    """The lines of our chains in a host's state, each told by its table and its text."""

    def __init__(self, live: Live) -> None:
        self._live = live

    @cached_property
    def in_force(self) -> Mapping[str, Counter[str]]:
        """The lines by table, without those of the guard that belong to no network."""
        base = (*GUARD_BASE, GUARD_BRIDGE)
        guard = Counter(line for line in self._live.guard if line not in base)
        tables = {
            table: Counter(line for line in lines if line.startswith(OWN))
            for table, lines in self._live.tables.items()
        }
        return {**{table: Counter() for table in TABLES}, **tables, "guard": guard}

    @cached_property
    def positions(self) -> Mapping[str, Mapping[str, int]]:
        """The place of each line in its table, the first of several."""
        tables = {**self._live.tables, "guard": self._live.guard}
        return {
            table: {line: number for number, line in reversed(list(enumerate(lines)))}
            for table, lines in tables.items()
        }

    @cached_property
    def chains(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """The lines of iptables by table and chain."""
        found: dict[tuple[str, str], list[str]] = {}
        for table, lines in self._live.tables.items():
            for line in lines:
                found.setdefault((table, _chain(line)), []).append(line)
        return found

    @cached_property
    def addresses(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """The interfaces and lines by address, without its prefix length."""
        found: dict[str, list[tuple[str, str]]] = {}
        for device, line in self._live.addresses:
            found.setdefault(address_of(line), []).append((device, line))
        return found

    @cached_property
    def put(self) -> Mapping[str, Mapping[str, Counter[str]]]:
        """The lines that each fragment has, by its name and by table."""
        return {
            name: _by_table(placed_text(text, self._live))
            for name, text in self._live.fragments.items()
        }

    @cached_property
    def put_by_all(self) -> Mapping[str, Counter[str]]:
        """The lines that all fragments have together, by table."""
        total: dict[str, Counter[str]] = {table: Counter() for table in TABLES}
        for tables in self.put.values():
            for table, lines in tables.items():
                total[table].update(lines)
        return total

    @cached_property
    def strays(self) -> Mapping[str, Sequence[Stray]]:
        """What is in force and in no fragment, by table, each as often as it is too much."""
        claims = _Claims(value for _, value in self._claimed())
        return {
            table: [
                self._stray(table, line, claims)
                for line in islice((lines - self.put_by_all[table]).elements(), _STRAYS)
            ]
            for table, lines in self.in_force.items()
            if table in TABLES
        }

    def count(self, name: str, table: str, line: str) -> int:
        """Return how often a line is in force that is not another fragment's than `name`'s."""
        own = self.put.get(name, {}).get(table, Counter())
        return self.in_force[table][line] - self.put_by_all[table][line] + own[line]

    def _stray(self, table: str, line: str, claims: "_Claims") -> Stray:
        text = line[:_LENGTH]
        names = _names(text)
        places = (_range(word) for word in text.split())
        ranges = tuple(islice((place for place in places if place is not None), 20))
        claimed = claims.touch(names, ranges)
        hosts = not claimed and self._is_hosts(table, line, names)
        return Stray(text, names, ranges, hosts, not claimed and not hosts)

    def _is_hosts(self, table: str, line: str, names: frozenset[str]) -> bool:
        if BASE_NAME in self._live.fragments:
            return not names.isdisjoint(self._hosts.get((table, _chain(line)), ()))
        # Its file is gone, and its chain is still there.
        return bool(names) and (table, "WANBOUND-INPUT") in self.chains

    @cached_property
    def _hosts(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """The interfaces that the host's own lines name, by table and chain."""
        found: dict[tuple[str, str], frozenset[str]] = {}
        for table, lines in self.put.get(BASE_NAME, {}).items():
            for line in lines:
                place = (table, _chain(line))
                found[place] = found.get(place, frozenset()) | _names(line)
        return found

    def _claimed(self) -> Iterable[tuple[str, str]]:
        """Yield what is somebody's: by the fragments, and by the guard where a file is gone."""
        for name in self._live.fragments:
            yield from claims_of(name, self._live)
        for line in self._live.guard:
            if found := re.fullmatch(r'add element inet wanbound \S+ \{ "?([^" ]+)"? : .*', line):
                yield "guard", found[1]


@lru_cache(maxsize=2)
def lines_of(live: Live) -> Lines:
    """Return the lines of a state, found out once while it is in use."""
    return Lines(live)


def placed_text(text: str, live: Live) -> str:
    """Return rules with the subnet that a bridge has in the place of `-s @BRIDGE`, as on the host.

    Where there is no such bridge they stay as they are, and are then not in force.
    """
    return _PLACE.sub(lambda found: f" -s {_subnet_of(found[1], live) or found[1]} ", text)


_PLACE = re.compile(r" -s (@\S+) ")


def _subnet_of(place: str, live: Live) -> str | None:
    """Return the first IPv4 subnet of a link (subnet_of in compose.awk)."""
    for device, line in live.addresses:
        if f"@{device}" == place and line.startswith("inet "):
            try:
                return str(ip_network(line.split()[1], strict=False))
            except ValueError:
                return None
    return None


def address_of(line: str) -> str:
    """Return the address of a line of ``ip addr show``, without its prefix length."""
    return line.split()[1].partition("/")[0]


def claims_of(name: str, live: Live) -> Iterable[tuple[str, str]]:
    """Yield what a fragment on the host claims: (kind, value); a network has five and a few."""
    text = live.fragments.get(name, "")
    for found in islice(re.finditer(r"^claim (\S+) (\S+)$", text, re.MULTILINE), 100):
        yield found[1], found[2]


def concerning(claims: Iterable[tuple[str, str]]) -> Callable[[Stray], bool]:
    """Return what tells whether a line names a bridge, subnet or address of `claims`."""
    own = _Claims(value for _, value in claims)
    return lambda stray: own.touch(stray.names, stray.ranges)


def match(
    name: str,
    table: str,
    chains: tuple[str, ...],
    wanted: Mapping[str, str],
    live: Live,
    blamed: Callable[[Stray], bool],
) -> dict[str, str]:
    """Return `wanted`, the lines of fragment `name` by role, as they are on the host.

    They are in a table, and begin with one of `chains`. A line in force keeps its role. A role
    whose line is gone is left out, or holds the line that was found in its place. What is there
    beside them, and `blamed` on the fragment, has a role that begins with "drift".
    """
    lines = lines_of(live)
    taken: Counter[str] = Counter()
    found = {}
    for role, line in wanted.items():
        if lines.count(name, table, line) > taken[line]:
            taken[line] += 1
            found[role] = line
    drift = _order_drift(found, lines.positions.get(table, {}))
    own = {*lines.put.get(name, {}).get(table, ()), *taken}
    again = [
        line
        for line in sorted(own)
        for _ in range(min(lines.count(name, table, line) - taken[line], _STRAYS))
    ]
    strays = [s.line for s in lines.strays[table] if s.line not in own and blamed(s)]
    left = [line for line in again + strays if line.startswith(chains)]
    for role, line in wanted.items():
        if role not in found and (near := _nearest(line, left[:100])) is not None:
            left.remove(near)
            found[role] = near
    extra = {f"drift {number}": line for number, line in enumerate(left[:_LISTED], 1)}
    if len(left) > _LISTED:
        at_least = "at least " if len(lines.strays[table]) == _STRAYS else ""
        extra["drift more"] = f"and {at_least}{len(left) - _LISTED} lines more"
    return found | drift | extra


def _nearest(line: str, others: Sequence[str]) -> str | None:
    """Return the line of the same chain that is most alike, by the words that both have."""
    words = Counter(line.split())
    best, found = _ALIKE, None
    for other in others:
        others_words = Counter(other.split())
        common = 2 * (words & others_words).total() / (words.total() + others_words.total())
        if _chain(other) == _chain(line) and (common > best or (found is None and common == best)):
            best, found = common, other
    return found


def _order_drift(found: Mapping[str, str], positions: Mapping[str, int]) -> dict[str, str]:
    """Compare the order in each chain with that of the roles, in which lines are loaded."""
    last: dict[str, str] = {}
    drift: dict[str, str] = {}
    for _, line in sorted(found.items()):
        chain = _chain(line)
        if chain and chain in last and positions[line] < positions[last[chain]]:
            drift.setdefault(f"drift order {chain}", f"too early: {line}")
        last[chain] = line
    return drift


def _chain(line: str) -> str:
    """Return the chain that a line is in, nothing for an element of a map, which has no order."""
    words = line.split(" ", 5)
    if words[0] == "-A":
        return words[1]
    return words[4] if words[1] == "rule" else ""


def _by_table(text: str) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for line in text.split("\n"):
        for table in TABLES:
            if line.startswith(f"{table} "):
                found.setdefault(table, Counter())[line[len(table) + 1 :]] += 1
                break
    return found


_NAMES = (
    r'(?:-[io] |[io]ifname (?:!= )?")([^\s"]+)',
    r"(?:inet wanbound|jump) (?:from|to|egress|public)-(\S+)",
    r'\{ "([^"]+)" :',
)
"""Where a line of iptables or nft names an interface."""


def _names(line: str) -> frozenset[str]:
    return frozenset(name for pattern in _NAMES for name in re.findall(pattern, line))


def _range(text: str) -> Range | None:
    # Most words are not even like one, and the exception would cost more than all else here.
    if not re.fullmatch(r"[0-9a-fA-F.:/]{2,60}", text) or not ("." in text or ":" in text):
        return None
    try:
        subnet = ip_network(text, strict=False)
    except ValueError:
        return None
    return subnet.version, int(subnet.network_address), int(subnet.broadcast_address)


class _Claims:
    """Names of bridges, and ranges of addresses."""

    def __init__(self, values: Iterable[str]) -> None:
        self._names: set[str] = set()
        # Of all ranges, joined where they overlap, the first and the last address.
        self._first: list[tuple[int, int]] = []
        self._last: list[int] = []
        ranges = set()
        for value in values:
            place = _range(value)
            if place is None:
                self._names.add(value)
            else:
                ranges.add(place)
        for version, first, last in sorted(ranges):
            if self._first and self._first[-1][0] == version and first <= self._last[-1]:
                self._last[-1] = max(self._last[-1], last)
            else:
                self._first.append((version, first))
                self._last.append(last)

    def touch(self, names: frozenset[str], ranges: Sequence[Range]) -> bool:
        return not self._names.isdisjoint(names) or any(map(self._overlaps, ranges))

    def _overlaps(self, place: Range) -> bool:
        version, first, last = place
        before = bisect_right(self._first, (version, last)) - 1
        return before >= 0 and self._first[before][0] == version and self._last[before] >= first
