"""What the guard's table does with a packet: the model behind the tests of the guard.

It takes the guard's rules and elements, or the whole file that `nft -f` loads, and has the base
chains of providers/host/generation.py around them. It refuses every word that it does not know.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal, TypeAlias

from planner.rule import Element, Rule, Wanted
from providers.host.generation import BASE, COMMON, MAPS

Address: TypeAlias = IPv4Address | IPv6Address
Verdict: TypeAlias = Literal["accept", "drop"]
Hook: TypeAlias = Literal["prerouting", "forward", "postrouting"]


@dataclass(frozen=True)
class Packet:
    """A packet that is forwarded; `original_*` are of the connection's first packet.

    What the kernel's routes say of it: `to_host` that it is for the host itself or a group,
    `astray` that an answer would not leave by `iifname`, `gone` that no interface has its source.
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
        self.chains = {chain: [rule.split() for rule in rules] for chain, rules in chains.items()}

    def verdict(self, hook: Hook, packet: Packet) -> Verdict:
        """Return what becomes of `packet` at one hook of the table."""
        return self._chain(hook, packet) or "accept"

    def _chain(self, name: str, packet: Packet) -> Verdict | None:
        for rule in self.chains[name]:
            verdict = self._rule(rule, packet)
            if verdict is not None:
                return verdict
        return None

    def _rule(self, rule: list[str], packet: Packet) -> Verdict | None:
        words = iter(rule)
        for word in words:
            match word:
                case "accept" | "drop":
                    if (rest := list(words)) != []:
                        raise ValueError(f"behind the verdict: {rest}")
                    return "accept" if word == "accept" else "drop"
                case "counter":
                    continue
                case _:
                    value = _value(word, words, packet)
                    wanted = next(words)
                    if wanted == "vmap":
                        return self._jump(next(words).removeprefix("@"), value, packet)
                    negated = wanted == "!="
                    if value is None or _is(value, next(words) if negated else wanted) == negated:
                        return None
        raise ValueError(f"no verdict: {rule}")

    def _jump(self, name: str, value: str | Address | None, packet: Packet) -> Verdict | None:
        for key, chain in self.maps[name]:
            if value is not None and _is(value, key):
                return self._chain(chain, packet)
        return None


def guard_of(wanted: Iterable[Wanted]) -> Guard:
    """Return the table of the rules and elements among `wanted`, those of any networks."""
    maps: dict[str, list[str]] = {}
    chains: dict[str, list[str]] = {hook: list(rules) for hook, (_, *rules) in BASE.items()}
    chains |= {name: list(rules) for name, rules in COMMON.items()}
    # Where the order says nothing, it is the one in which a generation has the rules.
    for each in sorted(_of_guard(wanted), key=lambda each: (each.order, each.text)):
        if isinstance(each, Rule):
            chains.setdefault(each.chain, []).append(each.text)
        else:
            maps.setdefault(each.map, []).append(each.text)
    return Guard(maps, chains)


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
    """Return what a rule looks at, None where a packet of this family has no such thing."""
    if word == "iifname":
        return packet.iifname
    if word == "oifname":
        return packet.oifname
    path = [word, next(words)]
    if path == ["ct", "original"]:
        path += [next(words), next(words)]
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
        case ["fib", "saddr", "type"]:
            return "unicast" if packet.gone else "local"
        case ["fib", "daddr", "type"]:
            return "local" if packet.to_host else "unicast"
        case ["fib", "saddr", ".", "iif", "oif"]:
            return "missing" if packet.astray else packet.iifname
        case ["ip" | "ip6" as family, "saddr"]:
            return _of(family, packet.saddr)
        case ["ip" | "ip6" as family, "daddr"]:
            return _of(family, packet.original_daddr)
        case ["ct", "original", "ip" | "ip6" as family, "saddr"]:
            return _of(family, packet.original_saddr)
        case ["ct", "original", "ip" | "ip6" as family, "daddr"]:
            return _of(family, packet.original_daddr)
    raise ValueError(f"{' '.join(path)} is not known")


def _of(family: str, address: Address) -> Address | None:
    return address if address.version == {"ip": 4, "ip6": 6}[family] else None


def _is(value: str | Address, wanted: str) -> bool:
    if isinstance(value, str):
        return value in wanted.strip('"').split(",")
    if "/" in wanted:
        return value in ip_network(wanted)
    return value == ip_address(wanted)
