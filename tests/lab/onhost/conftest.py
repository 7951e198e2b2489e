"""Both hosts with one network loaded, without Pulumi: what they do by themselves is tested."""

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
    """Docker 20.10 and 29, with one network and the host's routes; as bare as before afterwards."""
    found = list(lab.hosts.values())
    with pytest.MonkeyPatch.context() as patch:
        # The key is where an operator has it.
        patch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
        # Tests of this folder do it, and what another folder has left in memory goes with it.
        each(found, Host.reboot)
        bare = each(found, _bare)
        each(found, lambda host: bring(host, plan(host)))
        yield found
        each(found, clear)
        after = each(found, _bare)
    for one, other in zip(bare, after, strict=True):
        assert one == other, one.differences(other)


def _bare(host: Host) -> Snapshot:
    """Return what is there without docker0's own address: it has one from its first container on.

    A reboot in between takes it away. Docker's rules are in another order after a restart of it
    than after a boot.
    """
    host.run(RESTART_DOCKER, timeout=120)
    found = snapshot(host)
    lines = [line for line in found.addresses.splitlines() if not line.startswith("docker0 ")]
    return dataclasses.replace(found, addresses="\n".join(lines))
