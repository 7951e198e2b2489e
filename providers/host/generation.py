"""A generation: all files that a host loads, composed from a plan. Pure.

Files are always complete and never differences: replacing our own chains is one transaction for
each table, and a hundred networks load in milliseconds. providers/onhost/load.sh adds what only the
host can know (which hook exists, the subnet of a bridge whose subnet Docker chose).
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from providers.host.plan import Network, Plan, to_json

UNITS = ("wanbound.service", "wanbound-docker.service", "wanbound-watch.service")
"""The units of systemd that travel with each generation: an undo brings the old ones back."""

METRICS = ("wanbound-metrics.networks", "wanbound-metrics.service", "wanbound-metrics.timer")
"""The files that exist only if the host writes its counters to a file: the names of networks by
bridge, and the units that write the file."""

FILES = (
    "ipv4.rules",
    "ipv6.rules",
    "guard.nft",
    "keep.nft",
    "addresses",
    "host",
    "bridges",
    "flows",
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
restarts. The jump in INPUT is the last rule: other rules there still decide first, and ours acts
like a policy.
"""

CHAINS = {
    "nat": {"dnat": "WANBOUND-DNAT", "snat": "WANBOUND-SNAT"},
    "filter": {"forward": "WANBOUND-FORWARD", "input": "WANBOUND-INPUT"},
}
"""Table of iptables → first word of a section → chain."""

_NAT = tuple(f"{section}_" for section in CHAINS["nat"])
"""The sections of NAT. The host's own lines there let connections of others return early, which may
be those of a network that is leaving (planner/rules.py)."""

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
    "ingress-ipv4": "ipv4_addr",
    "ingress-ipv6": "ipv6_addr",
}
"""The maps of the guard and the type of their keys."""

NAT_MAPS = {
    "dnat-ipv4": "ipv4_addr",
    "dnat-ipv6": "ipv6_addr",
    "snat-ipv4": "ipv4_addr",
    "snat-ipv6": "ipv6_addr",
    "snat-by-bridge": "ifname",
}
"""The maps for NAT, on a host with nftables."""

AS_NEEDED = ("by-bridge", "snat-by-bridge", "ingress-ipv4", "ingress-ipv6")
"""Maps that exist only if they have elements: if Docker chooses a subnet, so that the bridge is
matched instead; if a port has ranges of sources."""

BASE = {
    # After conntrack, before NAT.
    "prerouting": (
        "prerouting priority -180",
        "iifname vmap @source",
        # A container in several networks may reply through another one than the request's.
        "ct direction reply accept",
        "ip saddr vmap @inside-ipv4",
        "ip6 saddr vmap @inside-ipv6",
        "ip saddr vmap @arrives-ipv4",
        "ip6 saddr vmap @arrives-ipv6",
    ),
    # On all forwarded packets, after iptables' mangle: a bit that another program set is cleared.
    # Before the chain that sets it, so that while a copy of the table is there, too
    # (providers/onhost/load.sh), neither clears what the other has set.
    "forward-first": ("forward priority -6", "jump unmark"),
    # Before iptables' filter.
    "forward": ("forward priority -5", "iifname vmap @from", "oifname vmap @to"),
    "postrouting": (
        "postrouting priority 150",
        "ct original ip daddr vmap @ingress-ipv4",
        "ct original ip6 daddr vmap @ingress-ipv6",
        "iifname vmap @by-bridge",
        "ct original ip saddr vmap @subnet-ipv4",
        "ip saddr vmap @subnet-ipv4",
        "ct original ip6 saddr vmap @subnet-ipv6",
        "ip6 saddr vmap @subnet-ipv6",
        "ct direction original ip saddr vmap @public-ipv4",
        "ct direction original ip6 saddr vmap @public-ipv6",
    ),
}
"""The guard's base chains: hook and priority, then their rules, which belong to no network."""

NAT_BASE = {
    # Before those of Docker and iptables, at -100 and 100.
    "nat-prerouting": (
        "prerouting priority -105",
        "ip daddr vmap @dnat-ipv4",
        "ip6 daddr vmap @dnat-ipv6",
    ),
    "nat-output": (
        "output priority -105",
        "ip daddr vmap @dnat-ipv4",
        "ip6 daddr vmap @dnat-ipv6",
    ),
    "nat-postrouting": (
        "postrouting priority 95",
        "iifname vmap @snat-by-bridge",
        "ip saddr vmap @snat-ipv4",
        "ip6 saddr vmap @snat-ipv6",
    ),
}
"""The base chains for NAT, on a host with nftables."""

HOST_BASE = {
    # After iptables' filter, whose drops are final.
    "host-input": ("input priority 5", "jump input"),
    "host-forward": ("forward priority 5", "jump strangers"),
}
"""The base chains of a host that is closed in nftables; each exists if its target does."""

KEEP_BASE = (
    # After the guard, which counts what it drops. The host's own packets have no input interface.
    "iifname != @bridges accept",
    "oifname @bridges accept",
    "ip saddr @subnets-ipv4 counter drop",
    "ip6 saddr @subnets-ipv6 counter drop",
)
"""The rules of the table that survives `nft flush ruleset` (providers/onhost/keep.sh)."""

COMMON = {"forged": ("fib saddr . iif oif missing counter drop",)}
"""Chains of the guard that the maps of all networks lead to. `forged`: a reply would not leave by
the packet's input interface; to an address of the host itself no reply would leave."""

Family = Literal["ipv4", "ipv6"]


@dataclass(frozen=True)
class Place:
    """The owner of a line: a network, or the host itself where `network` is None."""

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
    """The files by name, and the owner of each line.

    `chains` has the rules of iptables by family, table and chain, `guard` those of the guard by
    chain, both in the order in which they are loaded; `elements` those of its maps, `settings` the
    lines of addresses, links, routes and sysctls. `common` are the chains of the guard's table that
    belong to no network.
    """

    files: Mapping[str, str]
    chains: Mapping[tuple[Family, str, str], tuple[Placed, ...]]
    guard: Mapping[str, tuple[Placed, ...]]
    elements: Mapping[str, tuple[Placed, ...]]
    settings: Mapping[str, tuple[Placed, ...]]
    common: frozenset[str] = frozenset()

    def rules(self, family: Family) -> dict[str, dict[str, list[str]]]:
        """Return the rules of iptables by table and chain."""
        found: dict[str, dict[str, list[str]]] = {}
        for (version, table, chain), rules in self.chains.items():
            if version == family:
                found.setdefault(table, {})[chain] = [each.text for each in rules]
        return found


def compose(plan: Plan, absent: Iterable[str] = ()) -> Generation:
    """Return the generation of `plan`.

    `absent` are bridges that may not exist when it is loaded.
    """
    sections = _sections(plan)
    chains = _iptables(sections)
    guard = {
        section.removeprefix("chain "): lines
        for section, lines in sections.items()
        if section.startswith("chain ")
    }
    elements = {
        name: lines for name in {**MAPS, **NAT_MAPS} if (lines := sections.get(f"map {name}"))
    }
    bases = _bases(guard, elements)
    settings = {
        name: sections.get(name, ()) for name in ("addresses", "links", "routes", "sysctls")
    }
    leaving = sorted(bridge for each in plan.leaving for bridge in each.bridges.values())
    files = {
        "ipv4.rules": _restore("ipv4", chains),
        "ipv6.rules": _restore("ipv6", chains),
        "guard.nft": _nft(guard, elements, bases),
        "keep.nft": _keep(plan),
        "addresses": _text(_batch(plan, settings["addresses"])),
        "host": _text(
            [
                *(f"link {each.text}" for each in settings["links"]),
                *(f"sysctl {each.text.replace(' = ', ' ', 1)}" for each in settings["sysctls"]),
                *(f"route {each.place.role} {each.text}" for each in settings["routes"]),
            ]
        ),
        "bridges": _text(sorted(plan.bridges)),
        "flows": _text(sorted(_flows(plan))),
        "leaving": _text(leaving),
        "absent": _text(sorted(absent)),
        "owner": _text([plan.stack] if plan.stack else []),
        "plan.json": to_json(plan),
        **{unit: _unit(unit) for unit in UNITS},
        **_metrics(plan),
    }
    of_all = frozenset((*bases, *COMMON))
    return Generation(files, chains, guard, elements, settings, of_all)


def _sections(plan: Plan) -> dict[str, tuple[Placed, ...]]:
    """Return all lines of a host by section, each section in the order in which it is loaded.

    Within one place of the order, two lines that can match the same packet do the same with it;
    they are in the order of their texts, so that the same lines always give the same file,
    with any names of roles.
    """
    found: dict[str, list[tuple[int, str, Place]]] = {}
    leaves = any(section.startswith(_NAT) for each in plan.leaving for section in each.lines)

    def add(network: str | None, each: Network | Plan) -> None:
        for section, roles in each.lines.items():
            if network is None and section.startswith(_NAT) and leaves:
                continue
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
    if {chain for version, _, chain in chains if version == family} == {"WANBOUND-FORWARD"}:
        # With nftables, this one accept is needed only if iptables filters, too.
        lines.append("# beside others")
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

    Scope host and preferred_lft 0 (RFC 6724, rule 3) keep the source address of the host itself.
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
        words += ["preferred_lft", "0"] if six else ["scope", "host"]
        words += ["nodad"] if each.text.endswith(" nodad") else []
        yield " ".join(words)


def _labelled(plan: Plan) -> list[tuple[str, Network]]:
    """Return all networks, each with the name that a place has for it.

    The name of one that is leaving may be that of a network which has taken its place.
    """
    leaving = [(f"{each.name} (leaving)", each) for each in plan.leaving]
    return [*plan.networks.items(), *leaving]


def _metrics(plan: Plan) -> dict[str, str]:
    if plan.metrics is None:
        return {}
    networks, service, timer = METRICS
    return {
        networks: _text(f"{bridge} {name}" for bridge, name in sorted(plan.bridges.items())),
        service: _unit(service).replace("@FILE@", plan.metrics),
        timer: _unit(timer),
    }


@cache
def _unit(name: str) -> str:
    return resources.files("providers").joinpath("onhost", name).read_text()


def _bases(
    guard: Mapping[str, tuple[Placed, ...]], elements: Mapping[str, tuple[Placed, ...]]
) -> dict[str, tuple[str, ...]]:
    """Return the base chains of the table: hook and priority, then the rules, of each."""
    found: dict[str, tuple[str, ...]] = {**BASE}
    if elements.keys() & NAT_MAPS.keys():
        found |= NAT_BASE
    found |= {
        chain: (hook, jump)
        for chain, (hook, jump) in HOST_BASE.items()
        if jump.removeprefix("jump ") in guard
    }
    left_out = tuple(f"@{name}" for name in AS_NEEDED if name not in elements)
    return {
        chain: tuple(rule for rule in rules if not rule.endswith(left_out))
        for chain, rules in found.items()
    }


def _nft(
    guard: Mapping[str, tuple[Placed, ...]],
    elements: Mapping[str, tuple[Placed, ...]],
    bases: Mapping[str, tuple[str, ...]],
) -> str:
    """Return the input of nft -f: the whole table, in one transaction; nothing without rules.

    The table is added, deleted and added again, which replaces it whether or not it exists. The
    host counts the lines that begin with two tabs, and compares the number with nft's output.
    """
    if not guard:
        return ""
    lines = ["add table inet wanbound", "delete table inet wanbound", "table inet wanbound {"]
    maps = MAPS | (NAT_MAPS if "nat-prerouting" in bases else {})
    for name, kind in maps.items():
        if name in AS_NEEDED and name not in elements:
            continue
        lines += [f"map {name} {{", f"\ttype {kind} : verdict"]
        if name.startswith(("subnet-", "inside-", "snat-ip")):
            lines.append("\tflags interval")
        if name in elements:
            # nft 1.0.6 refuses elements added to an interval map that the same file makes.
            lines.append("\telements = {")
            lines += [f"\t\t\t{each.text}," for each in elements[name]]
            lines.append("\t}")
        lines.append("}")
    own = {chain: tuple(rule.text for rule in rules) for chain, rules in guard.items()}
    for chain, texts in (own | common(own)).items():
        lines += [f"chain {chain} {{", *(f"\t\t{text}" for text in texts), "}"]
    for chain, (hook, *base) in bases.items():
        kind = "nat" if chain in NAT_BASE else "filter"
        lines += [
            f"chain {chain} {{",
            f"\t\ttype {kind} hook {hook}; policy accept;",
            *(f"\t\t{rule}" for rule in base),
            "}",
        ]
    return _text([*lines, "}"])


def _keep(plan: Plan) -> str:
    """Return the commands that replace the second table; nothing where there are no bridges.

    Its owner reads them as one line, so each ends with a semicolon. A private source is wrong both
    before and after a change, so the table may be replaced later than the guard. @LINK is replaced
    by the subnet that Docker chose.
    """
    if not plan.bridges:
        return ""
    subnets: dict[Family, set[str]] = {"ipv4": set(), "ipv6": set()}
    for network in plan.all_networks:
        for subnet in network.subnets.values():
            subnets["ipv6" if ":" in subnet else "ipv4"].add(subnet)
        if "ipv4" not in network.subnets:
            subnets["ipv4"] |= {f"@{bridge}" for bridge in network.bridges.values()}
    table = "inet wanbound-keep"
    own = f"add table {table} {{ flags owner, persist; }};"
    lines = [own, f"delete table {table};", own]
    sets = {"bridges": ("ifname;", sorted(f'"{bridge}"' for bridge in plan.bridges))}
    for family, found in subnets.items():
        # auto-merge, because two bridges may have the same subnet for a while.
        kind = f"{family}_addr; flags interval; auto-merge;"
        sets[f"subnets-{family}"] = (kind, sorted(found))
    for name, (kind, elements) in sets.items():
        lines.append(f"add set {table} {name} {{ type {kind}")
        if elements:
            lines += ["elements = {", *(f"\t\t\t{each}," for each in elements), "};"]
        lines.append("};")
    hook = "{ type filter hook postrouting priority 160; policy accept; };"
    lines.append(f"add chain {table} postrouting {hook}")
    return _text([*lines, *(f"add rule {table} postrouting {rule};" for rule in KEEP_BASE)])


def common(own: Container[str]) -> dict[str, tuple[str, ...]]:
    """Return the chains of all networks, which log first where the host has a chain for that."""
    return {
        chain: tuple(
            text.replace("counter drop", f"counter goto drop-{chain}")
            if f"drop-{chain}" in own
            else text
            for text in texts
        )
        for chain, texts in COMMON.items()
    }


def _flows(plan: Plan) -> Iterable[str]:
    """Yield the NAT rules as data, and `only ADDRESS` for each address that we add: no other
    source may leave with it."""
    for each in plan.all_networks:
        yield from each.flows.values()
        yield from (f"only {each.addresses[role]}" for role in each.lines.get("addresses", {}))


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
