"""A host with nftables: what is loaded and printed, what it needs, and switching both ways."""

import sys
from collections.abc import Callable

import pytest

from providers.host.generation import compose
from tests.planner import golden
from tests.providers.onhost.box import DASH, Box
from tests.providers.onhost.generations import files, plan_of
from tests.providers.onhost.test_kill import STRIDE, Killer
from tests.providers.onhost.test_mark import FAMILIES, OUTSIDE, PUBLIC, Stage, stage

__all__ = ["stage"]

TOOLS = ("iptables", "ip6tables")
ACCEPT = "-A WANBOUND-FORWARD -m mark --mark 0x2000000/0x2000000 -j ACCEPT"
PORTS = (9100, 9101, 2222)
"""Ports open for all, for no source, and for SSH."""

LISTENS = f"""\
import signal, socket
kept = []
for port in {PORTS}:
    kept.append(socket.create_server(("", port)))
signal.pause()
"""
ASKS = """\
import socket, sys
try:
    socket.create_connection(("203.0.113.101", int(sys.argv[2])), 3, (sys.argv[1], 0))
    print("reached")
except OSError:
    print("nothing")
"""
DROPPING = "{tool} -N DOCKER-USER; {tool} -A FORWARD -j DOCKER-USER; {tool} -P FORWARD DROP"


def _ours(host: Box, tool: str) -> list[str]:
    """Return all lines of iptables that belong to wanbound."""
    saved = host.out(f"{tool}-save")
    return [line.split(" [")[0] for line in saved.splitlines() if "WANBOUND" in line]


def _listed(host: Box) -> list[str]:
    """Return the lines of the table, with each map element on its own line."""
    text = host.out("nft -s list table inet wanbound")
    text = text.replace("elements = { ", "\n").replace(", ", ",\n").replace(" }\n", "\n")
    return [line.strip().removesuffix(",") for line in text.splitlines()]


@pytest.mark.parametrize("case", golden.cases())
def test_every_line_is_as_nft_prints_it(host: Box, case: str) -> None:
    """In every case, the preview shows what `nft list table inet wanbound` prints."""
    composed = compose(plan_of(case, firewall="nftables"))
    (host.root / "mnt/guard.nft").write_text(composed.files["guard.nft"])
    host.out("nft -f /mnt/guard.nft")
    listed = host.out("nft -s list table inet wanbound")
    lines = [line.strip() for line in listed.splitlines()]
    elements = set(_listed(host))
    for rules in composed.guard.values():
        assert [rule.text for rule in rules if rule.text not in lines] == []
    for each in composed.elements.values():
        assert [element.text for element in each if element.text not in elements] == []
    assert sorted(key for key in composed.chains if key[2] != "WANBOUND-FORWARD") == []


def test_nothing_of_iptables_is_needed(host: Box) -> None:
    """No rule or program of iptables is used: everything is in one transaction of nft."""
    host.out(
        # The targets of the links behind Debian's commands.
        "rm /etc/alternatives/ip*tables*\n"
        "! command -v iptables-save ip6tables-save iptables-restore ip6tables-restore"
    )
    host.deploy(files("nftables"), "a1")
    assert "nat-prerouting" in host.out("nft list table inet wanbound")
    assert host.run("mend").err == ""
    host.out("nft flush chain inet wanbound dnat-mail")
    assert "repairing what differs from what was loaded: guard" in host.run("mend").err
    assert "dnat ip to 172.20.0.254" in host.out("nft list chain inet wanbound dnat-mail")


def test_beside_docker_in_iptables_one_accept_is_left(host: Box) -> None:
    """One per family that iptables filters; it comes and goes with Docker's rules."""
    host.deploy(files("nftables"), "a1")
    assert [_ours(host, tool) for tool in TOOLS] == [[], []]
    host.out(DROPPING.format(tool="iptables"))
    assert "repairing" in host.run("mend").err
    assert _ours(host, "iptables") == [
        ":WANBOUND-FORWARD -",
        "-A DOCKER-USER -j WANBOUND-FORWARD",
        ACCEPT,
    ]
    assert _ours(host, "ip6tables") == []
    assert host.run("mend").err == ""
    host.out("ip6tables -P FORWARD DROP")
    assert "repairing" in host.run("mend").err
    assert "-A FORWARD -j WANBOUND-FORWARD" in _ours(host, "ip6tables")
    host.out("iptables -D FORWARD -j DOCKER-USER; iptables -P FORWARD ACCEPT")
    assert "repairing" in host.run("mend").err
    assert _ours(host, "iptables") == []
    assert host.run("mend").err == ""


def test_docker_that_starts_during_the_load_gets_its_accept(host: Box) -> None:
    """Rules composed before Docker had any do not count as correct afterwards."""
    host.deploy(files("nftables"), "a1")
    host.shim(
        "conntrack",
        f"[ -e /mnt/started ] || {{ {DROPPING.format(tool='iptables')}; : >/mnt/started; }}\n"
        'exec "$real" "$@"',
    )
    assert host.run("apply").code == 0
    assert ACCEPT in _ours(host, "iptables")
    assert host.run("mend").err == ""


@pytest.mark.parametrize("case", ["dual-stack", "baseline", "snat-docker"])
def test_from_one_dialect_to_the_other_and_back(host: Box, case: str) -> None:
    """Each switch is one change that removes the other dialect; its undo restores all of it."""
    iptables = files(case, firewall="iptables")
    nftables = files(case, firewall="nftables")
    host.out(DROPPING.format(tool="iptables"))
    host.deploy(iptables, "a1")
    first = host.kernel
    done = host.change(nftables, "b1")
    assert done.code == 0, done
    second = host.kernel
    assert [line for line in second.splitlines() if "WANBOUND" in line] == [
        ":WANBOUND-FORWARD - ",
        "-A DOCKER-USER -j WANBOUND-FORWARD",
        ACCEPT,
    ]
    assert "nat-postrouting" in second
    host.overdue()
    assert host.run("mend").code == 0
    assert host.kernel == first
    host.deploy(nftables, "c1")
    assert host.kernel == second
    host.reboot()
    assert host.run("apply").code == 0
    assert "nat-postrouting" in host.kernel
    host.deploy(iptables, "d1")
    last = host.kernel
    assert "nat-postrouting" not in last
    assert "-A PREROUTING -j WANBOUND-DNAT" in last or case == "snat-docker"
    assert host.run("mend").err == ""


@pytest.mark.parametrize(("one", "other"), [("iptables", "nftables"), ("nftables", "iptables")])
def test_a_killed_change_of_dialect_is_undone(host: Box, one: str, other: str) -> None:
    """Whichever step was killed, the former dialect is back whole, with no rest of the other."""
    killer = Killer(host)
    killer.at(0)
    host.out(DROPPING.format(tool="iptables"))
    host.deploy(files("dual-stack", firewall=one), "a1")
    before, step = host.kernel, 0
    while True:
        step += STRIDE
        killer.at(step)
        host.change(files("dual-stack", firewall=other), f"b{step:02}")
        killed, did = killer.killed, killer.steps
        killer.at(0)
        if host.armed:
            host.overdue()
        assert host.run("apply").code == 0, did
        assert host.kernel == before, did
        if not killed and len(did) < step:
            break
    assert step > STRIDE


@DASH
@FAMILIES
def test_traffic_is_the_same_in_both(stage: Stage, at: int) -> None:
    """Traffic out, in, and back to the network itself has the public address in both dialects."""
    for token, dialect in (("b1", "nftables"), ("c1", "iptables")):
        stage.host.deploy(files("dual-stack", firewall=dialect), token)
        assert stage.ask("container", OUTSIDE[at]) == PUBLIC[at]
        assert stage.ask("outside", PUBLIC[at], "tcp") == OUTSIDE[at]
        assert stage.silent("stranger", OUTSIDE[at])


@DASH
def test_no_packet_is_lost_or_wrong_on_the_way(stage: Stage) -> None:
    """A change switches and its undo switches back, four times, under a flood of connections."""
    host, nftables = stage.host, files("dual-stack", firewall="nftables")
    with stage.flooded():
        for number in range(4):
            done = host.change(nftables, f"b{number}")
            assert done.code == 0, done
            assert "WANBOUND-SNAT" not in host.out("iptables-save")
            host.overdue()
            done = host.run("mend")
            assert done.code == 0, done
            assert "WANBOUND-SNAT" in host.out("iptables-save")
            assert "nat-postrouting" not in host.out("nft list table inet wanbound")
    assert stage.count("tried") > 1000
    assert (stage.count("tried") - stage.count("left"), stage.count("wrong")) == (0, 0)


@DASH
def test_no_packet_is_lost_or_wrong_while_it_is_loaded(stage: Stage) -> None:
    """The copy of the table translates while the table is replaced."""
    stage.host.deploy(files("dual-stack", firewall="nftables"), "b1")
    with stage.flooded():
        for _ in range(10):
            done = stage.host.run("apply")
            assert done.code == 0, done
    assert stage.count("tried") > 1000
    assert (stage.count("tried") - stage.count("left"), stage.count("wrong")) == (0, 0)


def listening(host: Box) -> Callable[[str, int], bool]:
    """Let the host listen on PORTS; return a test of whether an outside source reaches a port."""
    host.out(
        "ip netns add outside && ip link set wan0-peer netns outside\n"
        "ip -n outside link set wan0-peer up\n"
        "ip -n outside addr add 203.0.113.1/24 dev wan0-peer\n"
        "ip -n outside addr add 198.51.100.7/32 dev wan0-peer\n"
        "ip route replace 198.51.100.7 via 203.0.113.1 dev wan0"
    )
    (host.root / "mnt/listens.py").write_text(LISTENS)
    (host.root / "mnt/asks.py").write_text(ASKS)
    host.out(f"(setsid {sys.executable} /mnt/listens.py >/dev/null 2>&1 &)")

    def reaches(source: str, port: int) -> bool:
        command = f"{sys.executable} /mnt/asks.py {source} {port}"
        return host.out(f"ip netns exec outside {command}") == "reached\n"

    host.out(f'until [ "$(grep -c " 0A " /proc/net/tcp)" = {len(PORTS)} ]; do sleep 0.1; done')
    return reaches


@DASH
def test_what_a_closed_host_lets_in(host: Box) -> None:
    """Without iptables too, only the open ports of the host are reached."""
    host.deploy(files("baseline", firewall="nftables"), "a1")
    reaches = listening(host)
    assert [reaches("203.0.113.1", port) for port in PORTS] == [True, False, False]
    assert [reaches("198.51.100.7", port) for port in PORTS] == [True, False, True]
    assert host.run("mend").err == ""
    host.out("nft flush chain inet wanbound input")
    assert reaches("203.0.113.1", PORTS[1])
    assert "repairing" in host.run("mend").err
    assert not reaches("203.0.113.1", PORTS[1])
