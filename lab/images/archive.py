"""Writes container images as docker-archive tars, without Docker and byte-identical each time.

The layout is that of `docker save`: a layer tar, the image's config, and a manifest.json that
names both. `skopeo copy docker-archive:FILE docker://…` and `docker load` read it. Layers stay
uncompressed, because the archive format names them by the digest of their plain bytes.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

EPOCH = "1970-01-01T00:00:00Z"
SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class File:
    """A regular file of the image; `content` is its bytes, or the file that holds them."""

    path: str
    content: bytes | Path
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link at `path` that points to `target`."""

    path: str
    target: str


@dataclass(frozen=True)
class Folder:
    """A folder; needed only where it is empty or its mode is not 0755."""

    path: str
    mode: int = 0o755


Entry = File | Link | Folder


@dataclass(frozen=True)
class Image:
    """The contents of one image and how it runs. Paths in `entries` are absolute."""

    entries: tuple[Entry, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    user: str = ""


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """Return `entries` and every folder above them, sorted by path, so that parents come first.

    Raises ValueError for a path that is relative, is named twice or climbs out with `..`.
    """
    found: dict[PurePosixPath, Entry] = {}
    for entry in entries:
        path = PurePosixPath(entry.path)
        if not path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{entry.path!r} must be an absolute path without '..'")
        if path in found:
            raise ValueError(f"{entry.path!r} is named twice in one image")
        found[path] = entry
    for path in list(found):
        for parent in path.parents:
            if parent != PurePosixPath("/"):
                found.setdefault(parent, Folder(str(parent)))
    return [found[path] for path in sorted(found)]


def write_layer(entries: Iterable[Entry], out: Path) -> str:
    """Write the layer of `entries` to `out`; return the hex SHA-256 of its bytes (the diff ID)."""
    with tarfile.open(out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry in with_parents(entries):
            _add(tar, entry)
    with out.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def image_config(image: Image, diff_id: str, architecture: str) -> bytes:
    """Return the image's config JSON, whose digest is the image ID: no time, no host name."""
    run: dict[str, object] = {
        "Env": [SEARCH_PATH],
        "Entrypoint": list(image.entrypoint) or None,
        "Cmd": list(image.command) or None,
        "ExposedPorts": {port: {} for port in image.expose},
        "User": image.user,
        "WorkingDir": "/",
    }
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": EPOCH,
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        "history": [{"created": EPOCH, "created_by": "wanbound lab.images"}],
    }
    return _canonical(config)


def write_archive(name: str, image: Image, architecture: str, out: Path) -> None:
    """Write `image` as the docker-archive `out`, tagged `name` (`repository:tag`).

    It is written to a temporary file and renamed, so it is complete or absent.
    """
    layer = out.with_name(out.name + ".layer")
    draft = out.with_name(out.name + ".draft")
    try:
        diff_id = write_layer(image.entries, layer)
        config = image_config(image, diff_id, architecture)
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        layer_name = f"{diff_id}.tar"
        manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}]
        with draft.open("wb") as stream:
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                _add(tar, File("/manifest.json", _canonical(manifest)))
                _add(tar, File(f"/{config_name}", config))
                _add(tar, File(f"/{layer_name}", layer))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(out)
    finally:
        layer.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    member = tarfile.TarInfo(entry.path.lstrip("/"))
    member.uname = member.gname = ""  # numbers only: names would be the building machine's
    match entry:
        case Folder():
            member.type = tarfile.DIRTYPE
            member.mode = entry.mode
            tar.addfile(member)
        case Link():
            member.type = tarfile.SYMTYPE
            member.linkname = entry.target
            member.mode = 0o777
            tar.addfile(member)
        case File(content=bytes(content)):
            member.mode = entry.mode
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        case File(content=Path() as source):
            member.mode = entry.mode
            with source.open("rb") as stream:
                member.size = os.fstat(stream.fileno()).st_size
                tar.addfile(member, stream)


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
