"""One stack on both hosts for all tests of this folder: every `up` takes half a minute."""

from collections.abc import Iterator

import pytest

from lab.api import Lab
from lab.stacks import LabStack
from tests.lab.stack.configs import add_listed_ports, add_single_families, demo
from tests.lab.stack.deployed import Deployed


@pytest.fixture(scope="package")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The demo's networks, two of a single family and one with listed ports, on both engines."""
    config = demo(lab)
    add_single_families(config)
    add_listed_ports(config)
    stack = LabStack.copy(lab, "deployed", config, tmp_path_factory.mktemp("deployed"))
    try:
        stack.up()
        with pytest.MonkeyPatch.context() as patch:
            # SSH_AUTH_SOCK points at an agent with the operator's key.
            patch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
            yield Deployed(lab, stack, config)
    finally:
        stack.destroy()
