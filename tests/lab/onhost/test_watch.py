"""The watcher repairs flushed or lost state within seconds and without the operator.

Kernel parameters are excluded: the kernel announces no change of them (see watch.sh).
"""

import re
import time

import pytest

from lab.api import RESTART_DOCKER, Host
from lab.steps import wait_until
from tests.lab.onhost.repair import ALLOWED_SECONDS, NUMBERS, repaired
from tests.lab.planned import facts
from tests.lab.together import on_each

pytestmark = pytest.mark.lab

IPV4, IPV6 = "203.0.113.{number}/32", "2001:db8::{number}/128"

QUIET_SECONDS = 10
"""For which the watcher must be idle."""

TABLE = "table inet wanbound-keep"

DEFAULT_ROUTES = "ip -4 route show default; ip -6 route show default"

FAULTS = {
    "the filter rules of IPv4 flushed": "iptables -F",
    "the NAT rules of IPv4 flushed": "iptables -t nat -F",
    "the rules of IPv6 flushed": "ip6tables -F; ip6tables -t nat -F",
    "all rules flushed": "iptables -F; iptables -t nat -F; ip6tables -F; ip6tables -t nat -F",
    "chains deleted": "iptables -t nat -F; iptables -t nat -X",
    "one rule deleted": "iptables -t nat -D WANBOUND-SNAT 1",
    "a strange rule in a chain of ours": "iptables -t nat -I WANBOUND-SNAT -j RETURN",
    "a jump deleted": "iptables -t nat -D POSTROUTING -j WANBOUND-SNAT",
    "a jump that is no longer first": "iptables -t nat -I POSTROUTING -j RETURN; sleep 1;"
    " iptables -t nat -D POSTROUTING -j RETURN",
    "the guard deleted": "nft delete table inet wanbound",
    "a map of the guard emptied": "nft flush map inet wanbound from",
    "a strange rule in the guard": "nft insert rule inet wanbound forward accept",
    "the IPv4 address deleted": f"ip addr del {IPV4} dev wan0",
    "the IPv6 address deleted": f"ip addr del {IPV6} dev wan0",
    "the IPv6 address made the host's source": f"ip addr change {IPV6} dev wan0"
    " preferred_lft forever",
    "the IPv4 address made the host's source": f"ip addr del {IPV4} dev wan0;"
    f" ip addr add {IPV4} dev wan0",
    "the address on another interface": f"ip addr del {IPV4} dev wan0; ip addr add {IPV4} dev lo",
    "all addresses flushed": "ip addr flush dev wan0; networkctl reconfigure wan0",
    "the default routes deleted": "ip -4 route del default; ip -6 route del default",
    "systemd-networkd restarted": "systemctl restart systemd-networkd",
    "wan0 reconfigured": "networkctl reconfigure wan0",
    "the watcher killed, then all rules flushed": "kill -9 $(systemctl show --value -p MainPID"
    " wanbound-watch); iptables -F; iptables -t nat -F",
    "Docker restarted": RESTART_DOCKER,
    "older rules restored": "iptables-save -t nat | grep -v -e WANBOUND -e MASQ >/run/older;"
    " iptables-restore </run/older; rm /run/older",
    "the whole of nftables flushed": "nft flush ruleset",
}


@pytest.mark.parametrize("what", FAULTS)
@on_each
def test_it_is_repaired(host: Host, what: str) -> None:
    """Without an operator and in time; the time is printed."""
    fault = FAULTS[what].format(number=NUMBERS[host.name])
    assert repaired(host, what, fault) < ALLOWED_SECONDS


@on_each
def test_the_link_comes_up_again(host: Host) -> None:
    """The routes return with it; the host's own addresses are restored by networkd."""
    host.run("ip link set wan0 down")
    begun = time.monotonic()
    while host.run(DEFAULT_ROUTES).stdout.count("default via") < 2:
        assert time.monotonic() - begun < 2 * ALLOWED_SECONDS
    print(f"{host.name}: repaired {time.monotonic() - begun:.2f} s later")
    assert "state UP" in host.run("ip link show wan0").stdout
    assert repaired(host, "wan0 reconfigured", "networkctl reconfigure wan0") < ALLOWED_SECONDS


@on_each
def test_an_idle_watcher_uses_no_processor_time(host: Host) -> None:
    """It sleeps until the kernel reports a change; the legacy iptables would be polled.

    Also after a start of Docker, when wanbound-docker.service repairs too: they do not conflict.
    """
    host.run(RESTART_DOCKER, timeout=120)
    time.sleep(5)
    # A check that still follows the start takes 50 to 100 ms; a watcher that polls is never idle.
    for _ in range(6):
        before = _cpu_seconds(host)
        time.sleep(QUIET_SECONDS)
        used = _cpu_seconds(host) - before
        print(f"{host.name}: {used * 1000:.1f} ms of a processor in {QUIET_SECONDS} s")
        if used < 0.03:
            break
    else:
        pytest.fail("it is never idle")
    assert host.run("wanbound mend 2>&1").stdout == ""
    assert host.run("systemctl --failed --no-legend").stdout == ""


@on_each
def test_a_burst_of_other_peoples_rules_is_one_event(host: Host) -> None:
    """A hundred changes within a second cause as few checks as one or two."""
    before = _cpu_seconds(host)
    host.run(
        'iptables -N BURST; for i in $(seq 100); do echo "-A BURST -s 192.0.2.$i -j RETURN"; done'
        " | while read -r rule; do iptables $rule; done; iptables -F BURST; iptables -X BURST"
    )
    time.sleep(3)
    used = _cpu_seconds(host) - before
    print(f"{host.name}: {used * 1000:.0f} ms of a processor for 100 changes of rules")
    # Each check takes 50 to 100 ms; a hundred would take more than five seconds.
    assert used < 3


@on_each
def test_a_table_survives_a_flush_where_nft_can_own_one(host: Host) -> None:
    """nft can from 1.1 on; a host with an older one reports that, and has no such table."""
    can = host.suite != "bookworm"
    assert facts(host).owned_table == ("held" if can else "not supported")
    for _ in range(3):
        # With the lock, which a repair needs.
        flush = "flock /run/wanbound/lock sh -c 'nft flush ruleset; nft list tables'"
        left = host.run(flush).stdout.splitlines()
        assert left == ([TABLE] if can else [])
        wait_until(
            f"{host.name} has the guard again",
            lambda: "table inet wanbound" in host.run("nft list tables").stdout.splitlines(),
            timeout=4 * ALLOWED_SECONDS,
            every=0.2,
        )
    if can:
        assert host.run(f"nft delete {TABLE}", check=False).status != 0
        listed = host.run(f"nft list {TABLE}").stdout
        for word in ('"net"', f"10.66.{NUMBERS[host.name]}.0/24"):
            assert word in listed
    # The iptables rules are repaired after the guard.
    host.run("flock /run/wanbound/lock true; wanbound mend")
    assert repaired(host, "the last of four flushes", "nft flush ruleset") < ALLOWED_SECONDS
    assert host.run("ls -A / /root | grep nft.history; true").stdout == ""


@on_each
def test_the_table_has_an_owner_again_after_each_end_of_the_watcher(host: Host) -> None:
    """Once the watcher stops, the table has no owner and can be deleted; a start restores it."""
    if host.suite == "bookworm":
        return
    main = _main(host)
    host.run("kill -9 $(pgrep -f '^nft -i')")
    _until_running(host, main)
    _until_held(host)
    host.run("kill -9 $(systemctl show --value -p MainPID wanbound-watch)")
    _until_held(host)
    host.run("systemctl stop wanbound-watch")
    try:
        assert host.run("pgrep -f '^nft -i'", check=False).stdout == ""
        assert facts(host).owned_table == "not held"
        assert TABLE in host.run("nft list tables").stdout
        host.run(f"nft delete {TABLE}")
    finally:
        host.run("systemctl start wanbound-watch")
    _until_held(host)


@on_each
def test_the_table_is_there_before_docker_after_a_boot(host: Host) -> None:
    """Its owner starts before Docker."""
    if host.suite == "bookworm":
        return
    host.reboot()
    _until_held(host)
    watch, docker = (
        int(host.run(f"systemctl show --value -p ExecMainStartTimestampMonotonic {unit}").stdout)
        for unit in ("wanbound-watch", "docker")
    )
    assert watch < docker


@pytest.mark.parametrize("monitor", ["nft monitor", "ip -o monitor"])
@on_each
def test_a_watcher_that_hears_nothing_starts_again(host: Host, monitor: str) -> None:
    """If a monitor ends, the service ends and restarts; then it repairs again."""
    main = _main(host)
    host.run(f"kill -9 $(pgrep -f '^{monitor}')")
    _until_running(host, main)
    assert repaired(host, f"after the end of {monitor}", "iptables -t nat -F") < ALLOWED_SECONDS


@on_each
def test_stopped_it_leaves_nothing_behind(host: Host) -> None:
    """No monitor, no failed unit and no file is left, even if it stops during a repair."""
    # The last two have a name for a moment when it starts; its next start removes them.
    kept = "lock|loaded|bridges|repairs|repaired|engine|docker|watch|owner"
    # After each stop: the next start removes all others, too.
    left = f"pgrep -fa -e ' [m]onitor|^nft [-]i'; ls /run/wanbound | grep -vxE '{kept}'"
    try:
        done = host.run(
            "for delay in 0.02 0.05 0.1 0.2 0.3; do systemctl restart wanbound-watch;"
            " sleep $delay; systemctl stop wanbound-watch;"
            f" systemctl --failed --no-legend; {left}; done; true"
        )
        assert done.stdout == ""
    finally:
        host.run("systemctl start wanbound-watch")


@on_each
def test_what_cannot_be_repaired_is_told_once_and_repaired_when_it_can_be(host: Host) -> None:
    """While the interface is missing, the watcher floods neither the journal nor the processor."""
    gone_seconds = 10
    since = host.run("date +%s").stdout.strip()
    before = _cpu_seconds(host)
    host.run("ip link set wan0 down; ip link set wan0 name gone0")
    time.sleep(gone_seconds)
    used = _cpu_seconds(host) - before
    host.run("ip link set gone0 name wan0; ip link set wan0 up; networkctl reconfigure wan0")
    deadline = time.monotonic() + 3 * ALLOWED_SECONDS
    wanted = f"203.0.113.{NUMBERS[host.name]}/32"
    while wanted not in host.run("ip addr show dev wan0").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    journal = f"journalctl -o cat -t wanbound --since @{since}"
    wait_until(
        f"{host.name} reports the repair",
        lambda: "all is in force again" in host.run(journal).stdout,
        timeout=30,
        every=0.2,
    )
    assert host.run(journal).stdout.count("there is no interface wan0 here") == 1
    print(f"{host.name}: {used * 1000:.0f} ms of a processor in {gone_seconds} s without wan0")
    # A watcher that tried again without pause would use nearly all of the time.
    assert used < gone_seconds / 3


@on_each
def test_frequent_restarts_do_not_stop_the_watcher(host: Host) -> None:
    """By default systemd gives up after five starts in ten seconds."""
    for _ in range(7):
        main = _main(host)
        host.run(f"kill -9 {main}")
        _until_running(host, main)


@on_each
def test_a_monitor_that_does_not_hear_the_stop_holds_nothing_up(host: Host) -> None:
    """A monitor can miss the signal while the shell starts it: then systemd kills it."""
    shim = "/usr/local/sbin/nft"
    host.put(
        shim,
        "#!/bin/sh\n[ $1 != monitor ] || trap '' TERM\nexec /usr/sbin/nft \"$@\"\n",
        mode=0o755,
    )
    try:
        main = _main(host)
        host.run("systemctl restart wanbound-watch", timeout=30)
        _until_running(host, main)
        main = _main(host)
        time.sleep(1)
        host.run(f"kill -9 {main}")
        _until_running(host, main)
    finally:
        host.run(f"rm {shim}; systemctl restart wanbound-watch")


def _until_held(host: Host) -> None:
    wait_until(
        f"{host.name} holds the table",
        lambda: facts(host).owned_table == "held",
        timeout=45,
        every=0.2,
    )


def _cpu_seconds(host: Host) -> float:
    shown = host.run("systemctl show --value -p CPUUsageNSec wanbound-watch").stdout
    return int(shown) / 1e9


def _main(host: Host) -> str:
    return host.run("systemctl show --value -p MainPID wanbound-watch").stdout.strip()


def _until_running(host: Host, before: str) -> None:
    deadline = time.monotonic() + 45
    while not re.fullmatch(r"[1-9]\d*", main := _main(host)) or main == before:
        assert time.monotonic() < deadline
        time.sleep(0.2)
