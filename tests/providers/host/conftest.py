"""The host behind the provider."""

import pytest

from tests.providers.host.site import Site


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """A host with Docker and nothing of wanbound."""
    return Site(monkeypatch)


@pytest.fixture
def up(site: Site) -> Site:
    """The same host with the networks of stack.yaml, after an `up`."""
    site.up()
    return site
