"""Debian roots by debootstrap: one per suite, complete or absent, shared read-only by all hosts."""

from __future__ import annotations

from pathlib import Path

from lab import guest
from lab.packages import mirror
from lab.settings import Settings
from lab.steps import step, whole

SCRIPTS = Path("/usr/share/debootstrap/scripts")


def root(settings: Settings, name: str) -> Path:
    """Return the root of `HostSpec.root` in the cache, built if it is missing (about 40 s)."""
    source = mirror()
    suite, _, bare = name.partition("+")
    place = settings.cache / "roots" / f"{name}-{guest.root_key(suite, source, bare=bool(bare))}"
    if place.exists():
        return place
    # An older debootstrap has no script for a newer suite; sid's works for every later one.
    script = SCRIPTS / suite if (SCRIPTS / suite).exists() else SCRIPTS / "sid"
    packages = guest.packages(suite, bare=bool(bare))
    # Own namespaces: its processes and mounts are gone when it ends or is killed.
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    options = ["--variant=minbase", f"--include={packages}"]
    log_file = settings.logs / f"root-{name}.log"
    with step(f"building the {name} root", log_file) as log, whole(place, "*.next") as following:
        log.run(
            [*alone, "debootstrap", *options, suite, following, source, script],
            timeout=1200,
        )
        log.run(
            [*alone, "chroot", following, "/bin/sh", "-s"],
            text=guest.customise(suite, bare=bool(bare)),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
        )
        guest.write_files(
            following,
            {path: (text, 0o644) for path, text in guest.root_files(bare=bool(bare)).items()},
        )
        (following / "etc/sudoers.d/admin").chmod(0o440)
    return place
