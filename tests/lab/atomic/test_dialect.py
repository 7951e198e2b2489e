"""A host switches from iptables to nftables and back under traffic, without any effect on it."""

import time

import pytest

from lab.api import Host, Lab
from tests.lab.atomic.busy import busy, only_right, reached, streams, tracked, translated
from tests.lab.atomic.drill import RUN_UNDO, Drill
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.plans import Net, plan
from tests.lab.atomic.wired import docker, talking

pytestmark = pytest.mark.lab

NETS = [Net("one", 80), Net("two", 81)]
STATE = {net.name: net for net in NETS}
WAY = ("nftables", "iptables", "nftables", "iptables")
FIRST_PORT = 9600

ACCEPT = "-A WANBOUND-FORWARD -m mark --mark 0x2000000/0x2000000 -j ACCEPT"
OURS = "for tool in iptables ip6tables; do $tool-save | grep WANBOUND; done; true"


def test_a_host_changes_its_dialect_under_traffic(lab: Lab) -> None:
    """Twice there and back, and an undo: no packet has a wrong source, no stream loses one."""
    on_both(lab, lambda host: _there_and_back(lab, host))


def _there_and_back(lab: Lab, host: Host) -> None:
    with busy(lab, host, NETS) as drill:
        _under_traffic(lab, drill)


def _under_traffic(lab: Lab, drill: Drill) -> None:
    host = drill.host
    port = FIRST_PORT + 100 * list(lab.hosts).index(host.name)
    with streams(lab, host, NETS[0], port) as flowing:
        with only_right(lab, host, [STATE]):
            for firewall in WAY:
                open_ = {entry for net in NETS for entry in translated(tracked(drill), net, host)}
                drill.apply(plan(host, NETS, firewall=firewall))
                _speaks(drill, firewall)
                kept = {entry for entry in open_ if f" dport={port // 100}" in entry}
                assert kept
                assert kept <= tracked(drill)
                reached(lab, host, STATE)
            drill.unconfirmed(plan(host, NETS, firewall="nftables"))
            _speaks(drill, "nftables")
            drill.ask(RUN_UNDO)
            _speaks(drill, "iptables")
            reached(lab, host, STATE)
        for stream in flowing:
            stream.whole()


def _speaks(drill: Drill, firewall: str) -> None:
    """Assert that the other dialect is gone; where Docker uses iptables, one accept rule stays."""
    ours = drill.ask(OURS).splitlines()
    table = drill.ask("nft list table inet wanbound")
    if firewall == "nftables":
        assert "chain nat-postrouting" in table
        rules = [line for line in ours if line.startswith("-A WANBOUND-")]
        assert set(rules) == {ACCEPT}
        assert not any("NAT" in line for line in ours)
    else:
        assert "chain nat-" not in table
        assert sum("-j SNAT" in line for line in ours) == 4 * len(NETS)
    assert "repairing" not in drill.run("/usr/local/sbin/wanbound mend").stderr


def test_a_reboot_loads_the_dialect_that_was_confirmed(lab: Lab) -> None:
    """Before Docker starts, and with the accept rule once Docker's rules are loaded."""
    on_both(lab, lambda host: _reboot(lab, host))


def _reboot(lab: Lab, host: Host) -> None:
    drill = Drill(host)
    with docker(host, NETS, "sleep 99999"):
        drill.apply(plan(host, NETS, firewall="nftables"))
        drill.close()
        host.reboot()
        again = Drill(host)
        again.now = drill.now
        _speaks(again, "nftables")
        with only_right(lab, host, [STATE]), talking(lab, host, NETS):
            time.sleep(3)
    again.apply(None)
    again.close()
