"""Hosts with one network loaded over SSH, without Pulumi: what they do by themselves is tested."""

from collections.abc import Iterator

import pytest

from lab.api import Host, Lab
from tests.lab.onhost.repair import NUMBERS
from tests.lab.stack.evidence import snapshot
from tests.lab.stack.test_refusals import connected, target, wanted


@pytest.fixture(scope="module", autouse=True)
def agent(lab: Lab) -> Iterator[None]:
    """The key is where an operator has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
        yield


@pytest.fixture(scope="module", params=["test-1", "test-2"])
def host(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Host]:
    """A host with one network loaded, Docker 20.10 and 28; as bare as before afterwards."""
    found = lab.host(request.param)
    # Docker's rules are in another order after a restart of it than after a boot.
    found.run("systemctl restart docker", timeout=120)
    bare = snapshot(found)
    with connected(target(found)) as seam:
        seam.change({"net": wanted(found, "net", NUMBERS[found.name])}, ())
    yield found
    with connected(target(found)) as seam:
        seam.change({}, ("net",))
    found.run("systemctl restart docker", timeout=120)
    assert snapshot(found).differences(bare) == ""
