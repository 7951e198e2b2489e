"""The cache of images: what changes the key, and that an image is complete or absent."""

import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.images import build, key
from lab.images.archive import File, Image
from lab.images.recipes import ImageError


@dataclass
class Fake:
    """A recipe of one file."""

    name: str = "wanbound/fake:1"
    parts: tuple[bytes, ...] = (b"one",)
    fails: bool = False
    built: list[Path] = field(default_factory=list)

    def sources(self) -> Iterator[bytes]:
        """The input of the key."""
        yield from self.parts

    def build(self, work: Path) -> Image:
        """Return an image with a file below `work`, as a compiler would write it."""
        self.built.append(work)
        (work / "program").write_bytes(b"".join(self.parts))
        if self.fails:
            raise ImageError("the compiler is unwell")
        return Image((File("/program", work / "program", 0o755),), entrypoint=("/program",))


def test_image_is_built_once(tmp_path: Path) -> None:
    """The second call finds the archive and prints nothing."""
    fake, said = Fake(), list[str]()
    first = build(fake, tmp_path, said.append)
    assert build(fake, tmp_path, said.append) == first
    assert len(fake.built) == 1
    assert said == ["building image wanbound/fake:1"]
    assert first.parent == tmp_path / "images"
    with tarfile.open(first) as tar:
        stream = tar.extractfile("manifest.json")
        assert stream is not None
        assert json.loads(stream.read())[0]["RepoTags"] == ["wanbound/fake:1"]


def test_only_the_archive_stays(tmp_path: Path) -> None:
    """Work folders are removed, also after a failure, which leaves no archive either."""
    with pytest.raises(ImageError, match="unwell"):
        build(Fake(fails=True), tmp_path)
    assert list((tmp_path / "images").iterdir()) == []
    out = build(Fake(), tmp_path)
    assert list((tmp_path / "images").iterdir()) == [out]


def test_changed_sources_make_another_image(tmp_path: Path) -> None:
    """Each set of sources has its own file; older ones stay for other checkouts."""
    old, new = build(Fake(), tmp_path), build(Fake(parts=(b"two",)), tmp_path)
    assert old != new
    assert old.exists()


def test_key_tells_where_one_source_ends() -> None:
    """The same bytes split differently are other sources."""
    assert key(Fake(parts=(b"ab", b"c"))) != key(Fake(parts=(b"a", b"bc")))
    assert key(Fake(parts=(b"ab", b"c"))) == key(Fake(parts=(b"ab", b"c")))


def test_builders_at_a_time_do_not_meet(tmp_path: Path) -> None:
    """Each works in its own folder, and the last rename wins with the same bytes."""
    with ThreadPoolExecutor(4) as pool:
        outs = list(pool.map(lambda _: build(Fake(), tmp_path), range(8)))
    assert len(set(outs)) == 1
    assert list((tmp_path / "images").iterdir()) == [outs[0]]
