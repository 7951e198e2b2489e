"""The check at the end of `up`, and what the guard does if a source is wrong."""

import pytest

from lab.api import Packet
from lab.settings import ECHO_IPV4
from tests.lab.stack.configs import network
from tests.lab.stack.deployed import Deployed

pytestmark = pytest.mark.lab

# A foreign translation before wanbound's, which iptables then never sees.
SABOTAGE = """
table ip sabotage {
    chain post {
        type nat hook postrouting priority 90; policy accept;
        oifname "wan0" ip saddr 172.16.0.0/24 counter snat to %s
    }
}
"""


def test_up_fails_where_a_network_would_leave_with_another_address(deployed: Deployed) -> None:
    """No packet with the wrong source gets out, and the check reports a missing answer."""
    changed = deployed.changed()
    for number, last in ((1, 71), (2, 171)):
        network(changed, number, "web")["public_ipv4"] = f"203.0.113.{last}"
    deployed.stack.configure(changed)
    hosts = list(deployed.lab.hosts.values())
    translated = []
    try:
        for host in hosts:
            host.run("nft -f -", stdin=SABOTAGE % host.wan_ipv4)
        with deployed.lab.internet.capture(f"dst host {ECHO_IPV4}") as capture:
            done = deployed.stack.up("--continue-on-error", check=False)
    finally:
        for host in hosts:
            translated.append(host.run("nft list table ip sabotage").stdout)
            host.run("nft delete table ip sabotage")
        deployed.back()
    print(done.output)
    assert done.status != 0
    for host, listed in zip(hosts, translated, strict=True):
        unknown = "wanbound:echo.ipv4 gives its containers no address"
        assert f"host {host.name}, network web: {unknown}" in done.output
        assert "counter packets 0 " not in listed, "the sabotage does nothing"
        assert not _from(capture.packets, host.wan_ipv4), "the guard let a wrong source out"


def _from(packets: list[Packet], source: str) -> list[Packet]:
    return [packet for packet in packets if packet.src == source]
