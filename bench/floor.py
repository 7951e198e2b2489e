"""The floor: the same final rules, piped into iptables-restore by plain ssh, one call per family.

The rules are in chains of the benchmark's own, so that the floor and the provider can be measured
in turns on one host without touching a stack that runs there. Apart from the chains' names the text
is the provider's, line by line and in its order. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from providers.host.generation import CHAINS, Family, compose
from providers.host.plan import Plan

Chains = Literal["floor", "ours"]
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")

_OURS, _FLOOR = "WANBOUND-", "WBENCH-"

TABLES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "nat": {"DNAT": ("PREROUTING", "OUTPUT"), "SNAT": ("POSTROUTING",)},
    "filter": {"FORWARD": ("FORWARD",)},
}
"""By table: our chains and the built-in chains that jump to them; only chains of networks."""


def tool(family: Family, what: str = "") -> str:
    """Return the program of the family: `iptables-restore`, `ip6tables-save` …"""
    name = "iptables" if family == "ipv4" else "ip6tables"
    return f"{name}-{what}" if what else name


def lines(plan: Plan, family: Family, table: str) -> list[str]:
    """Return the rules of all networks in one table, in chains of the floor."""
    own = compose(plan).rules(family).get(table, {})
    found = [line for chain in CHAINS[table].values() for line in own.get(chain, ())]
    return [line.replace(_OURS, _FLOOR, 1) for line in found]


def chains(table: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the floor's chains in a table, each with the built-in chains that jump to it."""
    for name, hooks in TABLES[table].items():
        yield f"{_FLOOR}{name}", hooks


def as_ours(line: str) -> str:
    """Return a line of the floor as the provider would write it."""
    return line.replace(_FLOOR, _OURS, 1)


def load(plan: Plan, family: Family, *, hooked: bool = False) -> str:
    """Return the input of iptables-restore --noflush that loads the rules of all networks.

    With `hooked` the jumps exist already, as in a second load.
    """
    text = []
    for table in TABLES:
        text.append(f"*{table}")
        text += [f":{chain} - [0:0]" for chain, _ in chains(table)]
        if not hooked:
            # Last, not first: the provider's own jumps must stay the first rules.
            text += [f"-A {hook} -j {chain}" for chain, hooks in chains(table) for hook in hooks]
        text += [*lines(plan, family, table), "COMMIT"]
    return "".join(f"{line}\n" for line in text)


def unload() -> str:
    """Return the input of iptables-restore --noflush that removes what `load` made."""
    text = []
    for table in TABLES:
        text.append(f"*{table}")
        text += [f"-D {hook} -j {chain}" for chain, hooks in chains(table) for hook in hooks]
        text += [f"{step} {chain}" for chain, _ in chains(table) for step in ("-F", "-X")]
        text.append("COMMIT")
    return "".join(f"{line}\n" for line in text)


def sweep() -> str:
    """Return the shell program that removes any of the floor's chains that exist."""
    program = []
    for family in FAMILIES:
        for table in TABLES:
            call = f"{tool(family)} -w 10 -t {table}"
            for chain, hooks in chains(table):
                program += [
                    f"while {call} -D {hook} -j {chain} 2>/dev/null; do :; done" for hook in hooks
                ]
                program += [f"{call} {step} {chain} 2>/dev/null" for step in ("-F", "-X")]
    return "".join(f"{line}\n" for line in [*program, ":"])


def standing(text: str, where: Chains) -> list[str]:
    """Return the lines of iptables-save in those chains, as the provider writes them.

    Chains are sorted by name; each keeps its order.
    """
    prefix = _FLOOR if where == "floor" else _OURS
    found = [as_ours(line) for line in text.splitlines() if line.startswith(f"-A {prefix}")]
    return by_chain(found)


def by_chain(rules: Iterable[str]) -> list[str]:
    """Return the lines sorted by their chain, otherwise in their order."""
    return sorted(rules, key=lambda line: line.split()[1])


def damage(plan: Plan, family: Family) -> str:
    """Return the input of iptables-restore that removes one rule of each network: its SNAT."""
    gone = [f"-D{each.lines[f'snat_{family}']['egress'][2:]}" for each in plan.networks.values()]
    return "".join(f"{line}\n" for line in ["*nat", *gone, "COMMIT"])


def unhook(saved: str) -> str:
    """Return the input of iptables-restore that removes our chains from every packet's path.

    `saved` is what iptables-save prints.
    """
    text = []
    for line in saved.splitlines():
        if line.startswith("*") or line == "COMMIT":
            text.append(line)
        elif " -j WANBOUND-" in line:
            text.append(f"-D{line[2:]}")
    return "".join(f"{line}\n" for line in text)
