"""Part (d): what a packet pays, against Docker's own masquerade on a plain network."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from statistics import median

from bench import scenario
from bench.datapath import PLAIN, DataPath, Family, Kind, prepared
from bench.report import Finding
from bench.site import BenchError, Site
from bench.stats import amount, ratio
from lab.errors import LabError
from providers.host.plan import Network

AIM = 0.95
NETWORKS = 100
KINDS: tuple[Kind, ...] = ("connections", "throughput")
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")

FIRST, LAST = "first", "last"
BARE = "masquerade alone"
BESIDE = "masquerade beside ours"

_NOTES = (
    "All of them have rules, guard and public addresses; the first and the last in the order of the"
    " rules are real Docker networks. From a container there to a sink in the internet namespace.",
    f"{BARE}: a plain Docker network with Docker's masquerade, while no packet meets our rules."
    f" {BESIDE}: the same network while all are.",
    f"first, last, {BESIDE}: median over repeats of (its rate / that of {BARE} in the same repeat),"
    " and its range; 1 is as fast, more is faster. first/beside, last/beside: to the plain network"
    " while our rules are loaded.",
    f"Aim: first and last no less than {AIM}. connections: new TCP connections, 8 workers."
    " throughput: one TCP stream.",
)
_NO_IPV6 = "IPv6: Docker 20.10 does not masquerade it by default, so there is no peer."

Values = dict[tuple[Kind, Family], dict[str, list[float]]]


def measure(
    site: Site, repeats: int, duration: float, say: Callable[[str], None], count: int = NETWORKS
) -> Finding:
    """Measure in turns, each for `duration` seconds. Raises BenchError."""
    first, last = scenario.network_name(1), scenario.network_name(count)
    # Bare at the end: then each turn has one change of rules, and neighbours are close in time.
    order = [(FIRST, first), (BESIDE, PLAIN), (LAST, last), (BARE, PLAIN)]
    networks = scenario.networking(scenario.config(site.place, count)).networks
    with prepared(site, count) as path:
        families = _check(site, path, (first, last), networks)
        values: Values = defaultdict(lambda: defaultdict(list))
        for repeat in range(repeats):
            say(f"(d) {site.name}, repeat {repeat + 1} of {repeats}")
            for kind, family in product(KINDS, families):
                for label, container in order:
                    path.rules(loaded=label != BARE)
                    found = path.rate(container, kind, family, duration)
                    values[kind, family][label].append(found)
                # The other way round next time: who comes first must gain nothing by it.
                order.reverse()
    notes = [*_NOTES, _NO_IPV6] if "ipv6" not in families else _NOTES
    return Finding(
        part="d",
        title=f"Data path on {site.name} ({site.engine}), {repeats} repeats of {duration:g} s",
        columns=("per second", BARE, FIRST, LAST, BESIDE, "first/beside", "last/beside", "aim"),
        rows=[_row(kind, family, found) for (kind, family), found in values.items()],
        notes=[f"{count} networks. {notes[0]}", *notes[1:]],
        raw={f"{kind} {family}": dict(found) for (kind, family), found in values.items()},
    )


def _check(
    site: Site, path: DataPath, names: Iterable[str], networks: Mapping[str, Network]
) -> list[Family]:
    """Return the families to measure. Raises BenchError where traffic takes another way."""
    for name in names:
        for family in FAMILIES:
            seen, public = path.source(name, family), networks[name].addresses[family]
            if seen != public:
                raise BenchError(f"{name}: seen as {seen}, {public} is its own")
    own: Mapping[Family, str] = {"ipv4": site.host.wan_ipv4, "ipv6": site.host.wan_ipv6}
    found: list[Family] = []
    for family in FAMILIES:
        try:
            seen = path.source(PLAIN, family)
        except LabError:
            continue
        if seen != own[family]:
            raise BenchError(f"{PLAIN}: seen as {seen}, the host's own is {own[family]}")
        found.append(family)
    return found


def _row(kind: Kind, family: Family, values: Mapping[str, list[float]]) -> list[str]:
    bare, beside = values[BARE], values[BESIDE]
    middle = median(bare)
    first, last = ratio(values[FIRST], bare), ratio(values[LAST], bare)
    met = min(first.middle, last.middle) >= AIM
    return [
        f"{kind} {family}",
        f"{middle:,.0f}" if kind == "connections" else amount(middle * 8, "bit"),
        str(first),
        str(last),
        str(ratio(beside, bare)),
        str(ratio(values[FIRST], beside)),
        str(ratio(values[LAST], beside)),
        "met" if met else "NOT met",
    ]
