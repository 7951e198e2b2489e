"""Compares the current state of a host with the loaded one, line by line. Pure.

Both texts come from the same kernel and the same iptables: the loaded state was printed right after
the load. They are aligned line by line, and a line's place in its chain gives its role. So nothing
depends on how a version of iptables spells a rule.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from providers.errors import readable
from providers.host.checks import label
from providers.host.facts import DockerNetwork, Facts, address_of
from providers.host.generation import CHAINS, Generation, Placed
from providers.host.plan import Plan, overlap, properties

_HOOKS = {
    "WANBOUND-DNAT": ("PREROUTING", "OUTPUT"),
    "WANBOUND-SNAT": ("POSTROUTING",),
    "WANBOUND-INPUT": ("INPUT",),
}
"""Where the host jumps to our chains from; the hook of WANBOUND-FORWARD depends on the host."""

NO_HOOK = "none"
"""The hook of a host with nftables whose iptables has nothing that makes an accept necessary."""

_LISTED = 20
"""Limit of the foreign lines that are shown for one chain; then their number follows."""

_LENGTH = 1000
"""Limit of the characters that are shown of a difference; our lines have a fifth of that."""

_DIFFERENCES = 500
"""Limit of the differences in words; flushed lines are also shown by their roles."""


@dataclass
class _Found:
    """What differs: by place what is in place of a line (None: nothing), and all else in words."""

    lines: dict[tuple[str | None, str, str], str | None] = field(default_factory=dict)
    drift: dict[str, str] = field(default_factory=dict)

    def instead(self, placed: Placed, text: str | None) -> None:
        place = placed.place
        shown = None if text is None else _plain(text)
        self.lines[place.network, place.section, place.role] = shown

    def surplus(self, where: str, lines: Sequence[str]) -> None:
        for number, line in enumerate(lines[:_LISTED], 1):
            self.drift[f"{where} {number}"] = f"should not be there: {line}"
        if len(lines) > _LISTED:
            self.drift[f"{where} more"] = f"and {len(lines) - _LISTED} lines more"


def found(host: str, plan: Plan, generation: Generation, facts: Facts) -> dict[str, object]:
    """Return the properties of `plan` as they are on the host, and what else differs as "drift".

    A line that is in force keeps its role. A role whose line is missing is left out, or has the
    line that was found in its place. "drift" describes in words all differences without a role; it
    is left out if there are none.
    """
    result = _Found()
    _iptables(generation, facts, result)
    _guard(generation, facts, result)
    _addresses(plan, generation, facts, result)
    _links(generation, facts, result)
    _routes(generation, facts, result)
    _sysctls(generation, facts, result)
    _files(generation, facts, result)
    _docker(host, plan, facts, result)
    return _applied(plan, result)


def _applied(plan: Plan, result: _Found) -> dict[str, object]:
    props = properties(plan)
    for (network, section, role), text in result.lines.items():
        # A network that is leaving is no property: what is wrong with it is said in words.
        if network is not None and network not in plan.networks:
            result.drift[f"{network} {section} {role}"] = text or "is gone"
            continue
        lines = (props["own"] if network is None else props["networks"][network])[section]
        if text is None:
            lines.pop(role, None)
        else:
            lines[role] = text
    if drift := sorted(result.drift.items()):
        props["drift"] = {_plain(key): _plain(text) for key, text in drift[:_DIFFERENCES]}
        if len(drift) > _DIFFERENCES:
            props["drift"]["more"] = f"and {len(drift) - _DIFFERENCES} differences more"
    return props


def _plain(text: str) -> str:
    """Return what a host printed as one line that a terminal shows, cut short."""
    return readable(text[:_LENGTH]).replace("\n", "\\n")


# --- chains ---


def _chain(
    where: str, wanted: Sequence[Placed], loaded: Sequence[str], live: Sequence[str], out: _Found
) -> None:
    """Align what was loaded into a chain with what is in it."""
    if len(loaded) != len(wanted):
        # Not loaded in this boot: then the line is what it was declared as.
        loaded = [each.text for each in wanted]
    if list(loaded) == list(live):
        return
    surplus: list[str] = []
    for first, last, start, end in _gaps(loaded, live):
        lines = list(live[start:end])
        for each in wanted[first:last]:
            out.instead(each, lines.pop(0) if lines else None)
        surplus += lines
    out.surplus(where, surplus)


def _gaps(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Align two texts; yield where they differ: old[a:b] became new[c:d].

    Lines that each text has once hold them together ("patience diff"), so the time is that of
    sorting, for any output of a host: difflib takes cubic time where many lines are alike.
    """
    counts, others = Counter(old), Counter(new)
    places = {line: place for place, line in enumerate(new) if others[line] == 1}
    pairs = [
        (i, places[line]) for i, line in enumerate(old) if counts[line] == 1 and line in places
    ]
    first = start = 0
    for i, j in (*_increasing(pairs), (len(old), len(new))):
        last, end = i, j
        while first < last and start < end and old[first] == new[start]:
            first, start = first + 1, start + 1
        while first < last and start < end and old[last - 1] == new[end - 1]:
            last, end = last - 1, end - 1
        if first < last or start < end:
            yield first, last, start, end
        first, start = i + 1, j + 1


def _increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of the pairs in which both numbers increase; the first does."""
    ends: list[int] = []
    at: list[int] = []
    before: list[int] = []
    for number, (_, j) in enumerate(pairs):
        place = bisect_left(ends, j)
        before.append(at[place - 1] if place else -1)
        ends[place : place + 1] = [j]
        at[place : place + 1] = [number]
    found = []
    number = at[-1] if at else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    return found[::-1]


def _iptables(generation: Generation, facts: Facts, out: _Found) -> None:
    for family in ("ipv4", "ipv6"):
        loaded, live = (_Rules(texts[family]) for texts in (facts.loaded, facts.live))
        wanted = {
            chain: rules
            for (version, _, chain), rules in generation.chains.items()
            if version == family and live.hook != NO_HOOK
        }
        for chain, rules in wanted.items():
            _chain(
                f"{family} {chain}",
                rules,
                loaded.chains.get(chain, ()),
                live.chains.get(chain, ()),
                out,
            )
        for chain in live.chains:
            if chain not in wanted:
                out.drift[f"{family} {chain}"] = f"the chain {chain} should not be there"
                out.surplus(f"{family} {chain}", live.chains[chain])
        _jumps(family, list(wanted), live, facts.others[family], out)


class _Rules:
    """A print of print_rules (providers/onhost/live.sh)."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.chains: dict[str, list[str]] = {}
        self.jumps: Counter[tuple[str, str]] = Counter()
        self.placed: set[tuple[str, str, str]] = set()
        self.hook = "FORWARD"
        for line in lines:
            words = line.split(" ")
            if line.startswith(":"):
                self.chains.setdefault(line[1:], [])
            elif line.startswith("-A ") and len(words) > 1:
                self.chains.setdefault(words[1], []).append(line)
            elif words[0] == "jump" and len(words) == 5:
                self.jumps[words[2], words[4]] += 1
            elif words[0] in ("first", "last") and len(words) == 5:
                self.placed.add((words[0], words[2], words[4]))
            elif words[0] == "hook" and len(words) > 1:
                self.hook = words[1]


def _jumps(
    family: str, chains: Sequence[str], live: _Rules, others: Sequence[str], out: _Found
) -> None:
    """Report the jumps to our chains that are missing, repeated or not in their place."""
    hooks = {chain: _HOOKS.get(chain, (live.hook,)) for chain in chains}
    wanted = {(hook, chain) for chain, names in hooks.items() for hook in names}
    for hook, chain in sorted(wanted):
        jump, count = f"-A {hook} -j {chain}", live.jumps[hook, chain]
        key = f"{family} jump {hook}"
        end = "last" if hook == "INPUT" else "first"
        if count != 1:
            out.drift[key] = f"{jump} {f'is there {count} times' if count else 'is gone'}"
        elif (end, hook, chain) not in live.placed:
            out.drift[key] = f"{jump} is not the {end} rule"
            # Chains of this name are in other tables, too.
            table = "nat" if chain in CHAINS["nat"].values() else "filter"
            rules = [line for line in _rules(table, others) if line.startswith(f"-A {hook} ")]
            if rules:
                rule = rules[-1 if end == "last" else 0]
                out.drift[f"{key}, the {end} is"] = rule
    for hook, chain in live.jumps:
        if (hook, chain) not in wanted:
            jump = f"-A {hook} -j {chain}"
            out.drift[f"{family} jump {hook} {chain}"] = f"{jump} should not be there"


def _rules(table: str, lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a table, of those of iptables-save."""
    here = ""
    for line in lines:
        if line.startswith("*"):
            here = line[1:]
        elif here == table:
            yield line


# --- guard ---


def _guard(generation: Generation, facts: Facts, out: _Found) -> None:
    loaded, live = (_Table(texts["guard"]) for texts in (facts.loaded, facts.live))
    if not generation.guard:
        if facts.live["guard"]:
            out.drift["guard"] = "the table inet wanbound should not be there"
        return
    if not facts.live["guard"]:
        out.drift["guard"] = "the table inet wanbound is gone"
    for chain, rules in generation.guard.items():
        before, now = loaded.chains.get(chain, ()), live.chains.get(chain, ())
        _chain(f"guard {chain}", rules, before, now, out)
    if facts.live["guard"]:
        for chain in sorted(generation.common):
            _base(chain, loaded.chains.get(chain, ()), live.chains.get(chain, ()), out)
        for chain in live.chains.keys() - generation.guard.keys() - generation.common:
            out.drift[f"guard {chain}"] = f"the chain {chain} should not be there"
    for name in sorted({*generation.elements, *live.elements}):
        _map(name, generation.elements.get(name, ()), loaded, live, out)


def _base(chain: str, loaded: Sequence[str], live: Sequence[str], out: _Found) -> None:
    """Compare a chain that belongs to all networks."""
    if list(loaded) == list(live) or not loaded:
        return
    if missing := list((Counter(loaded) - Counter(live)).elements()):
        for number, line in enumerate(missing, 1):
            out.drift[f"guard {chain} lacks {number}"] = f"{line} is gone"
    out.surplus(f"guard {chain}", list((Counter(live) - Counter(loaded)).elements()))
    if Counter(loaded) == Counter(live):
        out.drift[f"guard {chain}"] = "its rules are in another order"


def _map(
    name: str, wanted: Sequence[Placed], loaded: "_Table", live: "_Table", out: _Found
) -> None:
    """Compare the elements of a map, which have no order."""
    before = loaded.elements.get(name, Counter())
    if before.total() != len(wanted):
        before = Counter(each.text for each in wanted)
    now = live.elements.get(name, Counter())
    missing, surplus = before - now, sorted((now - before).elements())
    for each in wanted:
        if missing[each.text]:
            missing[each.text] -= 1
            out.instead(each, surplus.pop(0) if surplus else None)
    for number, text in enumerate(missing.elements(), 1):
        out.drift[f"guard map {name} lacks {number}"] = f"{text} is gone"
    out.surplus(f"guard map {name}", surplus)


class _Table:
    """A print of print_guard (providers/onhost/live.sh)."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.chains: dict[str, list[str]] = {}
        self.elements: dict[str, Counter[str]] = {}
        chain: list[str] | None = None
        for line in lines:
            if line.startswith("element "):
                _, name, text = (*line.split(" ", 2), "", "")[:3]
                self.elements.setdefault(name, Counter())[text] += 1
            elif line.startswith("\tchain ") and line.endswith(" {"):
                chain = self.chains.setdefault(line[7:-2], [])
            elif line.startswith("\t\t") and chain is not None:
                chain.append(line[2:])


# --- the host itself ---


def _addresses(plan: Plan, generation: Generation, facts: Facts, out: _Found) -> None:
    interfaces = facts.interfaces_by_address
    for each in generation.settings["addresses"]:
        # The kernel uses nodad when it adds the address; it does not matter later.
        wanted = each.text.removesuffix(" nodad")
        address = address_of(wanted)
        here = interfaces.get(address, ())[:_LISTED]
        lines = [line for device, line in here if device == plan.wan]
        if wanted not in lines:
            out.instead(each, lines[0] if lines else None)
            if any(line.endswith(" dadfailed") for line in lines):
                text = "another machine on the link uses it; no connection with it works here"
                out.drift[f"address {address}"] = text
        for device, line in here:
            if device != plan.wan:
                out.drift[f"address {address} on {device}"] = line
            elif line != wanted and wanted in lines:
                # One address with two prefixes: the kernel accepts both; at most one is right.
                out.drift[f"address {address} again"] = line


def _links(generation: Generation, facts: Facts, out: _Found) -> None:
    for each in generation.settings["links"]:
        state = facts.links.get(each.place.role)
        if f"{each.place.role} {state}" != each.text:
            out.instead(each, None if state is None else f"{each.place.role} {state}")


def _routes(generation: Generation, facts: Facts, out: _Found) -> None:
    """Compare gateway and interface; the origin of a route, and its metric, do not matter.

    The first route of a family is the one that packets take: one before ours is drift, one behind
    it is not.
    """
    for each in generation.settings["routes"]:
        family = each.place.role
        routes = [route for version, route in facts.routes if version == family]
        ours = [n for n, route in enumerate(routes) if f"{route} ".startswith(f"{each.text} ")]
        if not ours:
            out.instead(each, routes[0] if routes else None)
            continue
        for number, route in enumerate(routes[: ours[0]][:_LISTED], 1):
            out.drift[f"route {family} before ours {number}"] = route


def _sysctls(generation: Generation, facts: Facts, out: _Found) -> None:
    for each in generation.settings["sysctls"]:
        key = each.text.partition(" = ")[0]
        live = facts.sysctls.get(key)
        if f"{key} = {live}" != each.text:
            out.instead(each, None if live is None else f"{key} = {live}")


def _files(generation: Generation, facts: Facts, out: _Found) -> None:
    """Describe manual edits of the files of the generation."""
    if facts.has_generation and facts.plan is None:
        path = "/etc/wanbound/current/plan.json"
        out.drift["file plan.json"] = f"{path} is missing, or cannot be read"
    for name, text in facts.edited.items():
        path = f"/etc/wanbound/current/{name}"
        wanted = generation.files.get(name, "")
        if text == wanted:
            continue
        out.drift[f"file {name}"] = f"{path} was edited"
        old, new = wanted.split("\n"), text.split("\n")
        said = []
        for first, last, start, end in _gaps(old, new):
            said += [f"lacks: {line}" for line in old[first:last]]
            said += [f"has: {line}" for line in new[start:end]]
        for number, line in enumerate(said[:_LISTED], 1):
            out.drift[f"file {name} {number}"] = line


# --- Docker ---


def _docker(host: str, plan: Plan, facts: Facts, out: _Found) -> None:
    """Say what is wrong with the Docker networks and their bridges.

    A network that Docker does not have is not reported here: the network's own resource reports it,
    and at times it does not exist yet.
    """
    named = facts.docker_networks_by_name
    for name, network in plan.networks.items():
        if not (ours := named.get(name)):
            continue
        for role, text in _docker_network(host, name, ours, plan.taken_over.get(name)):
            out.drift[role] = text
        bridge = network.bridges["own"]
        # That of the load balancer and its socket proxy is another bridge's.
        subnets = [subnet for role, subnet in network.subnets.items() if role != "socket"]
        state = facts.links.get(bridge)
        if state is None:
            elsewhere = [
                f"{address_of(line)} is on {device}"
                for device, line in facts.addresses
                if any(overlap(address_of(line), each) for each in subnets)
            ]
            gone = f"bridge {bridge} is gone"
            out.drift[f"bridge {bridge}"] = "; ".join([gone, *elsewhere[:4]])
        elif state != "up":
            out.drift[f"bridge {bridge}"] = f"bridge {bridge} is {state}"


def _docker_network(
    host: str, name: str, ours: Sequence[DockerNetwork], taken_over: str | None
) -> Iterator[tuple[str, str]]:
    role, wanted = f"docker network {name}", label(host, name)
    found = ours[0].label
    if len(ours) > 1:
        yield role, f"Docker has {len(ours)} networks called {name}"
    elif found is None and ours[0].id != taken_over:
        yield role, f"Docker network {name} was created manually (no label wanbound={wanted})"
    elif found not in (None, wanted):
        other = str(found)[:60]
        yield role, f"Docker network {name} has the label wanbound={other}, not {wanted}"


def renewable(drift: Mapping[str, str]) -> frozenset[str]:
    """Return the networks for which a refresh has found a manually created one."""
    return frozenset(
        key.removeprefix("docker network ") for key in drift if key.startswith("docker network ")
    )
