"""Sets of packets that iptables lines match: the model behind the tests of the rules.

A line is a product of sets, one per thing that can be matched (source, interface, state …), so
two lines can match the same packet exactly when they share an element in every one of them. The
model refuses every unknown word: it understands each accepted line completely.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_network
from itertools import product
from typing import TypeAlias
from zlib import crc32

from planner import rule as planned

Interval: TypeAlias = tuple[int, int]
State: TypeAlias = tuple[str, frozenset[str]]

_BASES = ("INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED")
_FLAGS = ("DNAT", "SNAT")
STATES: frozenset[State] = frozenset(
    (base, frozenset(flags))
    for base in _BASES
    for flags in ((), ("DNAT",), ("SNAT",), ("DNAT", "SNAT"))
)
"""A packet has one of the states, and besides it may be translated (iptables-extensions(8))."""


@dataclass(frozen=True)
class Numbers:
    """A set of numbers from 0 to `top`, as intervals in order."""

    intervals: tuple[Interval, ...]
    top: int

    def __contains__(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self.intervals)

    def common(self, other: "Numbers") -> int | None:
        """Return a number of both sets, None if there is none."""
        for (first, last), (start, end) in product(self.intervals, other.intervals):
            if max(first, start) <= min(last, end):
                return max(first, start)
        return None

    def without(self) -> "Numbers":
        """Return everything up to `top` that is not in the set."""
        gaps = []
        place = 0
        for first, last in self.intervals:
            if place < first:
                gaps.append((place, first - 1))
            place = last + 1
        if place <= self.top:
            gaps.append((place, self.top))
        return Numbers(tuple(gaps), self.top)


@dataclass(frozen=True)
class Names:
    """A set of names: those in `names`, or all others if it is `negated`."""

    names: frozenset[str]
    negated: bool = False

    def __contains__(self, name: str) -> bool:
        return (name in self.names) != self.negated

    def common(self, other: "Names") -> str | None:
        """Return a name of both sets, None if there is none."""
        candidates = [*sorted(self.names | other.names), "a-name-in-neither-set"]
        return next((name for name in candidates if name in self and name in other), None)


ANY_NAME = Names(frozenset(), negated=True)
ANY_ADDRESS = Numbers(((0, 2**128 - 1),), 2**128 - 1)
EITHER = frozenset([True, False])
ANY_PORT = Numbers(((0, 65535),), 65535)
ANY_ICMP = Numbers(((0, 255),), 255)


@dataclass(frozen=True)
class Packet:
    """A packet as a chain sees it; addresses are numbers, `marked` means marked by the guard."""

    source: int
    destination: int
    marked: bool
    input: str
    output: str
    protocol: str
    port: int
    state: State
    source_port: int = 0
    icmp: int = 0
    """The type of an ICMPv6 message; ignored for other protocols."""


@dataclass(frozen=True)
class Rule:
    """A line of iptables-save: its chain, what it matches and what it does."""

    chain: str
    target: str
    source: Numbers = ANY_ADDRESS
    destination: Numbers = ANY_ADDRESS
    marked: frozenset[bool] = EITHER
    input: Names = ANY_NAME
    output: Names = ANY_NAME
    protocol: Names = ANY_NAME
    port: Numbers = ANY_PORT
    states: frozenset[State] = STATES
    source_port: Numbers = ANY_PORT
    icmp: Numbers = ANY_ICMP

    def matches(self, packet: Packet) -> bool:
        """Return whether the line applies to `packet`."""
        return (
            packet.source in self.source
            and packet.destination in self.destination
            and packet.marked in self.marked
            and packet.input in self.input
            and packet.output in self.output
            and packet.protocol in self.protocol
            and packet.port in self.port
            and packet.state in self.states
            and packet.source_port in self.source_port
            and packet.icmp in self.icmp
        )

    def common(self, other: "Rule") -> Packet | None:
        """Return a packet that both lines match, None if there is none."""
        if self.chain != other.chain:
            return None
        source = self.source.common(other.source)
        destination = self.destination.common(other.destination)
        marked = min(self.marked & other.marked, default=None)
        input_ = self.input.common(other.input)
        output = self.output.common(other.output)
        protocol = self.protocol.common(other.protocol)
        port = self.port.common(other.port)
        source_port = self.source_port.common(other.source_port)
        icmp = self.icmp.common(other.icmp)
        state = min(self.states & other.states, key=repr, default=None)
        if (
            source is None
            or destination is None
            or marked is None
            or input_ is None
            or output is None
            or protocol is None
            or port is None
            or state is None
            or source_port is None
            or icmp is None
        ):
            return None
        return Packet(
            source, destination, marked, input_, output, protocol, port, state, source_port, icmp
        )


def loaded(wanted: Iterable[planned.Wanted]) -> list[planned.Rule]:
    """Return the rules of iptables and ip6tables among `wanted`, in the order of loading.

    A host puts a subnet where a rule has `@BRIDGE`; here each bridge gets its own, from a space
    that no configuration of the tests uses.
    """

    def chosen(bridge: re.Match[str]) -> str:
        return f"-s {IPv4Address(0xF0000000 | crc32(bridge[0].encode()) >> 4)} "

    found = [
        replace(each, text=re.sub("-s @[^ ]+ ", chosen, each.text))
        for each in wanted
        if isinstance(each, planned.Rule) and each.family != "inet"
    ]
    return sorted(found, key=lambda each: (each.section, each.order, each.text))


def parse(line: str) -> Rule:
    """Return the line as a rule. Raises ValueError for a word that the model does not know."""
    words = iter(line.split())
    rule = Rule(chain="", target="")
    seen: set[str] = set()
    negated = False
    for word in words:
        if word == "!":
            negated = True
            continue
        if word in seen and word != "-m":
            raise ValueError(f"{word} is there twice: {line}")
        seen.add(word)
        if word in _MATCHES:
            rule = _matching(rule, word, next(words), negated)
        elif negated:
            raise ValueError(f"! before {word}: {line}")
        elif word == "-A":
            rule = replace(rule, chain=next(words))
        elif word == "-j":
            rule = replace(rule, target=" ".join(words))
        elif word != "-m" or next(words) not in ("tcp", "udp", "icmp6", "conntrack", "mark"):
            raise ValueError(f"{word} is not known: {line}")
        negated = False
    if not rule.chain or not rule.target:
        raise ValueError(f"no chain or no target: {line}")
    return rule


_MATCHES = (
    "-s", "-d", "--mark", "-i", "-o", "-p", "--sport", "--dport", "--icmpv6-type",
    "--ctstate",
)  # fmt: skip


def _matching(rule: Rule, word: str, value: str, negated: bool) -> Rule:
    """Return the rule with one more match."""
    match word:
        case "-s":
            return replace(rule, source=_addresses(value, negated))
        case "-d":
            return replace(rule, destination=_addresses(value, negated))
        case "--mark":
            bit, _, mask = value.partition("/")
            if bit != mask:
                raise ValueError(f"{value} is not whether a bit is set")
            return replace(rule, marked=frozenset([not negated]))
        case "-i":
            return replace(rule, input=_name(value, negated))
        case "-o":
            return replace(rule, output=_name(value, negated))
        case "-p":
            return replace(rule, protocol=_name(value, negated))
        case "--sport":
            return replace(rule, source_port=_numbers(value, negated, ANY_PORT))
        case "--dport":
            return replace(rule, port=_numbers(value, negated, ANY_PORT))
        case "--icmpv6-type":
            return replace(rule, icmp=_numbers(value, negated, ANY_ICMP))
    return replace(rule, states=_states(value, negated))


def _numbers(value: str, negated: bool, everything: Numbers) -> Numbers:
    first, _, last = value.partition(":")
    numbers = Numbers(((int(first), int(last or first)),), everything.top)
    return numbers.without() if negated else numbers


def _addresses(value: str, negated: bool) -> Numbers:
    subnet = ip_network(value)
    interval = int(subnet.network_address), int(subnet.broadcast_address)
    numbers = Numbers((interval,), 2**subnet.max_prefixlen - 1)
    return numbers.without() if negated else numbers


def _name(value: str, negated: bool) -> Names:
    if value.endswith("+"):
        raise ValueError(f"{value} stands for several interfaces")
    return Names(frozenset([value]), negated)


def _states(value: str, negated: bool) -> frozenset[State]:
    wanted = set(value.split(","))
    if not wanted <= {*_BASES, *_FLAGS}:
        raise ValueError(f"{value} is no state of a connection")
    states = frozenset(state for state in STATES if state[0] in wanted or state[1] & wanted)
    return STATES - states if negated else states
