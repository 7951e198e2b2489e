"""Foreign rules that do the same work as wanbound's rules for its networks. Pure.

Operators often have such rules from a manual setup: in the kernel, and in a file that is loaded at
boot. They are no longer needed, and they can hide that a rule of wanbound is missing. `found` lists
them, and never a rule whose removal would break something else.

A rule counts

- in nat, if it translates from a subnet or its bridge, to a subnet, or from or to a public address;
- in filter, if it accepts forwarded packets from or to a subnet, its bridge or a public address.

It does not count if it covers more than a subnet, is in a chain of wanbound or of Docker
(DOCKER-USER is the operator's), is what Docker itself puts into the built-in chains, or is in a
chain of filter that FORWARD does not reach: a network has no traffic in INPUT and OUTPUT.

The texts come from a host and may be hostile. Everything here takes linear time and raises nothing.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, NamedTuple, TypeAlias

Family: TypeAlias = Literal["ipv4", "ipv6"]

BOOT_FILES: Mapping[Family, tuple[str, ...]] = {
    "ipv4": ("/etc/iptables/rules.v4", "/etc/iptables/iptables.rules", "/etc/iptables.rules"),
    "ipv6": ("/etc/iptables/rules.v6", "/etc/iptables/ip6tables.rules", "/etc/ip6tables.rules"),
}
"""Where distributions and the usual guides keep the rules that are loaded at boot."""

_TRANSLATES = frozenset({"SNAT", "DNAT", "MASQUERADE", "REDIRECT", "NETMAP"})

_FIELDS = {
    **dict.fromkeys(("-j", "-g", "--jump", "--goto"), "target"),
    **dict.fromkeys(("-s", "--source", "--src"), "source"),
    **dict.fromkeys(("-d", "--destination", "--dst"), "destination"),
    **dict.fromkeys(("-i", "--in-interface"), "in_link"),
    **dict.fromkeys(("-o", "--out-interface"), "out_link"),
    **dict.fromkeys(("--to-source",), "to_source"),
    **dict.fromkeys(("--to", "--to-destination"), "to_destination"),
}
"""Option → field of `_Rule`."""

_FREE_TEXT = frozenset({"--comment", "--string", "--hex-string", "--log-prefix", "--nflog-prefix"})
"""Options whose value may look like an option."""

_RULE = re.compile(r"[ \t]*(?:\[[0-9]+:[0-9]+\] )?(?=(?:-A|-I|--append|--insert) )")
"""What may precede a rule; `iptables-save -c` prints counters."""

_SAFE_WORD = re.compile(r"[A-Za-z0-9_.,:/@%+=-]+|!")
"""What no shell changes. In an interactive one, "!" within a word inserts a line of its history."""


@dataclass(frozen=True)
class Needles:
    """What belongs to the networks of a host, of both families."""

    publics: frozenset[IPv4Address | IPv6Address]
    subnets: frozenset[IPv4Network | IPv6Network]
    bridges: frozenset[str]


def found(family: Family, needles: Needles, saved: str, files: Mapping[str, str]) -> list[str]:
    """Return the foreign rules that do the work of the networks' rules, ready to be shown.

    `saved` is what iptables-save prints (ip6tables-save for "ipv6"), with or without the chains of
    wanbound. A rule in it is returned as the command that deletes it, quoted for a shell. `files`
    is path → text of files loaded at boot, see `BOOT_FILES`; a rule in one is returned as
    `PATH:LINE: TEXT`. Lines with characters that a terminal does not print are left out: they could
    make it show another command than the one that is run.
    """
    networks = _Networks(needles)
    tool = "iptables" if family == "ipv4" else "ip6tables"
    commands = [
        " ".join([tool, "-t", line.table, "-D", *map(_shell_word, line.words[1:])])
        for line in _lines_found(networks, saved)
    ]
    places = [
        f"{path}:{line.number}: {line.text}"
        for path, text in files.items()
        for line in _lines_found(networks, text)
    ]
    return commands + places


class _Operand(NamedTuple):
    """The value of an option, and whether a "!" precedes the option."""

    text: str
    negated: bool


@dataclass(frozen=True)
class _Rule:
    """What matters of a rule. `matches` has all words that no other field has."""

    chain: str
    matches: tuple[str, ...]
    target: _Operand | None = None
    source: _Operand | None = None
    destination: _Operand | None = None
    in_link: _Operand | None = None
    out_link: _Operand | None = None
    to_source: _Operand | None = None
    to_destination: _Operand | None = None

    @property
    def target_name(self) -> str:
        return self.target.text if self.target else ""


@dataclass(frozen=True)
class _Line:
    """A line of a saved file that appends or inserts a rule; `number` counts from 1."""

    number: int
    text: str
    table: str
    words: tuple[str, ...]
    rule: _Rule


class _Networks:
    """Looks up addresses, subnets and bridges, as fast for a thousand networks as for one."""

    def __init__(self, needles: Needles) -> None:
        self._publics = needles.publics
        self._bridges = needles.bridges
        self._prefixes: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for subnet in needles.subnets:
            of_length = self._prefixes[subnet.version].setdefault(subnet.prefixlen, set())
            of_length.add(_prefix(subnet.network_address, subnet.prefixlen))

    def have(self, address: str) -> bool:
        """Return whether ADDRESS or ADDRESS/LENGTH lies within a subnet."""
        parsed = _range(address)
        return parsed is not None and any(
            length <= parsed[1] and _prefix(parsed[0], length) in prefixes
            for length, prefixes in self._prefixes[parsed[0].version].items()
        )

    def own(self, address: str) -> bool:
        """Return whether ADDRESS or ADDRESS/LENGTH is exactly one public address."""
        parsed = _range(address)
        return (
            parsed is not None
            and parsed[1] == parsed[0].max_prefixlen
            and parsed[0] in self._publics
        )

    def served_by(self, rule: _Rule, table: str) -> bool:
        """Return whether a foreign rule does the work of a network's rules."""
        if _is_ours_or_dockers(rule):
            return False
        source, destination = _plain(rule.source), _plain(rule.destination)
        links = {_plain(rule.in_link), _plain(rule.out_link)} - {""}
        if table == "nat" and rule.target_name in _TRANSLATES:
            return (
                self.have(source)
                or self.have(_first_address(rule.to_destination))
                or self.own(destination)
                or self.own(_first_address(rule.to_source))
                or not self._bridges.isdisjoint(links)
            )
        if table == "filter" and rule.target_name == "ACCEPT":
            return (
                self.have(source)
                or self.have(destination)
                or self.own(destination)
                or not self._bridges.isdisjoint(links)
            )
        return False


def _lines_found(networks: _Networks, text: str) -> Iterator[_Line]:
    for lines in _tables(text):
        reached = _reached_from("FORWARD", lines)
        for line in lines:
            forwards = line.table != "filter" or line.rule.chain in reached
            if forwards and networks.served_by(line.rule, line.table):
                yield line


def _tables(text: str) -> Iterator[list[_Line]]:
    """Yield the rules of each table; a table that comes twice is loaded twice."""
    table, lines = "filter", list[_Line]()
    # splitlines would split at characters that are no end of line for iptables.
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("-A WANBOUND-"):
            # Ours: most lines of a host with many networks.
            continue
        if line.startswith("*"):
            yield lines
            table, lines = line[1:].replace("\t", " ").partition(" ")[0], []
        elif (start := _RULE.match(line)) and line.replace("\t", " ").isprintable():
            words = tuple(_words(line[start.end() :]))
            lines.append(_Line(number, line, table, words, _rule(words)))
    yield lines


def _words(line: str) -> Iterator[str]:
    """Yield the words of a rule as iptables-restore reads them; `line` is printable."""
    if '"' not in line:
        yield from line.split()
        return
    word: list[str] | None = None
    quoted = False
    characters = iter(line)
    for character in characters:
        if character == '"':
            quoted = not quoted
            word = word or []
        elif not quoted and character in " \t":
            if word is not None:
                yield "".join(word)
            word = None
        else:
            # Within quotes, a backslash makes the next character literal.
            escaped = quoted and character == "\\"
            word = word or []
            word.append(next(characters, "") if escaped else character)
    if word is not None:
        yield "".join(word)


def _rule(words: Sequence[str]) -> _Rule:
    """Return the rule of `-A CHAIN …`; any text can be read."""
    operands: dict[str, _Operand] = {}
    matches: list[str] = []
    negated = False
    rest = iter(words[2:])
    for word in rest:
        if word == "!":
            negated = True
            continue
        if field := _FIELDS.get(word):
            operands[field] = _Operand(next(rest, ""), negated)
        else:
            matches += ["!", word] if negated else [word]
            matches += [next(rest, "")] if word in _FREE_TEXT else []
        negated = False
    return _Rule("".join(words[1:2]), tuple(matches), **operands)


def _reached_from(chain: str, lines: Collection[_Line]) -> set[str]:
    """Return the chain and all that it jumps to, directly or by way of others."""
    jumps: dict[str, set[str]] = {}
    for line in lines:
        jumps.setdefault(line.rule.chain, set()).add(line.rule.target_name)
    reached, todo = {chain}, [chain]
    while todo:
        new = jumps.get(todo.pop(), set()) - reached
        reached |= new
        todo += new
    return reached


def _is_ours_or_dockers(rule: _Rule) -> bool:
    name = rule.chain
    if name.startswith(("WANBOUND-", "DOCKER-")) or name == "DOCKER":
        return name != "DOCKER-USER"
    ends = {rule.source, rule.destination}
    if (name, rule.target_name) == ("FORWARD", "ACCEPT") and ends == {None}:
        if rule.matches == ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"):
            return rule.in_link is None
        link = rule.in_link
        return (
            not rule.matches
            and link is not None
            and rule.out_link in (link, _Operand(link.text, negated=True))
        )
    if (name, rule.target_name) == ("POSTROUTING", "MASQUERADE"):
        # For a container that calls its own published port; and `userland-proxy: false`.
        if rule.source is not None and rule.source == rule.destination:
            return "--dport" in rule.matches[:-1]
        return rule.source is None and rule.matches == ("-m", "addrtype", "--src-type", "LOCAL")
    return False


def _plain(operand: _Operand | None) -> str:
    """Return what a rule is restricted to; "" if it is restricted to everything else."""
    return operand.text if operand and not operand.negated else ""


def _first_address(operand: _Operand | None) -> str:
    """Return the first address of --to-source and --to-destination, without the port."""
    text = operand.text if operand else ""
    if text.startswith("["):
        address, closed, _ = text[1:].partition("]")
        return address if closed else ""
    if "." in text:
        text = text.partition(":")[0]
    return text.partition("-")[0]


def _range(text: str) -> tuple[IPv4Address | IPv6Address, int] | None:
    """Return the address and the prefix length of ADDRESS, ADDRESS/LENGTH or ADDRESS/MASK."""
    if "%" in text:
        return None
    written, slash, mask = text.partition("/")
    try:
        address = ip_address(written)
        if not slash:
            return address, address.max_prefixlen
        if mask.isascii() and mask.isdigit() and len(mask) <= 3:
            return (address, int(mask)) if int(mask) <= address.max_prefixlen else None
        bits = ip_address(mask)
    except ValueError:
        return None
    if bits.version != address.version:
        return None
    return address, len(f"{int(bits):0{bits.max_prefixlen}b}".partition("0")[0])


def _prefix(address: IPv4Address | IPv6Address, length: int) -> int:
    return int(address) >> (address.max_prefixlen - length)


def _shell_word(word: str) -> str:
    """Return a word in a form that a shell reads as this word."""
    if _SAFE_WORD.fullmatch(word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"
