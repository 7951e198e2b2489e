"""Runs the observer on a host from here; restores a host's state for the next row."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lab.errors import LabError
from lab.faults.model import Change, Observation
from lab.faults.site import FOLDER, SAVE, Site

SETTLED = 1.2
"""Seconds for which a host must keep its state before its row ends."""

DOCKER_BACK = "until docker version >/dev/null 2>&1; do sleep 0.05; done"
"""Waits until Docker answers again."""

T = TypeVar("T")

RESTORE = f"""\
cd "$folder"
plain() {{ sed '/^#/d; s/ \\[[0-9:]*\\]$//' "$1"; }}
set -- now
{SAVE}
for tool in iptables ip6tables; do
    plain "now.$tool" >now; plain "row.$tool" >row
    cmp -s now row || "$tool-restore" <"row.$tool"
done
for family in ip ip6; do
    [ -s "row.$family" ] || continue
    cmp -s "now.$family" "row.$family" && continue
    nft -f - <<.
table $family docker-bridges
delete table $family docker-bridges
$(cat "row.$family")
.
done
"""


def everywhere(names: Sequence[str], call: Callable[[str], T]) -> dict[str, T]:
    """Call it for all hosts at the same time."""
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        return dict(zip(names, pool.map(call, names), strict=True))


def watch(
    site: Site,
    name: str,
    inject: str = "",
    *,
    before: Sequence[str] | None = None,
    limit: float = 10.0,
    settled: float = SETTLED,
    environment: dict[str, str] | None = None,
) -> tuple[Observation, list[str]]:
    """Run the observer on the host; return also the state that it compares with."""
    request = {
        "inject": inject,
        "before": before,
        "environment": environment or {},
        "limit": limit,
        "settled": settled,
    }
    said = site.hosts[name].run(
        f"python3 {FOLDER}/observer.py", stdin=json.dumps(request), timeout=limit + 180
    )
    found = json.loads(said.stdout)
    failed = f"status {found['status']}: {found['said'].strip()}" if found["status"] else ""
    observation = Observation(
        begin=found["begin"],
        end=found["end"],
        changes=[Change(**change) for change in found["changes"]],
        looks=found["looks"],
        failed=failed,
    )
    return observation, found["before"]


def look(site: Site, name: str) -> list[str]:
    """Return the host's present state."""
    return watch(site, name, limit=0, settled=0)[1]


def bring_back(site: Site, name: str, before: Sequence[str], restore: str) -> bool:
    """Restore a host's state after the verdict; False if that had to be forced.

    Foreign rules are restored from the copy saved before the row: nothing else restores Docker's.
    """
    host = site.hosts[name]
    exports = "".join(f"{key}='{value}'\n" for key, value in site.variables_of[name].items())
    host.run(f"set -e\n{exports}{restore}\n{RESTORE}")
    seen, _ = watch(site, name, before=before, limit=5, settled=0.2)
    if seen.repaired is not None:
        return True
    # wanbound has not repaired it, which the row reports. The next row must not suffer from it.
    host.run(f"{exports}{OWN_BACK}\nwanbound apply", check=False)
    seen, _ = watch(site, name, before=before, limit=5, settled=0.2)
    if seen.repaired is None:
        last = seen.changes[-1]
        raise LabError(
            f"{name} cannot be brought back to where it was; it lacks {list(last.missing)} and "
            f"has {list(last.new)}"
        )
    return False


OWN_BACK = """\
ip addr replace "$own4/24" brd + dev wan0
ip addr replace "$own6/64" dev wan0 nodad
ip addr replace "$link" dev wan0 nodad
ip route replace default via 203.0.113.1 dev wan0 proto static
ip -6 route replace default via fe80::1 dev wan0 proto static
"""
"""The lab's own addresses and default routes. systemd-networkd set them and does not watch them;
wanbound restores them only if its generation has the routes."""
