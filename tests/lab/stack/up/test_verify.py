"""The check at the end of `up`, and what the guard does where something is wrong."""

from collections.abc import Iterator

import pytest

from lab.api import Packet
from lab.settings import ECHO_IPV4
from lab.stacks import Config
from tests.lab.stack.configs import network
from tests.lab.stack.deployed import Deployed

pytestmark = pytest.mark.lab

GUARDED, UNGUARDED = "test-1", "test-2"


@pytest.fixture(scope="module")
def half_guarded(deployed: Deployed) -> Iterator[Config]:
    """The stack with `guard: false` on the second host; with the guard on both afterwards."""
    changed = _half_guarded(deployed)
    deployed.stack.configure(changed)
    try:
        deployed.stack.up()
        yield changed
    finally:
        deployed.back()


def test_without_guard_the_matrix_passes_too(deployed: Deployed, half_guarded: Config) -> None:
    """Where nftables cannot be had, the rules alone do all that a host in order needs."""
    assert "wanbound" not in deployed.lab.host(UNGUARDED).run("nft list tables").stdout
    assert "inet wanbound" in deployed.lab.host(GUARDED).run("nft list tables").stdout
    assert [str(r) for r in deployed.results(half_guarded) if not r.ok] == []


# Somebody else's translation, before ours: iptables sees only what comes after it.
SABOTAGE = """
table ip sabotage {
    chain post {
        type nat hook postrouting priority 90; policy accept;
        oifname "wan0" ip saddr 172.16.0.0/24 snat to %s
    }
}
"""


def test_up_fails_where_a_network_leaves_with_another_address(
    deployed: Deployed, half_guarded: Config
) -> None:
    """Unguarded it says with which; guarded not one such packet got out, and it says that."""
    changed = _half_guarded(deployed)
    for number, last in ((1, 71), (2, 171)):
        network(changed, number, "web")["public_ipv4"] = f"203.0.113.{last}"
    deployed.stack.configure(changed)
    hosts = list(deployed.lab.hosts.values())
    try:
        for host in hosts:
            host.run("nft -f -", stdin=SABOTAGE % host.wan_ipv4)
        with deployed.lab.internet.capture(f"dst host {ECHO_IPV4}") as capture:
            done = deployed.stack.up("--continue-on-error", check=False)
    finally:
        for host in hosts:
            host.run("nft delete table ip sabotage")
    print(done.output)
    assert done.status != 0
    assert (
        f"ipv4: this network leaves with {hosts[1].wan_ipv4},"
        " but its declared public address is 203.0.113.171"
    ) in done.output
    assert f"ipv4: this network does not reach http://{ECHO_IPV4}/" in done.output
    assert _from(capture.packets, hosts[1].wan_ipv4), "the sabotage does nothing"
    assert not _from(capture.packets, hosts[0].wan_ipv4), "the guard let a wrong source out"


def _half_guarded(deployed: Deployed) -> Config:
    """Without the network that has no public IPv4 there: that one needs the guard."""
    changed = deployed.changed()
    second = changed["hosts"][1]
    second["guard"] = False
    second["networks"] = [each for each in second["networks"] if "public_ipv4" in each]
    return changed


def _from(packets: list[Packet], source: str) -> list[Packet]:
    return [packet for packet in packets if packet.src == source]
