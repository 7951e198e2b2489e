"""Hosts with one network loaded over SSH, without Pulumi: what they do by themselves is tested."""

import dataclasses
from collections.abc import Iterator

import pytest

from lab.api import Host, Lab
from tests.lab.onhost.repair import NUMBERS, RESTART_DOCKER
from tests.lab.stack.evidence import Snapshot, snapshot
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
    found.run(RESTART_DOCKER, timeout=120)
    bare = _settled(found)
    with connected(target(found)) as seam:
        seam.change({"net": wanted(found, "net", NUMBERS[found.name])}, ())
    yield found
    with connected(target(found)) as seam:
        seam.change({}, ("net",))
    found.run(RESTART_DOCKER, timeout=120)
    assert _settled(found).differences(bare) == ""


def _settled(host: Host) -> Snapshot:
    """Return what is there without docker0's own address: it has one from its first container on.

    A reboot in between takes it away.
    """
    found = snapshot(host)
    lines = [line for line in found.addresses.splitlines() if not line.startswith("docker0 ")]
    return dataclasses.replace(found, addresses="\n".join(lines))
