"""One cgroup per host: it separates two guests, and kills a whole guest at once.

systemd-nspawn with --keep-unit makes its `payload` group below its own. Two hosts started from one
group would share it, and each systemd would manage the other's services. A guest outlives a killed
nspawn, but not its killed cgroup.
"""

from __future__ import annotations

import os
from pathlib import Path

from lab.errors import LabError
from lab.settings import HostSpec, Settings
from lab.steps import wait_until

# Joins the cgroups before `--`, then becomes the command after it.
JOIN = (
    'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'
)


def mounts() -> list[Path]:
    """Return the hierarchies of nspawn: cgroup2 first, and systemd's named one if mounted."""
    unified: list[Path] = []
    named: list[Path] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            unified.append(Path(before.split()[4]))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            named.append(Path(before.split()[4]))
    if not unified:
        raise LabError("no cgroup2 file system is mounted, and the hosts' systemd needs one")
    return unified[:1] + named[:1]


def name(lab: Settings, host: HostSpec) -> str:
    """Return the host's group, below the root of each hierarchy, as Docker places its own."""
    return f"{lab.prefix}-lab-{host.name}"


def exists(group: str) -> bool:
    """Whether there is a group of that name."""
    return any((mount / group).exists() for mount in mounts())


def joined(group: str, args: list[str]) -> list[str]:
    """Return the command line that enters the group and becomes `args`."""
    folders = [mount / group for mount in mounts()]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    return ["/bin/sh", "-c", JOIN, "sh", *(str(folder) for folder in folders), "--", *args]


def kill(group: str) -> None:
    """Kill every process in the group and below it at once, and remove the group."""
    folders = [mount / group for mount in mounts()]
    if (switch := folders[0] / "cgroup.kill").exists():
        switch.write_text("1")
    for top in folders:
        for folder, _, _ in os.walk(top, topdown=False):
            _remove(Path(folder))


def _remove(folder: Path) -> None:
    # Killed processes stay in their group until the kernel has removed them.
    wait_until(f"the end of all in {folder}", lambda: _removed(folder), timeout=20, every=0.02)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
