"""One stack on both hosts for all tests of this folder: bringing it up takes half a minute."""

from collections.abc import Iterator

import pytest

from lab.api import Lab
from tests.lab.security.stage import Stage, staged


@pytest.fixture(scope="package")
def stage(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two networks on each engine, with an attacker in one of them."""
    with staged(lab, tmp_path_factory.mktemp("secured")) as found:
        yield found
