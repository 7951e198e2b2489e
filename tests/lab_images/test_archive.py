"""The packer: layout, order and reproducibility of its output."""

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from lab import packages
from lab.images.archive import Entry, File, Folder, Image, Link, with_parents, write_archive
from lab.settings import Settings

PROGRAM = b"\x7fELF a program"
ENTRIES: tuple[Entry, ...] = (
    File("/usr/local/bin/program", PROGRAM, 0o755),
    Link("/bin/sh", "busybox"),
    Folder("/tmp", 0o1777),
    File("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
)
IMAGE = Image(
    ENTRIES,
    entrypoint=("/usr/local/bin/program",),
    command=("serve",),
    expose=("80/tcp",),
    user="65534:65534",
)


def packed(folder: Path, image: Image = IMAGE, name: str = "wanbound/test:1") -> Path:
    """`image` as an archive in `folder`."""
    out = folder / "image.tar"
    write_archive(name, image, "amd64", out)
    return out


def member(archive: Path, name: str) -> bytes:
    """The bytes of one file in a tar."""
    with tarfile.open(archive) as tar:
        stream = tar.extractfile(name)
        assert stream is not None
        return stream.read()


def test_archive_names_its_config_and_layer_by_digest(tmp_path: Path) -> None:
    """manifest.json leads to a config and a layer, each named by the SHA-256 of its bytes."""
    out = packed(tmp_path)
    [manifest] = json.loads(member(out, "manifest.json"))
    assert manifest["RepoTags"] == ["wanbound/test:1"]
    config_bytes = member(out, manifest["Config"])
    assert manifest["Config"] == hashlib.sha256(config_bytes).hexdigest() + ".json"
    [layer_name] = manifest["Layers"]
    digest = hashlib.sha256(member(out, layer_name)).hexdigest()
    assert layer_name == f"{digest}.tar"
    assert json.loads(config_bytes)["rootfs"] == {
        "type": "layers",
        "diff_ids": [f"sha256:{digest}"],
    }


def test_config_says_how_the_image_runs(tmp_path: Path) -> None:
    """The config has entry point, command, port, user and architecture, and no time."""
    out = packed(tmp_path)
    [manifest] = json.loads(member(out, "manifest.json"))
    config = json.loads(member(out, manifest["Config"]))
    assert config["architecture"] == "amd64"
    assert config["os"] == "linux"
    assert config["created"] == "1970-01-01T00:00:00Z"
    assert config["config"]["Entrypoint"] == ["/usr/local/bin/program"]
    assert config["config"]["Cmd"] == ["serve"]
    assert config["config"]["ExposedPorts"] == {"80/tcp": {}}
    assert config["config"]["User"] == "65534:65534"


def test_layer_holds_parents_first_and_no_names_of_users(tmp_path: Path) -> None:
    """Folders come before their contents; owner, times and order are fixed."""
    out = packed(tmp_path)
    [manifest] = json.loads(member(out, "manifest.json"))
    layer = tmp_path / "layer.tar"
    layer.write_bytes(member(out, manifest["Layers"][0]))
    with tarfile.open(layer) as tar:
        members = tar.getmembers()
    assert [(m.name, oct(m.mode), m.type) for m in members] == [
        ("bin", "0o755", tarfile.DIRTYPE),
        ("bin/sh", "0o777", tarfile.SYMTYPE),
        ("etc", "0o755", tarfile.DIRTYPE),
        ("etc/passwd", "0o644", tarfile.REGTYPE),
        ("tmp", "0o1777", tarfile.DIRTYPE),
        ("usr", "0o755", tarfile.DIRTYPE),
        ("usr/local", "0o755", tarfile.DIRTYPE),
        ("usr/local/bin", "0o755", tarfile.DIRTYPE),
        ("usr/local/bin/program", "0o755", tarfile.REGTYPE),
    ]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    assert member(layer, "usr/local/bin/program") == PROGRAM


def test_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    """The order of entries and the date, mode or path of a source file do not matter."""
    archives = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = folder / f"program-{number}"
        source.write_bytes(PROGRAM)
        source.chmod(0o600 + number)
        program = File("/usr/local/bin/program", source, 0o755)
        entries = [program, *ENTRIES[1:]]
        archives.append(packed(folder, Image(tuple(entries[:: -1 if number == 2 else 1]))))
    assert archives[0].read_bytes() == archives[1].read_bytes()


@pytest.mark.parametrize(
    ("entries", "wrong"),
    [
        ((File("etc/passwd", b""),), "'etc/passwd' must be an absolute path"),
        ((File("/etc/../passwd", b""),), "without '..'"),
        ((File("/a", b""), Folder("/a")), "'/a' is named twice"),
    ],
)
def test_wrong_paths_are_refused(entries: tuple[Entry, ...], wrong: str) -> None:
    """A path must be absolute, plain and named once."""
    with pytest.raises(ValueError, match=wrong):
        with_parents(entries)


def test_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    """An archive is replaced as a whole or not at all, and temporary files are removed."""
    out = packed(tmp_path)
    before = out.read_bytes()
    with pytest.raises(FileNotFoundError):
        packed(tmp_path, Image((File("/program", tmp_path / "missing"),)))
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.lab
def test_skopeo_reads_it_as_docker_schema_2(tmp_path: Path) -> None:
    """The program that pushes the archive accepts it, and its manifest suits every engine."""
    packages.install(Settings())
    out = packed(tmp_path)
    argv = ["skopeo", "--insecure-policy", "copy", "--quiet"]
    argv += [f"docker-archive:{out}", f"dir:{tmp_path / 'copy'}"]
    subprocess.run(argv, check=True, timeout=60, capture_output=True)
    manifest = json.loads((tmp_path / "copy" / "manifest.json").read_bytes())
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert len(manifest["layers"]) == 1
