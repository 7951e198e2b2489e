"""What the guard's table does with a packet: the model behind the tests of the guard.

It reads the guard's own lines (``add element``, ``add rule``) and the base chains around them, as
providers/wanbound.sh frames them, and refuses every word that it does not know.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Verdict: TypeAlias = Literal["accept", "drop"]

BASE = (
    "add rule inet wanbound forward iifname vmap @from",
    "add rule inet wanbound forward ct state established,related accept",
    "add rule inet wanbound forward oifname vmap @to",
    "add rule inet wanbound postrouting iifname vmap @by-bridge",
    "add rule inet wanbound postrouting ct original ip saddr vmap @subnet-ipv4",
    "add rule inet wanbound postrouting ip saddr vmap @subnet-ipv4",
    "add rule inet wanbound postrouting ct original ip6 saddr vmap @subnet-ipv6",
    "add rule inet wanbound postrouting ip6 saddr vmap @subnet-ipv6",
    "add rule inet wanbound postrouting ct direction original ip saddr vmap @public-ipv4",
    "add rule inet wanbound postrouting ct direction original ip6 saddr vmap @public-ipv6",
)
"""The lines that belong to no network."""

_MAPS = frozenset(
    ("from", "to", "subnet-ipv4", "subnet-ipv6", "public-ipv4", "public-ipv6", "by-bridge")
)


@dataclass(frozen=True)
class Packet:
    """A packet that is forwarded; `original_*` are of the connection's first packet."""

    iifname: str
    oifname: str
    saddr: Address
    original_saddr: Address
    original_daddr: Address
    dnat: bool = False
    direction: Literal["original", "reply"] = "original"
    state: Literal["new", "established", "related"] = "new"


class Guard:
    """The table, made of the lines of any number of networks."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.maps: dict[str, list[tuple[str, str]]] = {name: [] for name in _MAPS}
        self.chains: dict[str, list[list[str]]] = {}
        for line in (*BASE, *lines):
            match line.split():
                case ["add", "element", "inet", "wanbound", name, "{", key, ":", "jump", to, "}"]:
                    self.maps[name].append((key, to))
                case ["add", "rule", "inet", "wanbound", chain, *rule]:
                    self.chains.setdefault(chain, []).append(rule)
                case _:
                    raise ValueError(f"neither an element nor a rule: {line}")

    def verdict(self, hook: Literal["forward", "postrouting"], packet: Packet) -> Verdict:
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


def _value(word: str, words: Iterator[str], packet: Packet) -> str | Address | None:
    """Return what a rule looks at, None where a packet of this family has no such thing."""
    if word == "iifname":
        return packet.iifname
    if word == "oifname":
        return packet.oifname
    path = [word, next(words)]
    if path == ["ct", "original"]:
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
        case ["ip" | "ip6" as family, "saddr"]:
            return _of(family, packet.saddr)
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
