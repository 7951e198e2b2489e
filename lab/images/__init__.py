"""The container images of the lab, made without Docker and served by the lab's registry."""

import hashlib
import platform
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from lab.images.archive import write_archive
from lab.images.recipes import HERE, ImageError, Recipe, all_recipes

__all__ = ["PACKAGES", "ImageError", "build", "build_all", "key", "probe_program"]

#: Debian packages of the building machine that go into images.
PACKAGES = ("busybox-static", "ca-certificates")

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def build_all(cache: Path, say: Callable[[str], None] = lambda line: None) -> dict[str, Path]:
    """Build what is missing below `cache`/images; return image name → docker-archive tar.

    Push each with `skopeo copy docker-archive:PATH docker://REGISTRY/NAME` (names without a
    slash go below `library/`, as on Docker Hub). `say` gets a line before each real build.
    Raises ImageError.
    """
    return {recipe.name: build(recipe, cache, say) for recipe in all_recipes()}


def build(recipe: Recipe, cache: Path, say: Callable[[str], None] = lambda line: None) -> Path:
    """Return the docker-archive of one recipe: from the cache, or built and put there whole."""
    folder = cache / "images"
    slug = recipe.name.replace("/", "-").replace(":", "-")
    out = folder / f"{slug}-{key(recipe)}.tar"
    if out.exists():
        return out
    say(f"building image {recipe.name}")
    folder.mkdir(parents=True, exist_ok=True)
    # Work beside the result and rename it at the end; two builders at a time are safe.
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{slug}-") as name:
        work = Path(name)
        (work / "files").mkdir()
        image = recipe.build(work / "files")
        write_archive(recipe.name, image, architecture(), work / out.name)
        (work / out.name).replace(out)
    return out


def probe_program(cache: Path, say: Callable[[str], None] = lambda line: None) -> Path:
    """The program of wanbound/probe:1 as a file of this machine, for the internet namespace."""
    [recipe] = [found for found in all_recipes() if found.name == "wanbound/probe:1"]
    out = cache / "images" / f"probe-{key(recipe)}"
    if out.exists():
        return out
    say("building the probe")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".probe-") as name:
        recipe.build(Path(name))
        (Path(name) / "probe").replace(out)
    return out


def key(recipe: Recipe) -> str:
    """A short digest of all that the image's bytes depend on: its sources and the packer."""
    packer = (path.read_bytes() for path in sorted(HERE.glob("*.py")))
    return _digest([architecture().encode(), *packer, *recipe.sources()])


def architecture() -> str:
    """The machine's architecture in Docker's words."""
    try:
        return _ARCHITECTURES[platform.machine()]
    except KeyError:
        known = ", ".join(_ARCHITECTURES)
        raise ImageError(f"no lab images for {platform.machine()}; known: {known}") from None


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        # With lengths, so that moving bytes between parts changes the key.
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]
