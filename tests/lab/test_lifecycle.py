"""Which hosts `prepare` and `up` decide on, beside a lab that is already up."""

from pathlib import Path

import pytest

from lab import docker29, lifecycle, packages, registry, roots
from lab.errors import LabError
from lab.settings import Settings


@pytest.fixture
def demo(tmp_path: Path) -> Settings:
    """Settings of a lab whose two hosts are up."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "hosts").write_text("edge-1=bookworm,edge-2=forky\n")
    return Settings(state=tmp_path / "state", cache=tmp_path / "cache", prefix="wbu")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roots that would be built; nothing else is installed, built or pulled."""
    names: list[str] = []
    monkeypatch.setattr(packages, "install", lambda lab: None)
    monkeypatch.setattr(docker29, "binaries", lambda lab: names.append("Docker 29"))
    monkeypatch.setattr(registry, "images", lambda lab: {})
    monkeypatch.setattr(roots, "root", lambda lab, name: names.append(name))
    return names


def test_hosts_of_another_lab_are_prepared_while_the_demo_is_up(
    demo: Settings, built: list[str]
) -> None:
    """`make test` after `make demo`: the numbers may be the same, as no host joins this lab."""
    lifecycle.prepare(demo, "test-1=bookworm,test-2=forky+29,test-3=bookworm+bare")
    assert built == ["bookworm", "forky", "bookworm+bare", "Docker 29"]


def test_without_names_the_hosts_that_are_up_are_prepared(demo: Settings, built: list[str]) -> None:
    """So that `prepare` before `up` builds what `up` needs."""
    lifecycle.prepare(demo)
    assert built == ["bookworm", "forky"]


def test_a_host_with_a_number_that_is_taken_cannot_join(demo: Settings, built: list[str]) -> None:
    """Nothing is built for it."""
    with pytest.raises(LabError, match="number"):
        lifecycle.up(demo, "test-1=bookworm")
    assert built == []
