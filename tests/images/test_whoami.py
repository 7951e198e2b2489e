"""The Go program images/whoami: its tests, its format, and that its two builds agree."""

import re
from pathlib import Path

from lab.images.recipes import GoRecipe, all_recipes
from tests.go_module import check_go_module

MODULE = Path(__file__).resolve().parents[2] / "images" / "whoami"


def test_module_passes_its_own_checks() -> None:
    """Its tests, `go vet`, and gofmt's format."""
    check_go_module(MODULE)


def test_lab_builds_what_the_dockerfile_says() -> None:
    """The lab's image, built without Docker, has the Dockerfile's flags, user, port, commands."""
    [recipe] = [r for r in all_recipes() if r.name == "wanbound/whoami:1"]
    assert isinstance(recipe, GoRecipe)
    text = (MODULE / "Dockerfile").read_text()
    said = dict(re.findall(r"^(USER|EXPOSE|ENTRYPOINT|CMD) (.*)$", text, re.MULTILINE))
    assert said == {
        "USER": recipe.user,
        "EXPOSE": recipe.expose[0].removesuffix("/tcp"),
        "ENTRYPOINT": f'["/{recipe.binary}"]',
        "CMD": f'["{recipe.command[0]}"]',
    }
    build = 'CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -buildid="'
    assert build in text
