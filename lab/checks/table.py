"""Results as a table: one line per network and family, then every check that failed."""

from collections.abc import Sequence

from rich.table import Table

from lab.checks.matrix import Kind, Result

_COLUMNS: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    ("egress", ("egress", "whoami egress", "host source")),
    ("asks names as", ("resolver",)),
    ("ingress sees", ("ingress",)),
    ("itself", ("own address",)),
    ("others", ("other networks",)),
    ("host", ("host access",)),
    ("private", ("private", "stranger", "own private", "socket")),
)
"""The checks of each column: the address with which the network leaves; the one with which it asks
a DNS server for names, in that server's family; the client that it sees; whether it reaches its own
public address and those of all others, and the host reaches it, each seen with the right source;
whether its private addresses are unreachable for all others."""


def table(results: Sequence[Result]) -> Table:
    """Return a table with a row per network and family, and one per host and family."""
    drawn = Table(title="expected and seen, asked from real containers, hosts and the internet")
    for name in ("host", "network", "", "expected"):
        drawn.add_column(name)
    for name, _ in _COLUMNS:
        drawn.add_column(name)
    for host in dict.fromkeys(result.check.host for result in results):
        _add_host(drawn, host, [result for result in results if result.check.host == host])
    return drawn


def _add_host(drawn: Table, host: str, results: Sequence[Result]) -> None:
    before: str | None = None
    for network, family in dict.fromkeys((r.check.network, r.check.family) for r in results):
        own = [r for r in results if (r.check.network, r.check.family) == (network, family)]
        egress = next(r for r in own if r.check.kind in ("egress", "host source"))
        drawn.add_row(
            host if before is None else "",
            "" if before == network else network or "(itself)",
            f"v{family}",
            egress.check.expected,
            *(_cell(name, [r for r in own if r.check.kind in kinds]) for name, kinds in _COLUMNS),
        )
        before = network
    drawn.add_section()


def _cell(name: str, results: Sequence[Result]) -> str:
    if not results:
        return ""
    if wrong := [result for result in results if not result.ok]:
        return "[red]" + ", ".join(dict.fromkeys(result.seen for result in wrong)) + "[/]"
    if name in ("egress", "asks names as", "ingress sees"):
        return f"[green]{results[0].seen}[/]"
    if name == "private":
        return "[green]closed[/]"
    return f"[green]✓[/] {len(results)}" if name == "others" else "[green]✓[/]"


def totals(results: Sequence[Result]) -> str:
    """Return the last line: how many checks there were and how many failed."""
    failed = sum(not result.ok for result in results)
    if failed:
        return f"{failed} of {len(results)} checks FAILED"
    return f"{len(results)} checks, all passed"
