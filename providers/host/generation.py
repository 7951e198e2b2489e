"""A generation: everything that a host is to load, whole, composed from a plan. Pure.

Nothing is composed as a difference: replacing our own chains is one transaction for each table, and
a hundred networks load in milliseconds. What only the host can know (which hook exists, the subnet
of a bridge whose subnet Docker chose) is left to providers/onhost/load.sh.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from providers.host.plan import Network, Plan, owners, to_json

UNITS = ("wanbound.service", "wanbound-docker.service", "wanbound-watch.service")
"""The units of systemd that travel with each generation: an undo brings the old ones back."""

FILES = (
    "ipv4.rules",
    "ipv6.rules",
    "guard.nft",
    "addresses",
    "host",
    "bridges",
    "moved",
    "leaving",
    "absent",
    "owner",
    "plan.json",
    *UNITS,
)
"""The files of a generation; providers/onhost/README.md says what is in each."""

_JUMPS = {
    "WANBOUND-DNAT": ("-I PREROUTING 1", "-I OUTPUT 1"),
    "WANBOUND-SNAT": ("-I POSTROUTING 1",),
    "WANBOUND-FORWARD": ("-I @hook 1",),
    "WANBOUND-INPUT": ("-A INPUT",),
}
"""Where the jumps to a chain go.

The host puts FORWARD or DOCKER-USER for @hook: DOCKER-USER stays first in FORWARD when Docker
restarts. The jump in INPUT is the last rule: other rules there go on to decide, and ours is what a
policy is.
"""

CHAINS = {
    "nat": {"dnat": "WANBOUND-DNAT", "snat": "WANBOUND-SNAT"},
    "filter": {"forward": "WANBOUND-FORWARD", "input": "WANBOUND-INPUT"},
}
"""Table of iptables → first word of a section → chain."""

MAPS = {
    "source": "ifname",
    "inside-ipv4": "ipv4_addr",
    "inside-ipv6": "ipv6_addr",
    "arrives-ipv4": "ipv4_addr",
    "arrives-ipv6": "ipv6_addr",
    "from": "ifname",
    "to": "ifname",
    "subnet-ipv4": "ipv4_addr",
    "subnet-ipv6": "ipv6_addr",
    "public-ipv4": "ipv4_addr",
    "public-ipv6": "ipv6_addr",
    "by-bridge": "ifname",
}
"""The maps of the guard and the type of their keys."""

BASE = {
    # Behind conntrack, before NAT.
    "prerouting": (
        "-180",
        "iifname vmap @source",
        # A container of several networks may answer by another than that by which it was asked.
        "ct direction reply accept",
        "ip saddr vmap @inside-ipv4",
        "ip6 saddr vmap @inside-ipv6",
        "ip saddr vmap @arrives-ipv4",
        "ip6 saddr vmap @arrives-ipv6",
    ),
    "forward": (
        "-5",
        "iifname vmap @from",
        "ct state established,related accept",
        "oifname vmap @to",
    ),
    "postrouting": (
        "150",
        "iifname vmap @by-bridge",
        "ct original ip saddr vmap @subnet-ipv4",
        "ip saddr vmap @subnet-ipv4",
        "ct original ip6 saddr vmap @subnet-ipv6",
        "ip6 saddr vmap @subnet-ipv6",
        "ct direction original ip saddr vmap @public-ipv4",
        "ct direction original ip6 saddr vmap @public-ipv6",
    ),
}
"""The guard's base chains by hook: their priority, then their rules, which belong to no network."""

COMMON = {"forged": ("fib saddr . iif oif missing counter drop",)}
"""Chains of the guard that the maps of all networks lead to. `forged`: an answer would not leave by
the interface it came in by; to an address of the host itself none would leave at all."""

Family = Literal["ipv4", "ipv6"]


@dataclass(frozen=True)
class Place:
    """Whose line it is: a network's, or the host's own where `network` is None."""

    network: str | None
    section: str
    role: str


@dataclass(frozen=True)
class Placed:
    """A line at its place."""

    place: Place
    text: str


@dataclass(frozen=True)
class Generation:
    """The files by name, and whose each line is.

    `chains` has the rules of iptables by family, table and chain, `guard` those of the guard by
    chain, both in the order in which they are loaded; `elements` those of its maps, `settings` the
    lines of addresses, links, routes and sysctls.
    """

    files: Mapping[str, str]
    chains: Mapping[tuple[Family, str, str], tuple[Placed, ...]]
    guard: Mapping[str, tuple[Placed, ...]]
    elements: Mapping[str, tuple[Placed, ...]]
    settings: Mapping[str, tuple[Placed, ...]]

    def rules(self, family: Family) -> dict[str, dict[str, list[str]]]:
        """Return the rules of iptables by table and chain."""
        found: dict[str, dict[str, list[str]]] = {}
        for (version, table, chain), rules in self.chains.items():
            if version == family:
                found.setdefault(table, {})[chain] = [each.text for each in rules]
        return found


def compose(plan: Plan, before: Plan, absent: Iterable[str] = ()) -> Generation:
    """Return the generation of `plan`, for a host that has the plan `before`.

    `absent` are bridges that may not exist when it is loaded.
    """
    sections = _sections(plan)
    chains = _iptables(sections)
    guard = {
        section.removeprefix("chain "): lines
        for section, lines in sections.items()
        if section.startswith("chain ")
    }
    elements = {name: lines for name in MAPS if (lines := sections.get(f"map {name}"))}
    settings = {
        name: sections.get(name, ()) for name in ("addresses", "links", "routes", "sysctls")
    }
    leaving = sorted(bridge for each in plan.leaving for bridge in each.bridges.values())
    files = {
        "ipv4.rules": _restore("ipv4", chains),
        "ipv6.rules": _restore("ipv6", chains),
        "guard.nft": _nft(guard, elements),
        "addresses": _text(_batch(plan, settings["addresses"])),
        "host": _text(
            [
                *(f"link {each.text}" for each in settings["links"]),
                *(f"sysctl {each.text.replace(' = ', ' ', 1)}" for each in settings["sysctls"]),
                *(f"route {each.place.role} {each.text}" for each in settings["routes"]),
            ]
        ),
        "bridges": _text(sorted(plan.bridges)),
        "moved": _text(_moved(plan, before)),
        "leaving": _text(leaving),
        "absent": _text(sorted(absent)),
        "owner": _text([plan.stack] if plan.stack else []),
        "plan.json": to_json(plan),
        **{unit: _unit(unit) for unit in UNITS},
    }
    return Generation(files, chains, guard, elements, settings)


def _sections(plan: Plan) -> dict[str, tuple[Placed, ...]]:
    """Return all lines of a host by section, each section in the order in which it is loaded.

    Within one place of the order, two lines that can match the same packet do the same with it;
    they are in the order of their texts, so that the same lines always give the same file,
    whatever their roles are called.
    """
    found: dict[str, list[tuple[int, str, Place]]] = {}

    def add(network: str | None, each: Network | Plan) -> None:
        for section, roles in each.lines.items():
            places = each.order.get(section, {})
            for role, text in roles.items():
                place = Place(network, section, role)
                found.setdefault(section, []).append((places.get(role, 0), text, place))

    add(None, plan)
    for label, network in _labelled(plan):
        add(label, network)
    return {
        section: tuple(
            Placed(place, text)
            for _, text, place in sorted(lines, key=lambda line: (line[0], line[1]))
        )
        for section, lines in sorted(found.items())
    }


def _iptables(
    sections: Mapping[str, tuple[Placed, ...]],
) -> dict[tuple[Family, str, str], tuple[Placed, ...]]:
    found: dict[tuple[Family, str, str], tuple[Placed, ...]] = {}
    families: tuple[Family, Family] = ("ipv4", "ipv6")
    for family in families:
        for table, names in CHAINS.items():
            chains = {chain: sections.get(f"{name}_{family}", ()) for name, chain in names.items()}
            for chain, rules in chains.items():
                # Both of nat are there as soon as one of them has a rule.
                if rules or (table == "nat" and any(chains.values())):
                    found[family, table, chain] = rules
    return found


def _restore(family: Family, chains: Mapping[tuple[Family, str, str], tuple[Placed, ...]]) -> str:
    """Return the input of iptables-restore --noflush; the host puts in the jumps."""
    lines = []
    for table, names in CHAINS.items():
        own = [chain for chain in names.values() if (family, table, chain) in chains]
        lines += [f"*{table}", *(f":{chain} - [0:0]" for chain in own)]
        lines += [rule.text for chain in own for rule in chains[family, table, chain]]
        # The old jumps go in the same transaction.
        lines.append(f"# jumps {table}")
        lines += [f"{place} -j {chain}" for chain in own for place in _JUMPS[chain]]
        lines.append("COMMIT")
    return _text(lines)


def _batch(plan: Plan, lines: Iterable[Placed]) -> Iterable[str]:
    """Yield the lines of `ip -batch` that add the addresses.

    preferred_lft 0 keeps the source address of the host itself (RFC 6724, rule 3).
    """
    owned = {
        (label, role): address
        for label, network in _labelled(plan)
        for role, address in network.addresses.items()
    }
    for each in lines:
        address = owned[str(each.place.network), each.place.role]
        six = ":" in address
        words = ["addr replace", f"{address}/{128 if six else 32}", "dev", plan.wan]
        if six:
            words += ["preferred_lft", "0", *(["nodad"] if each.text.endswith(" nodad") else [])]
        yield " ".join(words)


def _labelled(plan: Plan) -> list[tuple[str, Network]]:
    """Return all networks, each with the name that a place has for it.

    The name of one that is leaving may be that of a network which has taken its place.
    """
    leaving = [(f"{each.name} (leaving)", each) for each in plan.leaving]
    return [*plan.networks.items(), *leaving]


@cache
def _unit(name: str) -> str:
    return resources.files("providers").joinpath("onhost", name).read_text()


def _nft(
    guard: Mapping[str, tuple[Placed, ...]], elements: Mapping[str, tuple[Placed, ...]]
) -> str:
    """Return the input of nft -f: the whole table, in one transaction; nothing without rules.

    Made, deleted and made again: that replaces it whether or not it is there. The host counts the
    lines that begin with two tabs, and holds their number against what nft prints.
    """
    if not guard:
        return ""
    lines = ["add table inet wanbound", "delete table inet wanbound", "table inet wanbound {"]
    for name, kind in MAPS.items():
        if name == "by-bridge" and name not in elements:
            # There only where Docker chooses a subnet, and the bridge has to stand for it.
            continue
        lines += [f"map {name} {{", f"\ttype {kind} : verdict"]
        if name.startswith(("subnet-", "inside-")):
            lines.append("\tflags interval")
        if name in elements:
            # nft 1.0.6 refuses elements added to an interval map that the same file makes.
            lines.append("\telements = {")
            lines += [f"\t\t\t{each.text}," for each in elements[name]]
            lines.append("\t}")
        lines.append("}")
    own = {chain: tuple(rule.text for rule in rules) for chain, rules in guard.items()}
    for chain, texts in (own | COMMON).items():
        lines += [f"chain {chain} {{", *(f"\t\t{text}" for text in texts), "}"]
    for chain, (priority, *base) in BASE.items():
        lines += [
            f"chain {chain} {{",
            f"\t\ttype filter hook {chain} priority {priority}; policy accept;",
            *(f"\t\t{rule}" for rule in base if "by-bridge" in elements or "@by-" not in rule),
            "}",
        ]
    return _text([*lines, "}"])


def _moved(plan: Plan, before: Plan) -> list[str]:
    """Return the addresses that belong to another network than before, or to none any more."""
    now = owners(plan.all_networks)
    return sorted(
        address
        for address, owner in owners(before.all_networks).items()
        if now.get(address) != owner
    )


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
