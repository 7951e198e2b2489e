"""Both hosts with one network loaded, without Pulumi, to test what hosts do by themselves."""

import dataclasses
from collections.abc import Iterator, Sequence

import pytest

from lab.api import Host, Lab
from tests.lab.onhost.repair import RESTART_DOCKER, plan
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
    """Return the host's state without docker0's own address, which its first container adds.

    A reboot removes that address. Docker's rules are in another order after a restart of Docker
    than after a boot.
    """
    host.run(RESTART_DOCKER, timeout=120)
    found = snapshot(host)
    lines = [line for line in found.addresses.splitlines() if not line.startswith("docker0 ")]
    return dataclasses.replace(found, addresses="\n".join(lines))
