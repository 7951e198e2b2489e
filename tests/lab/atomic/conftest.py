"""An SSH agent with the operator's key for every test here, and hosts in their initial state."""

from collections.abc import Iterator

import pytest

from lab.api import Lab


@pytest.fixture(scope="package", autouse=True)
def agent(request: pytest.FixtureRequest) -> Iterator[None]:
    """Point SSH_AUTH_SOCK at an agent with the operator's key."""
    if not any(item.get_closest_marker("lab") for item in request.session.items):
        yield
        return
    lab: Lab = request.getfixturevalue("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
        yield
