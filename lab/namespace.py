"""The internet's network namespace: commands in it, and what it contains."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.settings import Settings
from lab.steps import output

NAMESPACES = Path("/run/netns")


def inside(lab: Settings, args: Sequence[str | Path]) -> list[str]:
    """Return the command line that runs `args` in the namespace.

    By nsenter, because `ip netns exec` hides the cgroup mounts; it becomes `args`, same pid.
    """
    return ["nsenter", f"--net={NAMESPACES / lab.namespace}", "--", *(str(arg) for arg in args)]


def exists(lab: Settings) -> bool:
    """Whether the namespace exists."""
    listed = output(["ip", "netns", "list"]).splitlines()
    return lab.namespace in {line.split()[0] for line in listed if line}


def has_link(lab: Settings, name: str) -> bool:
    """Whether the namespace has a link of that name."""
    if not exists(lab):
        return False
    args = ["ip", "-n", lab.namespace, "link", "show", "dev", name]
    return subprocess.run(args, capture_output=True, timeout=30, check=False).returncode == 0


def answers(lab: Settings, url: str) -> bool:
    """Whether the URL is answered in the namespace."""
    args = inside(lab, ["curl", "-sf", "-o", "/dev/null", "-m", "20", "--noproxy", "*", url])
    return subprocess.run(args, capture_output=True, timeout=30, check=False).returncode == 0
