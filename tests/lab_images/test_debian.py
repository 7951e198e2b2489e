"""A program from its package, with the libraries that it needs."""

import subprocess
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.images import debian


def test_a_program_brings_its_libraries_and_loader() -> None:
    """The files that ldd names, and the loader at the path that the kernel uses."""
    program = Path("/usr/bin/env")
    first, *libraries = debian.with_libraries(program, Path("/nonexistent"))
    assert first == program
    assert any(path.name.startswith("libc.so") for path in libraries)
    assert all(path.is_file() for path in libraries)
    ((where, path),) = debian.loader(libraries)
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True)
    assert f"\t{where} (" in said.stdout
    assert path in libraries


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the image's program would not start."""
    said = "\tlibnone.so.1 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n"
    monkeypatch.setattr(debian, "_run", lambda words, environment=None: said)
    with pytest.raises(LabError, match=r"needs libnone\.so\.1"):
        debian.with_libraries(Path("/usr/bin/env"), Path("/nonexistent"))


def test_what_cannot_be_fetched_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the failed command."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="apt-get is not there"):
        debian.unpacked("haproxy", tmp_path / "work")
