"""Part (d): the cost per packet, compared with Docker's own masquerade on a plain network."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from statistics import median

from bench import kernel_memory, scenario
from bench.datapath import PLAIN, DataPath, Family, Kind, prepared
from bench.report import Finding
from bench.scenario import Firewall
from bench.site import BenchError, Site
from bench.stats import amount, ratio, seconds
from lab.errors import LabError
from providers.host.plan import Network

NETWORKS = 100
AIMS: Mapping[tuple[Kind, Firewall], float] = {
    ("connections", "iptables"): 0.85,
    ("connections", "nftables"): 0.95,
    ("throughput", "iptables"): 0.95,
    ("throughput", "nftables"): 0.95,
}
"""For the first and the last network. iptables has a NAT rule for each network, nftables a map."""

BESIDE_AIM = 0.95
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")

FIRST, LAST = "first", "last"
BARE = "masquerade alone"
BESIDE = "masquerade beside ours"

_NOTES = (
    "All of them have rules, guard and public addresses; the first and the last in the order of the"
    " rules are real Docker networks. From a container there to a sink in the internet namespace.",
    f"{BARE}: a plain Docker network with Docker's masquerade, while no packet meets our rules."
    f" {BESIDE}: the same network while all are.",
    f"first, last, {BESIDE}: median over repeats of (its speed / that of {BARE} in the same"
    " repeat), and its range; 1 is as fast, more is faster. first/beside, last/beside: to the plain"
    " network while our rules are loaded.",
    f"Aim: of first and last; {BESIDE} no less than {BESIDE_AIM}. connections: new TCP connections"
    " per second, 8 workers. throughput: one TCP stream. p50, p99: seconds until a new connection"
    " is there, one at a time.",
)
_NO_IPV6 = "IPv6: Docker 20.10 does not masquerade it by default, so there is no peer."

Values = dict[tuple[Kind, Family], dict[str, list[float]]]


def measure(
    site: Site,
    firewall: Firewall,
    repeats: int,
    duration: float,
    say: Callable[[str], None],
    count: int = NETWORKS,
) -> Finding:
    """Measure in turns, each for three times `duration` seconds. Raises BenchError."""
    first, last = scenario.network_name(1), scenario.network_name(count)
    # Bare at the end: each turn then changes the rules once, and compared runs are close in time.
    order = [(FIRST, first), (BESIDE, PLAIN), (LAST, last), (BARE, PLAIN)]
    networks = scenario.networking(scenario.config(site.place, count)).networks
    with prepared(site, count, firewall) as path:
        families = _check(site, path, (first, last), networks)
        memory = kernel_memory.of_rules(site)
        values: Values = defaultdict(lambda: defaultdict(list))
        for repeat in range(repeats):
            say(f"(d) {site.name}, {firewall}, repeat {repeat + 1} of {repeats}")
            for family in families:
                for label, container in order:
                    path.rules(loaded=label != BARE)
                    for kind, found in path.speed(container, family, duration).items():
                        values[kind, family][label].append(found)
                # Reversed next time, so that the first one has no advantage.
                order.reverse()
    notes = [*_NOTES]
    if "ipv6" not in families:
        notes.append(_NO_IPV6)
    if memory is not None:
        notes.append(f"The rules take {amount(memory, 'B')} of the kernel's memory.")
    return Finding(
        part="d",
        title=f"Data path by {firewall} on {site.name} ({site.engine}), {repeats} repeats of"
        f" {duration:g} s",
        columns=("measure", BARE, FIRST, LAST, BESIDE, "first/beside", "last/beside", "aim"),
        rows=[_row(kind, family, firewall, found) for (kind, family), found in values.items()],
        notes=[f"{count} networks. {notes[0]}", *notes[1:]],
        raw={f"{kind} {family}": dict(found) for (kind, family), found in values.items()},
    )


def _check(
    site: Site, path: DataPath, names: Iterable[str], networks: Mapping[str, Network]
) -> list[Family]:
    """Return the families to measure. Raises BenchError if traffic takes another way."""
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


def _row(
    kind: Kind, family: Family, firewall: Firewall, values: Mapping[str, list[float]]
) -> list[str]:
    if kind in ("p50", "p99"):
        speed = {label: [1 / found for found in taken] for label, taken in values.items()}
        said = seconds(values[BARE])
    else:
        speed, middle = dict(values), median(values[BARE])
        said = f"{middle:,.0f}" if kind == "connections" else amount(middle * 8, "bit")
    bare, beside = speed[BARE], speed[BESIDE]
    first, last, plain = (ratio(speed[label], bare) for label in (FIRST, LAST, BESIDE))
    aim = AIMS.get((kind, firewall))
    met = aim is None or (min(first.middle, last.middle) >= aim and plain.middle >= BESIDE_AIM)
    return [
        f"{kind} {family}",
        said,
        str(first),
        str(last),
        str(plain),
        str(ratio(speed[FIRST], beside)),
        str(ratio(speed[LAST], beside)),
        "" if aim is None else f"{aim}: {'met' if met else 'NOT met'}",
    ]
