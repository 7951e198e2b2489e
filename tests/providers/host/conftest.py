"""The host behind the provider."""

import pytest

from tests.providers.host.site import Site


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """A host with Docker and nothing of wanbound."""
    return Site(monkeypatch)


@pytest.fixture
def up(site: Site) -> Site:
    """The same with the networks of stack.yaml, as an `up` leaves it."""
    site.up()
    return site
