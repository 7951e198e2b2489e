"""Both hosts with one network loaded, without Pulumi, to test what hosts do by themselves."""

from collections.abc import Iterator, Sequence

import pytest

from lab.api import RESTART_DOCKER, Host, Lab
from tests.lab.onhost.repair import plan
from tests.lab.planned import bring, clear
from tests.lab.stack.evidence import Snapshot, snapshot
from tests.lab.together import each


@pytest.fixture(scope="package")
def hosts(lab: Lab) -> Iterator[Sequence[Host]]:
    """Docker 20.10 and 29, with one network and the host's routes; bare again afterwards."""
    found = list(lab.hosts.values())
    with pytest.MonkeyPatch.context() as patch:
        # SSH_AUTH_SOCK points at an agent with the operator's key.
        patch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
        # Tests here reboot, and a reboot also clears what another folder left in memory.
        each(found, Host.reboot)
        bare = each(found, _bare)
        each(found, lambda host: bring(host, plan(host)))
        yield found
        each(found, clear)
        after = each(found, _bare)
    for one, other in zip(bare, after, strict=True):
        assert one == other, one.differences(other)


def _bare(host: Host) -> Snapshot:
    """Return the host's state after a restart of Docker.

    Docker's rules are in another order then than after a boot.
    """
    host.run(RESTART_DOCKER, timeout=120)
    return snapshot(host)
