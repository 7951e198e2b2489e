"""Which Docker 29 the lab uses, depending on apt."""

import subprocess
from pathlib import Path

import pytest

from lab import docker29
from lab.settings import Settings

MADISON = """\
 docker-ce | 5:30.0.1-1~debian.13~trixie | http://mirror.example/debian trixie/stable amd64 Packages
 docker-ce | 5:29.6.1-1~debian.13~trixie | http://mirror.example/debian trixie/stable amd64 Packages
 docker-ce | 5:29.5.0-1~debian.13~trixie | http://mirror.example/debian trixie/stable amd64 Packages
 docker-ce | 5:28.5.2-1~debian.13~trixie | http://mirror.example/debian trixie/stable amd64 Packages
"""


def test_the_newest_29_that_apt_has_is_taken() -> None:
    """Another major version is not used; without 29 in apt, it is built."""
    assert docker29.newest(MADISON) == "5:29.6.1-1~debian.13~trixie"
    assert docker29.newest(MADISON.splitlines()[-1]) is None
    assert docker29.newest("") is None


def test_where_apt_has_it_its_programs_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is unpacked, not installed, as its service would start on this machine."""
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: docker-ce\nVersion: 5:29.6.1-1\nArchitecture: amd64\n"
        "Maintainer: nobody\nDescription: two programs\n"
    )
    (tree / "usr/bin").mkdir(parents=True)
    for name in docker29.PROGRAMS:
        (tree / "usr/bin" / name).write_text(f"this is {name}")
    subprocess.run(["dpkg-deb", "-b", tree, tmp_path / "a.deb"], check=True, capture_output=True)
    (tmp_path / "bin").mkdir()
    for name, text in {
        "apt-cache": "echo ' docker-ce | 5:29.6.1-1 | somewhere'",
        "apt-get": '[ "$*" = "download docker-ce=5:29.6.1-1" ] && '
        f"cp {tmp_path}/a.deb docker-ce_x.deb",
    }.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin")
    docker29.install(Settings(cache=tmp_path / "cache"), tmp_path / "root")
    for name in docker29.PROGRAMS:
        assert (tmp_path / "root/usr/sbin" / name).read_text() == f"this is {name}"
    assert [path.name for path in (tmp_path / "cache").glob("docker*")] == ["docker-29.6.1-1"]
