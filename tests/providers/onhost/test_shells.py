"""Both shells load the same into the kernel, so that one is enough where packets are tested."""

import pytest

from tests.providers.onhost.box import SHELLS, box
from tests.providers.onhost.generations import files

CASES = ["dual-stack", "baseline", "edge", "ingress-from", "several-networks", "snat-docker"]


@pytest.mark.parametrize("firewall", ["iptables", "nftables"])
@pytest.mark.parametrize("case", CASES)
def test_both_load_the_same(case: str, firewall: str) -> None:
    """Rules, guard, addresses, routes and parameters, as the kernel prints them."""
    kernels = []
    for shell in SHELLS:
        with box(shell) as host:
            host.deploy(files(case, firewall=firewall), "a1")
            # A link's own address is made of its random hardware address.
            lines = [line for line in host.kernel.splitlines() if "inet6 fe80:" not in line]
            kernels.append(lines)
    assert "table inet wanbound {" in kernels[0]
    assert kernels[0] == kernels[1]
