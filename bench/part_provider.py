"""Part (a): HostNetworking's calls against the floor, for 1, 10 and 100 networks on one host."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from bench import floor, scenario
from bench.report import Finding
from bench.scenario import Config, Place
from bench.site import BenchError, Site, Worked
from bench.stats import ratio, seconds
from providers.host.plan import Plan

PHASES = ("create", "refresh", "no-op", "one", "all", "mend", "delete")

_FLOOR_OF = {
    "create": "load",
    "refresh": "read",
    "no-op": "load",
    "one": "load again",
    "all": "load again",
    "mend": "load again",
    "delete": "unload",
}
"""The floor that a phase is compared with; a no-op contacts no host, so any floor would do."""

_MEANS = {
    "create": "create, from nothing",
    "refresh": "read, nothing drifted",
    "no-op": "no-op (diff)",
    "one": "change an address of one",
    "all": "change an address of each",
    "mend": "read, then restore a rule of each",
    "delete": "delete",
}

AIMS = {
    1: {"create": 1.7, "refresh": 0.56, "all": 0.72},
    10: {"create": 6.4, "refresh": 1.3, "all": 2.9},
    100: {"create": 3.0, "refresh": 2.0, "one": 3.0, "all": 3.0, "mend": 3.0, "delete": 3.0},
}
"""Ratios by number of networks. Those of 1 and 10 were measured with one resource per network."""

_NOTES = (
    "floor: one plain ssh call per family, a handshake each, that pipes the same final rules into"
    " iptables-restore (for reads: runs iptables-save; for deletes: pipes the removal). It neither"
    " adds addresses nor loads the guard, writes no file, tests nothing and cannot roll back.",
    "calls: HostNetworkingProvider's, first to last, SSH handshakes included: two for a change, one"
    " for a read, none for a no-op. process: the same in a fresh Python, from start to end.",
    "The kernel's check whether another machine has a new IPv6 address is off meanwhile. With it, a"
    " change that adds some takes 1 to 2 s more: the confirmation waits for the answer.",
    "to floor: median over repeats of (ours / the floor of the same repeat), and its range.",
)


def measure(site: Site, sizes: Sequence[int], repeats: int, say: Callable[[str], None]) -> Finding:
    """Measure all phases. Raises BenchError."""
    raw: dict[str, dict[str, dict[str, list[float]]]] = {}
    rows = []
    for size in sizes:
        say(f"(a) {size} networks")
        values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        with site.unchecked_addresses():
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
                    _aim(size, phase, ratio(calls, base).middle),
                )
            )
        raw[str(size)] = {kind: dict(found) for kind, found in values.items()}
    return Finding(
        part="a",
        title=f"HostNetworking on {site.name} ({site.engine}), {repeats} repeats",
        columns=("networks: phase", "floor", "calls", "to floor", "process", "to floor", "aim"),
        rows=rows,
        notes=_NOTES,
        raw=raw,
    )


def jobs(place: Place, size: int) -> dict[str, tuple[Config, Config]]:
    """Return each phase's old and new configuration, in an order that ends in the first state."""
    start, one, each = (
        scenario.config(place, size),
        scenario.config(place, size, "one"),
        scenario.config(place, size, "all"),
    )
    return {
        "create": (start, start),
        "refresh": (start, start),
        "no-op": (start, start),
        "one": (start, one),
        "all": (one, each),
        "mend": (each, each),
        "delete": (each, each),
    }


def run(site: Site, phase: str, old: Config, new: Config) -> Worked:
    """Run one phase, after the damage that it must repair. Raises BenchError."""
    if phase == "mend":
        site.damage(scenario.networking(old))
    return site.work(phase, scenario.props(old), scenario.props(new))


def _aim(size: int, phase: str, found: float) -> str:
    aim = AIMS.get(size, {}).get(phase)
    return "" if aim is None else f"{aim:g}: {'met' if found <= aim else 'NOT met'}"


def _floors(site: Site, size: int, *, check: bool) -> dict[str, float]:
    old, new = (
        scenario.networking(scenario.config(site.place, size, change)) for change in ("none", "all")
    )
    found = {"load": site.floor_load(old), "read": site.floor_read()}
    if check:
        check_rules(site, old, "floor")
    found["load again"] = site.floor_load(new, hooked=True)
    found["unload"] = site.floor_unload()
    return found


def _phases(site: Site, size: int, *, check: bool) -> dict[str, Worked]:
    found = {}
    for phase, (old, new) in jobs(site.place, size).items():
        found[phase] = run(site, phase, old, new)
        if check and phase != "delete":
            check_rules(site, scenario.networking(new), "ours")
    return found


def check_rules(
    site: Site,
    plan: Plan,
    where: floor.Chains,
    form: Callable[[str], str] = lambda line: line,
) -> None:
    """Compare the host's rules in those chains with the planner's. Raises BenchError.

    `form` turns a line into the peer's form of it.
    """
    for family in floor.FAMILIES:
        for table in floor.TABLES:
            rules = [floor.as_ours(line) for line in floor.lines(plan, family, table)]
            wanted = floor.by_chain(form(line) for line in rules)
            found = floor.standing(site.saved(family, table), where)
            if found != wanted:
                raise BenchError(
                    f"{site.name}: {family} {table} of {where} has {len(found)} lines,"
                    f" {len(wanted)} are wanted, or they are not the same or in another order"
                )
