"""Programs from Debian packages, with their shared libraries."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.errors import LabError

RELEASE = Path("/etc/debian_version")

# "libssl.so.3 => /lib/x86_64-linux-gnu/libssl.so.3 (0x0000…)", "/lib64/ld-linux-x86-64.so.2 (0x…)".
_LINKED = re.compile(r"^\s*(?:(\S+) => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_LOADER = re.compile(r"^ld-linux.*|^ld64?\.so.*")


def unpacked(package: str, work: Path) -> Path:
    """Return a folder with the files of `package` and of its dependencies that are not installed.

    Nothing is installed, as a package may start a service. Raises LabError.
    """
    archives, root = work / "archives", work / "root"
    (archives / "partial").mkdir(parents=True)
    root.mkdir()
    get = ["apt-get", "-q", "-y", "-o", f"Dir::Cache::archives={archives}"]
    _run([*get, "update"])
    _run([*get, "install", "--reinstall", "--no-install-recommends", "--download-only", package])
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(archive), str(root)])
    return root


def with_libraries(program: Path, root: Path) -> list[Path]:
    """Return `program` and every library that it needs, the loader with them.

    Libraries are taken from below `root`, if it has them, else from this machine. Raises LabError
    if one is missing.
    """
    places = sorted({path.parent for path in root.rglob("*.so*")})
    environment = {"LD_LIBRARY_PATH": os.pathsep.join(map(str, places))}
    said = _run(["ldd", str(program)], environment)
    missing = [line.split()[0] for line in said.splitlines() if "not found" in line]
    if missing:
        raise LabError(f"{program.name} needs {', '.join(missing)}, which no package brought")
    return [program, *(Path(found[2]) for found in _LINKED.finditer(said))]


def loader(libraries: list[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the loader with the path that the kernel uses for it (ELF: PT_INTERP)."""
    for path in libraries:
        if _LOADER.match(path.name):
            yield str(path), path


def _run(words: list[str], environment: Mapping[str, str] | None = None) -> str:
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **quiet, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    except FileNotFoundError as error:
        raise LabError(f"{words[0]} is not there: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(words)} took over 300 s") from error
    except subprocess.CalledProcessError as error:
        raise LabError(f"{' '.join(words)} failed: {(error.stderr or '').strip()}") from error
    return done.stdout
