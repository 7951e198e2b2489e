"""How much memory of the kernel the rules of a host take."""

import shlex
import subprocess
from pathlib import Path

from bench.site import BenchError, Site
from lab import processes

_GROUPS = Path("/sys/fs/cgroup")


def of_rules(site: Site) -> int | None:
    """Return the bytes that the rules in force take; None where this machine's kernel does not say.

    The kernel charges what it allocates for nf_tables to the memory cgroup of the process that asks
    for it. So the host loads its generation again from a new cgroup, and what stays charged when
    all processes have ended is the rules'. Raises BenchError if the load fails.
    """
    first = (_GROUPS / "memory/memory.kmem.usage_in_bytes").exists()
    controls = _GROUPS / "cgroup.subtree_control"
    if not first and not (controls.exists() and "memory" in controls.read_text().split()):
        return None
    group = (_GROUPS / "memory" if first else _GROUPS) / "wanbound-bench"
    group.mkdir(exist_ok=True)
    try:
        load = ["nsenter", f"--target={_init(site)}", "--mount", "--uts", "--ipc", "--net", "--pid"]
        load += ["/usr/local/sbin/wanbound", "apply"]
        joined = f"echo $$ >{group}/cgroup.procs && exec {shlex.join(load)}"
        done = subprocess.run(["sh", "-c", joined], capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{site.name}: wanbound apply: {done.stderr.strip()}")
        if first:
            # What can be freed, such as the entries of folders, is not the rules'.
            (group / "memory.force_empty").write_text("0")
            return int((group / "memory.kmem.usage_in_bytes").read_text())
        return lasting((group / "memory.stat").read_text())
    finally:
        group.rmdir()


def lasting(stat: str) -> int | None:
    """Return the kernel's memory that cannot be freed, from the text of a cgroup's memory.stat.

    None if it has no line for all of the kernel's, as before Linux 5.18.
    """
    found = dict(line.split() for line in stat.splitlines())
    return int(found["kernel"]) - int(found["slab_reclaimable"]) if "kernel" in found else None


def _init(site: Site) -> int:
    """Return the process of the host's own init on this machine."""
    nspawn = processes.find(site.lab.settings, f"nspawn-{site.name}")
    if nspawn is None:
        raise BenchError(f"{site.name} does not run")
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
    return int(children[0])
