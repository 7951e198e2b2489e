"""Debian packages of this machine: only missing ones are installed, and no service is started."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from lab.errors import LabError
from lab.settings import Settings
from lab.steps import output, step

# Program → its Debian package. Looked up by program, so that a machine with other installations of
# them is left unchanged.
PROGRAMS: Mapping[str, str] = {
    "conntrack": "conntrack",
    "curl": "curl",
    "debootstrap": "debootstrap",
    "dnsmasq": "dnsmasq-base",
    "ip": "iproute2",
    "iptables": "iptables",
    "nft": "nftables",
    "nsenter": "util-linux",
    "pebble": "pebble",
    "setpriv": "util-linux",
    "skopeo": "skopeo",
    "ssh": "openssh-client",
    "ssh-agent": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "tcpdump": "tcpdump",
    "unshare": "util-linux",
}
# Packages without a program on PATH: file → package. The last two go into the lab's images.
FILES: Mapping[str, str] = {
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/usr/share/doc/busybox-static": "busybox-static",
    "/usr/share/doc/ca-certificates": "ca-certificates",
}
# A user's PATH may lack the folders of these programs.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def missing() -> list[str]:
    """Return the packages to install, sorted."""
    programs = {name for tool, name in PROGRAMS.items() if not shutil.which(tool, path=SEARCH)}
    files = {name for path, name in FILES.items() if not Path(path).exists()}
    return sorted(programs | files)


def install(settings: Settings) -> None:
    """Install what is missing with apt-get, as root."""
    if os.geteuid() != 0:
        raise LabError("the lab boots hosts and makes namespaces: run it as root")
    os.environ["PATH"] = SEARCH
    packages = missing()
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise LabError(f"this is no Debian: install {', '.join(packages)} yourself")
    with step(f"installing {', '.join(packages)}", settings.logs / "apt.log") as log:
        log.run(["apt-get", "update"], env=QUIET)
        log.run(
            ["apt-get", "install", "-y", "--no-install-recommends", *packages],
            env=QUIET,
            timeout=1200,
        )


@functools.cache
def mirror() -> str:
    """Return the Debian mirror of this machine's own apt."""
    text = output(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)"]
    )
    for line in text.splitlines():
        # Updates have the same label and mostly the same mirror; security has a label of its own.
        if line.startswith("Debian Debian main "):
            return line.split(" ", 3)[3].strip()
    raise LabError(
        "apt has no source of Debian's main archive, so there is no mirror to take the hosts from: "
        "add one to /etc/apt/sources.list and run apt-get update"
    )


def docker_registry(settings: Settings) -> Path:
    """Return the docker-registry program: the installed one, else unpacked from its package.

    Unpacked in the cache, not installed, because Debian's package starts a service of its own.
    """
    if found := shutil.which("docker-registry", path=SEARCH):
        return Path(found)
    place = settings.cache / "docker-registry"
    program = place / "usr/bin/docker-registry"
    if program.exists():
        return program
    with step("fetching docker-registry", settings.logs / "apt.log") as log:
        following = place.with_name(f"docker-registry.next.{os.getpid()}")
        shutil.rmtree(following, ignore_errors=True)
        following.mkdir(parents=True)
        log.run(["apt-get", "update"], env=QUIET)
        log.run(["sh", "-c", 'cd "$1" && apt-get download docker-registry', "sh", following])
        log.run(["sh", "-c", 'cd "$1" && dpkg-deb -x docker-registry_*.deb .', "sh", following])
        following.rename(place)
    return program
