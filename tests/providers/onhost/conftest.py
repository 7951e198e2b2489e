"""A host for each test, under both shells that a Debian host may have."""

from collections.abc import Iterator
from functools import cache

import pytest

from tests.providers.onhost.box import SHELLS, Box, box, missing

_missing = cache(missing)


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest) -> Iterator[Box]:
    """A host without wanbound."""
    if why := _missing():
        pytest.skip(why)
    with box(request.param) as made:
        yield made
