"""Part (c): SSH handshakes and round trips, as counted by the session and from outside."""

from collections.abc import Callable, Sequence
from typing import Any

from bench.counting import PORT, Counter, Counts, sshd
from bench.part_provider import jobs, run
from bench.report import Finding
from bench.site import BenchError, Site, Worked

_NOTES = (
    "handshakes: what the session counts / connections that tcpdump sees opened on the management"
    " bridge / log-ins in the sshd's own log. round trips: commands that the session counts /"
    " commands in the sshd's log. They have to be equal, or the benchmark fails.",
    "It also fails unless a change takes two handshakes, a read one and a no-op none, whatever the"
    " number of networks.",
)


def measure(site: Site, sizes: Sequence[int], say: Callable[[str], None]) -> Finding:
    """Count once per phase and size: counts do not vary like times. Raises BenchError."""
    rows = []
    raw: dict[str, Any] = {}
    place = site.at_port(PORT)
    with sshd(site):
        for size in sizes:
            say(f"(c) {size} networks")
            for phase, (old, new) in jobs(place, size).items():
                counter = Counter(site)
                with counter.open():
                    worked = run(site, phase, old, new)
                rows.append(_row(site, size, phase, worked, counter.counts))
                raw[f"{size} {phase}"] = {
                    "handshakes": worked.handshakes,
                    "commands": worked.commands,
                    "seen": vars(counter.counts),
                }
    return Finding(
        part="c",
        title=f"SSH handshakes and round trips on {site.name} ({site.engine})",
        columns=("networks: phase", "handshakes", "round trips"),
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
    return (
        f"{size}: {phase}",
        f"{worked.handshakes} / {seen.connections} / {seen.logins}",
        f"{worked.commands} / {seen.commands}",
    )
