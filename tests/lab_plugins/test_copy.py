"""What CopyToRemote copies where, with a folder of this machine as the host."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path

import pytest

from lab.plugins.command.copy import _copy
from lab.plugins.values import ASSET, PluginError, Properties


class LocalSftp:
    """The few calls of an SFTP session, on this machine's files."""

    def stat(self, path: str) -> object:
        """Return what `os.stat` returns."""
        return Path(path).stat()

    def mkdir(self, path: str) -> None:
        """Make one folder."""
        Path(path).mkdir()

    def put(self, source: str, target: str) -> None:
        """Copy one file."""
        shutil.copyfile(source, target)

    def putfo(self, source: BytesIO, target: str) -> None:
        """Write one file."""
        Path(target).write_bytes(source.read())


def path_of(source: Path, end: str = "") -> Properties:
    """Return the asset or archive of a path."""
    return {ASSET: "sig", "hash": "1", "path": f"{source}{end}"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a folder with a file and a folder in it."""
    folder = tmp_path / "from"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "sub" / "b").write_text("b")
    (tmp_path / "there").mkdir()
    return folder


@pytest.mark.parametrize(
    ("what", "end", "target", "expected"),
    [
        ("", "", "there", ["from/a", "from/sub/b"]),
        ("", "", "there/new", ["new/from/a", "new/from/sub/b"]),
        ("", "/", "there", ["a", "sub/b"]),
        ("a", "", "there", ["a"]),
        ("a", "", "there/c", ["c"]),
    ],
)
def test_where_a_path_goes(
    source: Path, tmp_path: Path, what: str, end: str, target: str, expected: list[str]
) -> None:
    """A folder with a slash at its end is its content; a file goes into a folder that is there."""
    _copy(LocalSftp(), path_of(source / what, end), str(tmp_path / target))
    there = tmp_path / "there"
    assert sorted(str(f.relative_to(there)) for f in there.rglob("*") if f.is_file()) == expected


def test_a_text_needs_a_file_to_go_to(source: Path, tmp_path: Path) -> None:
    """It has no name of its own."""
    text: Properties = {ASSET: "sig", "hash": "1", "text": "hello"}
    _copy(LocalSftp(), text, str(tmp_path / "there" / "t"))
    assert (tmp_path / "there" / "t").read_text() == "hello"
    with pytest.raises(PluginError, match="is a directory"):
        _copy(LocalSftp(), text, str(tmp_path / "there"))


def test_a_folder_does_not_overwrite_a_file(source: Path, tmp_path: Path) -> None:
    """The message names the path."""
    (tmp_path / "there" / "from").write_text("")
    with pytest.raises(PluginError, match="there/from exists but is not a directory"):
        _copy(LocalSftp(), path_of(source), str(tmp_path / "there"))
