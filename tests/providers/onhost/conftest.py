"""A host for each test, under both shells that a Debian host may have."""

from collections.abc import Iterator

import pytest

from tests.providers.onhost.box import SHELLS, Box, box


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest) -> Iterator[Box]:
    """A host without wanbound."""
    with box(request.param) as made:
        yield made
