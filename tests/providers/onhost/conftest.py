"""A host for each test, under both shells that a Debian host may have."""

import os
from collections.abc import Iterator

import pytest

from tests.providers.onhost.box import SHELLS, Box, box


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest) -> Iterator[Box]:
    """A host without wanbound."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the script runs in network and mount namespaces of its own")
    with box(request.param) as made:
        yield made
