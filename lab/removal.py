"""Removes everything that a lab recorded; can run at any point and repeatedly."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from lab import cgroups, hosts, processes
from lab.errors import LabError
from lab.ledger import Kind, Ledger
from lab.namespace import exists
from lab.settings import Settings
from lab.steps import console, output, step, wait_until

# Supervisors first, or they boot their hosts again meanwhile.
ORDER = ("supervisor-", "nspawn-", "")


def end_processes(lab: Settings) -> None:
    """End every recorded process."""
    for prefix in ORDER:
        for process in processes.recorded(lab):
            if process.name.startswith(prefix):
                process.end()


def remove(lab: Settings, kind: Kind, name: str) -> None:
    """Remove one thing of the ledger, if it still exists."""
    if kind == "namespace":
        if exists(lab):
            output(["ip", "netns", "delete", name])
    elif kind == "link":
        link = Path("/sys/class/net") / name
        if link.exists():
            # A host's own links vanish with its namespace, perhaps between the check and this call.
            subprocess.run(
                ["ip", "link", "delete", name], capture_output=True, timeout=20, check=False
            )
            wait_until(f"the removal of link {name}", lambda: not link.exists(), timeout=20)
    elif kind == "path":
        path = Path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    elif kind == "cgroup":
        cgroups.kill(name)


def down(lab: Settings) -> bool:
    """Remove the lab; False if there was none."""
    if not lab.state.exists():
        return False
    with step("removing the lab", lab.logs / "down.log") as log:
        hosts.close_connections(lab)
        end_processes(lab)
        # Gives processes that a supervisor had just started the time to record themselves.
        time.sleep(0.05)
        end_processes(lab)
        failures: list[str] = []
        # Guests first, as they still write to their disks; then newest first, as later things
        # depend on earlier ones.
        all_made = Ledger(lab).read()
        guests = [made for made in all_made if made.kind == "cgroup"]
        for made in guests + [made for made in reversed(all_made) if made.kind != "cgroup"]:
            log.note(f"removing {made.kind} {made.name}")
            try:
                remove(lab, made.kind, made.name)
            except (LabError, OSError) as error:
                failures.append(f"{made.kind} {made.name}: {error}")
        if failures:
            raise LabError("not all could be removed; run down again:\n" + "\n".join(failures))
        # The state last: until then another run can still see what is left.
        shutil.rmtree(lab.state)
        disks = lab.disks
        if disks.exists() and not any(disks.iterdir()):
            disks.rmdir()
    return True


CACHES = "roots images registry docker-registry hosts lab-ssh logs go-bin plugin-downloads.json"


def clean(lab: Settings) -> None:
    """Remove the lab's caches too, except a pulumi that was built: others may use it."""
    for path in [*(lab.cache / name for name in CACHES.split()), *lab.cache.glob("docker-29*")]:
        if path.is_dir():
            console.print(f"removing {path}")
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
