"""Part (c): SSH handshakes and round trips, as the session counts them and as others see them."""

from collections.abc import Callable, Sequence
from typing import Any

from bench import scenario
from bench.counting import PORT, Counter, Counts, sshd
from bench.part_provider import jobs
from bench.report import Finding
from bench.site import BenchError, Site, Worked

_NOTES = (
    "handshakes: what the session counts / connections that tcpdump sees opened on the management"
    " bridge / log-ins in the sshd's own log. round trips: commands that the session counts /"
    " commands in the sshd's log. They have to be equal, or the benchmark fails.",
    "Aims: one handshake per host and run, at most two round trips per resource, none for a no-op.",
)


def measure(site: Site, sizes: Sequence[int], say: Callable[[str], None]) -> Finding:
    """Count once per phase and size: counts do not vary as times do. Raises BenchError."""
    rows = []
    raw: dict[str, Any] = {}
    place = site.at_port(PORT)
    with sshd(site):
        for size in sizes:
            say(f"(c) {size} networks")
            old = scenario.props(scenario.config(place, size))
            new = scenario.props(scenario.config(place, size, changed=True))
            for phase, (olds, news) in jobs(old, new).items():
                if phase == "mend":
                    site.damage(olds)
                counter = Counter(site)
                with counter.open():
                    worked = site.work(phase, olds, news)
                rows.append(_row(site, size, phase, worked, counter.counts))
                raw[f"{size} {phase}"] = {
                    "handshakes": worked.handshakes,
                    "commands": worked.commands,
                    "seen": vars(counter.counts),
                }
    return Finding(
        part="c",
        title=f"SSH handshakes and round trips on {site.name} ({site.engine})",
        columns=("networks: phase", "handshakes", "round trips", "per resource", "aim"),
        rows=rows,
        notes=_NOTES,
        raw=raw,
    )


def _row(site: Site, size: int, phase: str, worked: Worked, seen: Counts) -> tuple[str, ...]:
    counted = (worked.handshakes, worked.handshakes, worked.commands)
    if counted != (seen.connections, seen.logins, seen.commands):
        raise BenchError(
            f"{site.name}: {size}: {phase}: the session counts {worked.handshakes} handshakes and"
            f" {worked.commands} commands, others saw {seen}"
        )
    none = phase == "no-op"
    met = (
        worked.handshakes == 0 and worked.commands == 0
        if none
        else worked.handshakes == 1 and worked.commands <= 2 * size
    )
    return (
        f"{size}: {phase}",
        f"{worked.handshakes} / {seen.connections} / {seen.logins}",
        f"{worked.commands} / {seen.commands}",
        f"{worked.commands / size:.2f}",
        "met" if met else "NOT met",
    )
