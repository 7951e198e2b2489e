"""The operator's key for every test of this folder, and hosts in the state where tests begin."""

from collections.abc import Iterator

import pytest

from lab.api import Lab


@pytest.fixture(scope="package", autouse=True)
def agent(request: pytest.FixtureRequest) -> Iterator[None]:
    """The key is where an operator has it."""
    if not any(item.get_closest_marker("lab") for item in request.session.items):
        yield
        return
    lab: Lab = request.getfixturevalue("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
        yield
