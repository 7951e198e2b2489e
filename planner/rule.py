"""The wanted state of a host, as data: rules, elements of maps, and other lines. Pure.

Each has a text: the line that the host prints after loading it. No code parses that text again.
Everything else that a later step needs (chain, order, owner) is data beside the text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

FIRST, LAST = -1, 1
"""Places before and after the lines of a chain whose order does not matter (place 0)."""

_IPTABLES = {
    "WANBOUND-DNAT": "dnat",
    "WANBOUND-SNAT": "snat",
    "WANBOUND-FORWARD": "forward",
    "WANBOUND-INPUT": "input",
}


@dataclass(frozen=True)
class Rule:
    """One rule of iptables (`family` "ipv4"), ip6tables ("ipv6") or nftables ("inet").

    `role` says what it is for and is unique in its chain. Rules of a chain are loaded by their
    `order`; within one order, two rules that can match the same packet do the same with it.
    """

    family: Literal["ipv4", "ipv6", "inet"]
    chain: str
    role: str
    text: str
    order: int = 0

    @property
    def section(self) -> str:
        """The chain's name in a preview: `snat_ipv4`, or `chain egress-mail` of the guard."""
        if self.family == "inet":
            return f"chain {self.chain}"
        return f"{_IPTABLES[self.chain]}_{self.family}"


@dataclass(frozen=True)
class Element:
    """An element of a map of the guard; `text` is `KEY : VERDICT`, `role` unique in its map."""

    map: str
    role: str
    text: str
    order: int = 0

    @property
    def section(self) -> str:
        """The map's name in a preview: `map subnet-ipv4`."""
        return f"map {self.map}"


@dataclass(frozen=True)
class Setting:
    """A line of another kind: `section` is addresses, links, routes or sysctls."""

    section: str
    role: str
    text: str
    order: int = 0


Wanted: TypeAlias = Rule | Element | Setting


@dataclass(frozen=True)
class Owns:
    """What belongs to one network alone, by role: bridges, subnets, public addresses.

    `flows` has its NAT rules as data, by which the host finds the connections that the rules would
    translate differently: `from SUBNET ADDRESS [hairpin]`, with @BRIDGE where Docker chooses the
    subnet, and `to ADDRESS PROTOCOL FIRST-LAST CONTAINER`.
    """

    bridges: Mapping[str, str] = field(default_factory=dict)
    subnets: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    flows: Mapping[str, str] = field(default_factory=dict)


def sections(wanted: Iterable[Wanted]) -> dict[str, dict[str, str]]:
    """Return the lines by section and role. Raises ValueError where two have one role."""
    found: dict[str, dict[str, str]] = {}
    for each in wanted:
        lines = found.setdefault(each.section, {})
        if each.role in lines:
            raise ValueError(f"two lines of {each.section} have the role {each.role}")
        lines[each.role] = each.text
    return found


def order(wanted: Iterable[Wanted]) -> dict[str, dict[str, int]]:
    """Return the places of the lines that have one, by section and role."""
    found: dict[str, dict[str, int]] = {}
    for each in wanted:
        if each.order:
            found.setdefault(each.section, {})[each.role] = each.order
    return found
