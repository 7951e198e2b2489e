"""Docker 29 for hosts of the lab: docker-ce's package where apt has it, else its Go module, built.

Debian has no Docker 29. The suite's client, containerd and runc stay as they are.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from lab.golang import go
from lab.settings import Settings
from lab.steps import Step, output, step, whole

MODULE = Path(__file__).resolve().parent / "engine"
PROGRAMS = ("dockerd", "docker-proxy")

BUILT = "29.3.0-moby-v2.0.0-beta.24"
"""The version of the built daemon: 29.3 is the first release that serves API 1.40 and up."""


def binaries(settings: Settings) -> Path:
    """Return the folder with `dockerd` and `docker-proxy`; made once, in about 4 minutes."""
    packaged = newest(_madison())
    pins = b"".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum", "tools.go"))
    key = packaged or f"{BUILT}-{hashlib.sha256(pins).hexdigest()[:12]}"
    place = settings.cache / f"docker-{key.rpartition(':')[2]}"
    if place.exists():
        return place
    compiler = go()
    what = f"fetching docker-ce {packaged}" if packaged else "building Docker 29 (about 4 minutes)"
    log_file = settings.logs / "docker-29.log"
    with step(what, log_file) as log, whole(place, "docker-29*.next") as following:
        if packaged:
            _unpack(packaged, following, log)
        else:
            _build(compiler, following, log)
    return place


def install(settings: Settings, root: Path) -> None:
    """Put the programs in the place of Debian's own, in a host that does not run yet."""
    made = binaries(settings)
    (root / "usr/sbin").mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        shutil.copy(made / name, root / "usr/sbin" / name)


def newest(madison: str) -> str | None:
    """Return the newest version 29 in what `apt-cache madison docker-ce` prints, newest first."""
    found = re.search(r"^\s*docker-ce \| (\S*\b29\.\S+) \|", madison, re.MULTILINE)
    return found[1] if found else None


def _madison() -> str:
    return output(["apt-cache", "madison", "docker-ce"])


def _unpack(version: str, place: Path, log: Step) -> None:
    log.run(["sh", "-c", 'cd "$1" && apt-get download "docker-ce=$2"', "sh", place, version])
    log.run(["sh", "-c", 'cd "$1" && dpkg-deb -x docker-ce_*.deb . && rm ./*.deb', "sh", place])
    for name in PROGRAMS:
        (place / "usr/bin" / name).rename(place / name)
    shutil.rmtree(place / "usr")


def _build(compiler: Path, place: Path, log: Step) -> None:
    flags = f"-s -w -X github.com/moby/moby/v2/dockerversion.Version={BUILT}"
    # -C: the module's folder; readonly: build exactly what it pins.
    build: list[str | Path] = [compiler, "build", "-C", MODULE, "-mod=readonly", "-trimpath"]
    programs = (f"github.com/moby/moby/v2/cmd/{name}" for name in PROGRAMS)
    log.run(
        [*build, "-ldflags", flags, "-o", f"{place}/", *programs],
        env={"CGO_ENABLED": "0", "GOWORK": "off"},
        timeout=3600,
    )
