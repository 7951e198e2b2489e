"""Part (a): HostNat's calls against the floor, for 1, 10 and 100 networks on one host."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from bench import floor, scenario
from bench.report import Finding
from bench.scenario import Props
from bench.site import BenchError, Site, Worked
from bench.stats import ratio, seconds

PHASES = ("create", "refresh", "no-op", "change", "mend", "delete")

_FLOOR_OF = {
    "create": "load",
    "refresh": "read",
    "no-op": "load",
    "change": "load again",
    "mend": "load again",
    "delete": "unload",
}
"""Which floor a phase is held against; a no-op contacts nothing, so any floor would do."""

_MEANS = {
    "create": "create, from nothing",
    "refresh": "read, nothing drifted",
    "no-op": "no-op (diff)",
    "change": "change an address of each",
    "mend": "read and mend a rule of each",
    "delete": "delete",
}

_NOTES = (
    "floor: one plain ssh call per family, a handshake each, that pipes the same final rules into"
    " iptables-restore (for reads: runs iptables-save; for deletes: pipes the removal). It neither"
    " adds addresses nor loads the guard, writes no file, tests nothing and cannot undo.",
    "calls: HostNatProvider's, four at a time, first to last, SSH handshake included."
    " process: the same in a fresh Python, from its start to its end.",
    "to floor: median over repeats of (ours / the floor of the same repeat), and its range.",
)


def measure(site: Site, sizes: Sequence[int], repeats: int, say: Callable[[str], None]) -> Finding:
    """Measure all phases. Raises BenchError."""
    raw: dict[str, dict[str, dict[str, list[float]]]] = {}
    rows = []
    for size in sizes:
        say(f"(a) {size} networks")
        values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for repeat in range(repeats):
            for name, taken in _floors(site, size, check=repeat == 0).items():
                values["floor"][name].append(taken)
            for phase, worked in _phases(site, size, check=repeat == 0).items():
                values["calls"][phase].append(worked.calls)
                values["process"][phase].append(worked.process)
        for phase in PHASES:
            base = values["floor"][_FLOOR_OF[phase]]
            calls, process = values["calls"][phase], values["process"][phase]
            rows.append(
                (
                    f"{size}: {_MEANS[phase]}",
                    seconds(base),
                    seconds(calls),
                    str(ratio(calls, base)),
                    seconds(process),
                    str(ratio(process, base)),
                )
            )
        raw[str(size)] = {kind: dict(found) for kind, found in values.items()}
    return Finding(
        part="a",
        title=f"HostNat on {site.name} ({site.engine}), {repeats} repeats",
        columns=("networks: phase", "floor", "calls", "to floor", "process", "to floor"),
        rows=rows,
        notes=_NOTES,
        raw=raw,
    )


def before_and_after(site: Site, size: int) -> tuple[list[Props], list[Props]]:
    """Return the properties of `size` networks, and the same with another address each."""
    return (
        scenario.props(scenario.config(site.place, size)),
        scenario.props(scenario.config(site.place, size, changed=True)),
    )


def jobs(old: list[Props], new: list[Props]) -> dict[str, tuple[list[Props], list[Props]]]:
    """Return what each phase starts from and goes to, in an order that ends where it began."""
    return {
        "create": (old, old),
        "refresh": (old, old),
        "no-op": (old, old),
        "change": (old, new),
        "mend": (new, new),
        "delete": (new, new),
    }


def _floors(site: Site, size: int, *, check: bool) -> dict[str, float]:
    old, new = before_and_after(site, size)
    found = {"load": site.floor_load(old), "read": site.floor_read()}
    if check:
        check_rules(site, old, "floor")
    found["load again"] = site.floor_load(new, hooked=True)
    found["unload"] = site.floor_unload()
    return found


def _phases(site: Site, size: int, *, check: bool) -> dict[str, Worked]:
    old, new = before_and_after(site, size)
    found = {}
    for phase, (olds, news) in jobs(old, new).items():
        if phase == "mend":
            site.damage(olds)
        found[phase] = site.work(phase, olds, news)
        if check and phase in ("create", "change", "mend"):
            check_rules(site, news, "ours")
    if found["no-op"].handshakes:
        raise BenchError("a no-op contacted the host")
    return found


def check_rules(
    site: Site,
    networks: Sequence[Props],
    where: floor.Chains,
    form: Callable[[str], str] = lambda line: line,
) -> None:
    """Compare what the host has in those chains with the planner's rules. Raises BenchError.

    `form` makes of a line what a peer makes of it. Rules of other stacks are left out.
    """
    for family in floor.FAMILIES:
        for table in floor.TABLES:
            rules = [floor.as_ours(line) for line in floor.lines(networks, family, table)]
            wanted = floor.by_chain(form(line) for line in rules)
            found = floor.standing(site.saved(family, table), where)
            if where == "ours":
                known = set(wanted)
                found = [line for line in found if line in known]
            if found != wanted:
                raise BenchError(
                    f"{site.name}: {family} {table} of {where} has {len(found)} lines,"
                    f" {len(wanted)} are wanted, or they are not the same or in another order"
                )
