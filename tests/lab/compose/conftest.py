"""The hosts on which the pages are followed, with Docker 28 and with Docker 29."""

from collections.abc import Iterator

import pytest

from lab import lifecycle
from lab.api import Host, Lab

NAME = "test-4"


@pytest.fixture(scope="module", params=["Docker 28", "Docker 29"])
def host(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A bare host with one of the engines. That with Docker 28 exists only for these tests."""
    if request.param == "Docker 29":
        yield list(lab.hosts.values())[1]
        return
    try:
        yield Lab.up(f"{NAME}=forky", lab.settings).host(NAME)
    finally:
        lifecycle.remove_host(lab.settings, NAME)


@pytest.fixture(autouse=True)
def has_the_engine(host: Host, request: pytest.FixtureRequest) -> None:
    """Fail where a test would say more than it shows."""
    assert request.node.callspec.params["host"] == f"Docker {host.docker_version.split('.')[0]}"
