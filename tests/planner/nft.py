"""The verdicts of the guard's table on packets: the model behind the tests of the guard.

It takes the guard's rules and elements, or the whole file that `nft -f` loads, and adds the base
chains of providers/host/generation.py. It refuses every word that it does not know.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal, TypeAlias

from planner.rule import Element, Rule, Wanted
from providers.host.generation import BASE, MAPS, common

Address: TypeAlias = IPv4Address | IPv6Address
Verdict: TypeAlias = Literal["accept", "drop"]
Ruled: TypeAlias = Verdict | Literal["return"]
Base: TypeAlias = Literal["prerouting", "forward-first", "forward", "postrouting"]


@dataclass(frozen=True)
class Packet:
    """A forwarded packet; `original_*` are of the connection's first packet.

    Results of the kernel's routing: `to_host` is set for the host itself or a group, `astray` if an
    answer would not leave by `iifname`, `gone` if no interface has the source address.
    """

    iifname: str
    oifname: str
    saddr: Address
    original_saddr: Address
    original_daddr: Address
    dnat: bool = False
    direction: Literal["original", "reply"] = "original"
    state: Literal["new", "established", "related"] = "new"
    to_host: bool = False
    astray: bool = False
    gone: bool = False
    target: Address | None = None
    """The destination after translation; None if it is unchanged."""
    protocol: str = "icmp"
    port: int = 0
    seen: Address | None = None
    """The destination of its replies, its translated source; None for `saddr`."""


class Guard:
    """The table: KEY : VERDICT of each map, the rules of each chain in the order of loading."""

    def __init__(
        self, maps: Mapping[str, Iterable[str]], chains: Mapping[str, Iterable[str]]
    ) -> None:
        self.maps: dict[str, list[tuple[str, str]]] = {name: [] for name in MAPS}
        for name, elements in maps.items():
            for element in elements:
                match element.split():
                    case [key, ":", "jump", chain]:
                        self.maps[name].append((key, chain))
                    case _:
                        raise ValueError(f"no element: {element}")
        self._mark = 0
        self.chains = {chain: [rule.split() for rule in rules] for chain, rules in chains.items()}

    def verdict(self, chain: Base, packet: Packet) -> Verdict:
        """Return the verdict on `packet` in one base chain of the table."""
        return self._chain(chain, packet) or "accept"

    def marked(self, packet: Packet, mark: int = 0) -> int | None:
        """Return the mark of `packet` after forward, None if it is dropped.

        `mark` is its mark before.
        """
        self._mark = mark
        verdicts = [self.verdict(chain, packet) for chain in ("forward-first", "forward")]
        return None if "drop" in verdicts else self._mark

    def _chain(self, name: str, packet: Packet) -> Verdict | None:
        for rule in self.chains[name]:
            verdict = self._rule(rule, packet)
            if verdict is not None:
                return None if verdict == "return" else verdict
        return None

    def _rule(self, rule: list[str], packet: Packet) -> Ruled | None:
        match rule:
            case ["limit", "rate", _, "burst", _, "packets", "log", "prefix", *_]:
                return None
            case ["meta", "mark", "set", "meta", "mark", "|" | "&" as sign, bits, *rule]:
                value = int(bits, 16)
                self._mark = self._mark | value if sign == "|" else self._mark & value
                if not rule:
                    return None
        words = iter(rule)
        for word in words:
            match word:
                case "jump" | "goto":
                    [chain] = words
                    return self._chain(chain, packet)
                case "accept" | "drop" | "return":
                    if (rest := list(words)) != []:
                        raise ValueError(f"behind the verdict: {rest}")
                    return word
                case "counter":
                    continue
                case _:
                    found = _value(word, words, packet)
                    wanted = next(words)
                    if wanted == "vmap":
                        return self._jump(next(words).removeprefix("@"), found, packet)
                    negated = wanted == "!="
                    if found is None or _is(found, next(words) if negated else wanted) == negated:
                        return None
        raise ValueError(f"no verdict: {rule}")

    def _jump(self, name: str, value: str | Address | None, packet: Packet) -> Verdict | None:
        for key, chain in self.maps[name]:
            if value is not None and _is(value, key):
                return self._chain(chain, packet)
        return None


def guard_of(wanted: Iterable[Wanted]) -> Guard:
    """Return the table of the rules and elements among `wanted`, of any networks."""
    maps: dict[str, list[str]] = {}
    chains = {hook: list(rules) for hook, (_, *rules) in BASE.items()}
    # Rules with the same order are sorted as in a generation.
    for each in sorted(_of_guard(wanted), key=lambda each: (each.order, each.text)):
        if isinstance(each, Rule):
            chains.setdefault(each.chain, []).append(each.text)
        else:
            maps.setdefault(each.map, []).append(each.text)
    return Guard(maps, {**chains, **common(chains)})


def _of_guard(wanted: Iterable[Wanted]) -> Iterator[Rule | Element]:
    for each in wanted:
        if isinstance(each, Element) or (isinstance(each, Rule) and each.family == "inet"):
            yield each


def guard_in(file: str) -> Guard:
    """Return the table that a generation's guard.nft makes."""
    maps: dict[str, list[str]] = {}
    chains: dict[str, list[str]] = {}
    here: list[str] = []
    for line in file.splitlines():
        match line.split():
            case ["add" | "delete", "table", "inet", "wanbound"] | [
                "table",
                "inet",
                "wanbound",
                "{",
            ]:
                continue
            case ["map", name, "{"]:
                here = maps.setdefault(name, [])
            case ["chain", name, "{"]:
                here = chains.setdefault(name, [])
            case ["type", *_] | ["flags", "interval"] | ["elements", "=", "{"] | ["}"]:
                continue
            case _:
                here.append(line.strip().removesuffix(","))
    return Guard(maps, chains)


def _value(word: str, words: Iterator[str], packet: Packet) -> str | Address | None:
    """Return the value that a rule looks at, None if a packet of this family has no such value."""
    if word == "iifname":
        return packet.iifname
    if word == "oifname":
        return packet.oifname
    path = [word, next(words)]
    if path[0] == "ct" and path[1] in ("original", "reply"):
        path.append(next(words))
        if path[-1] != "proto-dst":
            path.append(next(words))
    if word == "fib":
        path.append(next(words))
        if path[-1] == ".":
            path += [next(words), next(words)]
    match path:
        case ["ct", "status"]:
            return "dnat" if packet.dnat else "none"
        case ["ct", "direction"]:
            return packet.direction
        case ["ct", "state"]:
            return packet.state
        case ["meta", "nfproto"]:
            return f"ipv{packet.saddr.version}"
        case ["meta", "l4proto"]:
            return packet.protocol
        case ["ct", "original", "proto-dst"]:
            return str(packet.port)
        case ["ct", "reply", "ip" | "ip6" as family, "daddr"]:
            return _of(family, packet.seen or packet.saddr)
        case ["fib", "saddr", "type"]:
            return "unicast" if packet.gone else "local"
        case ["fib", "daddr", "type"]:
            return "local" if packet.to_host else "unicast"
        case ["fib", "saddr", ".", "iif", "oif"]:
            return "missing" if packet.astray else packet.iifname
        case ["ip" | "ip6" as family, "saddr"]:
            return _of(family, packet.saddr)
        case ["ip" | "ip6" as family, "daddr"]:
            return _of(family, packet.target or packet.original_daddr)
        case ["ct", "original", "ip" | "ip6" as family, "saddr"]:
            return _of(family, packet.original_saddr)
        case ["ct", "original", "ip" | "ip6" as family, "daddr"]:
            return _of(family, packet.original_daddr)
    raise ValueError(f"{' '.join(path)} is not known")


def _of(family: str, address: Address) -> Address | None:
    return address if address.version == {"ip": 4, "ip6": 6}[family] else None


def _is(value: str | Address, wanted: str) -> bool:
    if isinstance(value, str):
        # Only ports are unquoted digits.
        if (ports := re.fullmatch(r"(\d+)(?:-(\d+))?", wanted)) is not None:
            return int(ports[1]) <= int(value) <= int(ports[2] or ports[1])
        return value in wanted.strip('"').split(",")
    if "/" in wanted:
        return value in ip_network(wanted)
    return value == ip_address(wanted)
