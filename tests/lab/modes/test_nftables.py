"""Every mode again, on hosts in nftables beside engines in iptables."""

from collections.abc import Iterator

import pytest

from lab.api import Lab
from lab.stacks import LabStack
from tests.lab.modes.networks import OUT, config
from tests.lab.modes.test_modes import (
    Moded,
    goes_out_alone,
    nothing_gets_out_after,
    test_a_further_address_leads_in_and_not_out,
    test_docker_publishes_on_the_public_addresses,
    test_each_port_has_its_container,
    test_nothing_changes_when_nothing_changed,
    test_published_ports_are_there_after_a_reboot,
)

__all__ = [
    "test_a_further_address_leads_in_and_not_out",
    "test_docker_publishes_on_the_public_addresses",
    "test_each_port_has_its_container",
    "test_nothing_changes_when_nothing_changed",
    "test_published_ports_are_there_after_a_reboot",
]

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def moded(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moded]:
    """One stack for all tests, including those of test_modes.py."""
    wanted = config(lab, "nftables")
    stack = LabStack.copy(lab, "modes-nft", wanted, tmp_path_factory.mktemp("modes-nft"))
    try:
        stack.up()
        yield Moded(lab, stack)
    finally:
        stack.destroy()


def test_a_subnet_of_dockers_choice_is_found_by_its_bridge(moded: Moded) -> None:
    """The host's lines do not have the subnet; the network leaves only with its address."""
    for host, place in moded.places:
        public = place.ipv4(OUT)
        assert (
            f'oifname != "bridge-coi" snat ip to {public}'
            in host.run("nft list chain inet wanbound snat-bridge-coi").stdout
        )
        assert "NAT" not in host.run("iptables-save | grep WANBOUND || true").stdout
        goes_out_alone(moded.lab, host, public)


@pytest.mark.parametrize(("network", "container"), [("bridge-coi", "coi"), ("many", "front")])
def test_without_rules_nothing_gets_out(moded: Moded, network: str, container: str) -> None:
    """No packet with another source leaves: the guard in the same table does not need the rules."""
    flush = f"nft flush chain inet wanbound snat-{network}"
    nothing_gets_out_after(flush, moded, network, container)
