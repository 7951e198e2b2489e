"""The lab for all tests that need real hosts."""

from collections.abc import Iterator

import pytest

from lab import lifecycle, removal
from lab.api import Lab
from lab.settings import DEFAULT_HOSTS, Settings


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab with the default hosts: the running one, else one that is gone after the tests.

    Fails when it cannot be: a lab test that is skipped shows nothing.
    """
    settings = Settings()
    was_up = bool(lifecycle.specs(settings))
    yield Lab.up(DEFAULT_HOSTS, settings)
    if not was_up:
        with lifecycle.lock(settings):
            removal.down(settings)
