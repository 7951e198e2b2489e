"""How ufw and firewalld act beside wanbound, with rules where these programs put them.

docs/other-firewalls.md says the same in words; tests/lab/base asks the real programs.
"""

import pytest

from tests.providers.onhost.box import DASH, Box
from tests.providers.onhost.generations import files
from tests.providers.onhost.test_mark import FAMILIES, OUTSIDE, PUBLIC, Stage, stage
from tests.providers.onhost.test_nftables import PORTS, listening

__all__ = ["stage"]  # the fixture

pytestmark = DASH

HOST = ("203.0.113.101", "2001:db8::101")

UFW = """\
{tool} -N ufw-user-input && {tool} -A INPUT -j ufw-user-input
{tool} -A ufw-user-input -p tcp --dport 80 -j DROP
{tool} -N ufw-user-forward && {tool} -A FORWARD -j ufw-user-forward
{tool} -A ufw-user-forward -p tcp --dport 80 -j DROP
{tool} -P FORWARD DROP
"""
"""`ufw deny 80/tcp`, `ufw route deny 80/tcp`, and ufw's default for forwarded packets."""

ALLOWED = """\
iptables -N ufw-user-input && iptables -A INPUT -j ufw-user-input
iptables -A ufw-user-input -p tcp --dport {port} -j ACCEPT
iptables -P INPUT DROP
"""
"""`ufw allow PORT/tcp`, and ufw's default for incoming packets."""

FIREWALLD = """\
nft -f - <<'NFT'
table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        reject with icmpx admin-prohibited
    }
}
NFT
"""
"""firewalld's chain for forwarded packets, without a zone that has the network's bridge."""


FIREWALLD_INPUT = """\
nft -f - <<'NFT'
table inet firewalld {{
    chain filter_INPUT {{
        type filter hook input priority filter + 10; policy accept;
        ct state {{ established, related }} accept
        tcp dport {port} accept
        reject with icmpx admin-prohibited
    }}
}}
NFT
"""
"""firewalld's chain for incoming packets, with one port open in the zone."""


@FAMILIES
def test_ufw_deny_does_not_reach_translated_traffic(stage: Stage, at: int) -> None:
    """It applies to the host's own ports; forwarded packets pass our accept before ufw's chains."""
    tool = ("iptables", "ip6tables")[at]
    stage.host.out(UFW.format(tool=tool))
    assert stage.ask("outside", PUBLIC[at], "tcp") == OUTSIDE[at]
    assert stage.ask("container", OUTSIDE[at]) == PUBLIC[at]
    # The rule is for the host's own port: dropped, unlike the rejection of a port without a server.
    counted = stage.host.out(f"{tool} -nvxL ufw-user-input").splitlines()[2]
    assert counted.split()[0] == "0"
    assert stage.silent("outside", HOST[at], "tcp")
    counted = stage.host.out(f"{tool} -nvxL ufw-user-input").splitlines()[2]
    assert int(counted.split()[0]) > 0


@FAMILIES
def test_a_drop_in_raw_prerouting_does(stage: Stage, at: int) -> None:
    """There the packet's destination is still the public address. Other packets pass."""
    tool = ("iptables", "ip6tables")[at]
    assert stage.ask("outside", PUBLIC[at], "tcp") == OUTSIDE[at]
    stage.host.out(f"{tool} -t raw -A PREROUTING -d {PUBLIC[at]} -p tcp --dport 80 -j DROP")
    assert stage.silent("outside", PUBLIC[at], "tcp")
    assert stage.ask("container", OUTSIDE[at]) == PUBLIC[at]


@FAMILIES
def test_firewalld_lets_in_what_is_translated_and_nothing_out(stage: Stage, at: int) -> None:
    """Its own chain comes later, so our accept does not count there, only firewalld's zones do."""
    stage.host.out(FIREWALLD)
    assert stage.ask("outside", PUBLIC[at], "tcp") == OUTSIDE[at]
    assert stage.silent("container", OUTSIDE[at])
    stage.host.out("nft insert rule inet firewalld filter_FORWARD iifname mail accept")
    assert stage.ask("container", OUTSIDE[at]) == PUBLIC[at]


@pytest.mark.parametrize(
    ("firewall", "reached"),
    [("iptables", [True, True, False]), ("nftables", [False, False, False])],
)
def test_ufw_allow_of_a_closed_host(host: Box, firewall: str, reached: list[bool]) -> None:
    """With iptables one accept is enough; with nftables a port needs both."""
    opened, closed, _ = PORTS
    host.out(ALLOWED.format(port=closed))
    host.deploy(files("baseline", firewall=firewall), "a1")
    reaches = listening(host)
    assert [reaches("203.0.113.1", port) for port in PORTS] == reached
    host.out(f"iptables -A ufw-user-input -p tcp --dport {opened} -j ACCEPT")
    assert reaches("203.0.113.1", opened)


@pytest.mark.parametrize("firewall", ["iptables", "nftables"])
def test_firewalld_on_a_closed_host(host: Box, firewall: str) -> None:
    """A port needs both accepts: firewalld may reject what wanbound accepts, and vice versa."""
    opened, closed, _ = PORTS
    host.out(FIREWALLD_INPUT.format(port=closed))
    host.deploy(files("baseline", firewall=firewall), "a1")
    reaches = listening(host)
    assert not any(reaches("203.0.113.1", port) for port in PORTS)
    host.out(f"nft insert rule inet firewalld filter_INPUT tcp dport {opened} accept")
    assert reaches("203.0.113.1", opened)


@pytest.mark.parametrize("setter", ["iptables -F ufw-user-forward", "iptables -P FORWARD ACCEPT"])
def test_the_watcher_leaves_their_rules_alone(stage: Stage, setter: str) -> None:
    """A change of another firewall's rules is not a difference from the loaded state."""
    stage.host.out(UFW.format(tool="iptables"))
    stage.host.out(FIREWALLD)
    stage.host.out(setter)
    done = stage.host.run("mend")
    assert (done.code, done.err) == (0, "")
