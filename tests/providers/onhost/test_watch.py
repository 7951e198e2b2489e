"""Which events of the kernel trigger a check: captured on Debian bookworm and forky."""

from collections.abc import Callable
from subprocess import CalledProcessError

import pytest

from tests.providers.onhost.box import DASH, Box
from tests.providers.onhost.generations import files
from tests.providers.shell import run

MATTERS = [
    "delete rule ip filter FORWARD handle 15",
    "add rule ip filter FORWARD ip saddr 10.1.1.1 ct state new  counter packets 0 bytes 0 accept",
    "delete table ip filter",
    "delete table ip6 nat",
    "create chain ip nat X",
    "add rule inet wanbound forward counter packets 0 bytes 0",
    "delete table inet wanbound",
    "# ERROR: We lost some netlink events!",
    "netlink receive error No buffer space available (105)",
    "Deleted 3: wan0    inet 203.0.113.159/32 scope global wan0\\       valid_lft forever",
    "Deleted 3: wan0    inet6 2001:db8::159/128 scope global deprecated \\       valid_lft forever",
    "3: wan0    inet6 2001:db8::159/128 scope global tentative \\       valid_lft forever",
    "3: wan0: <BROADCAST,MULTICAST> mtu 1500 qdisc noqueue state DOWN group default \\    link/eth",
    "5: bar: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default \\    link/ether",
    "Deleted 5: bar: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default",
    "Deleted default via 203.0.113.1 dev wan0 proto static ",
    "default via fe80::2 dev wan0 metric 1 pref medium",
    "default proto static metric 50 \\\tnexthop via 203.0.113.1 dev wan0 weight 1",
    "polled",
    "words that no monitor has printed yet",
    "",
]

DOES_NOT = [
    "# new generation 26 by process 4666 (iptables)",
    "add rule inet filter input tcp dport 22 counter packets 0 bytes 0 accept",
    "add element inet f2b-table addr-set-sshd { 192.0.2.7 }",
    "delete rule ip mangle PREROUTING handle 3",
    "default via fe80::1 dev wan0 proto ra metric 1024 expires 1797sec hoplimit 64 pref medium",
    "3: wan0    inet6 2001:db8:1::5/64 scope global dynamic mngtmpaddr \\       valid_lft 86400sec",
    "3: wan0    inet 198.51.100.9/24 brd 198.51.100.255 scope global dynamic wan0\\      ",
    "6: vethb47adc9@vetha4148b5: <BROADCAST,MULTICAST,M-DOWN> mtu 1500 qdisc noop state DOWN",
    "6: vethb47adc9@if5: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master docker0 state UP \\",
    "Deleted 5: vetha4148b5@NONE: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group",
    "6: vethb47adc9    inet6 fe80::30b8:f2ff:fe41:9be/64 scope link \\       valid_lft forever",
    "Deleted 6: veth1    inet6 fe80::d407:aaff:feda:8eed/64 scope link proto kernel_ll \\",
    "local 203.0.113.159 dev wan0 table local proto kernel scope host src 203.0.113.159 ",
    "Deleted local fe80::d407:aaff:feda:8eed dev veth1dad3e5 table local proto kernel metric 0",
    "2001:db8::159 dev wan0 proto kernel metric 256 pref medium",
    "Deleted fe80::/64 dev foo proto kernel metric 256 pref medium",
    "multicast ff00::/8 dev docker0 table local proto kernel metric 256 pref medium",
    "10.66.0.0/24 dev br-a proto kernel scope link src 10.66.0.1 linkdown ",
]


def _matters(line: str) -> bool:
    return run('matters "$(cat)" && echo yes || echo no', "onhost/watch.sh", stdin=line) == "yes\n"


@pytest.mark.parametrize("line", MATTERS)
def test_events_that_lead_to_a_check(line: str) -> None:
    """Events that may concern our rules, addresses, links or default routes, and unknown ones."""
    assert _matters(line)


@pytest.mark.parametrize("line", DOES_NOT)
def test_events_that_lead_to_no_check(line: str) -> None:
    """Frequent events of a healthy host that cannot concern anything of ours."""
    assert not _matters(line)


def test_the_end_of_a_monitor_is_signalled() -> None:
    """A watcher without events would take the host for a quiet one."""
    printed = run(
        "exec 3>/dev/null; trap 'echo ended; exit' HUP; follow true; sleep 5",
        "onhost/watch.sh",
    )
    assert printed.split() == ["ended"]


def test_a_mark_within_another_line_is_found() -> None:
    """`nft monitor` writes blocks that may end anywhere; the wait would never end."""
    printed = run(
        "fifo=$(mktemp -u) && mkfifo $fifo && exec 3<>$fifo && rm $fifo\n"
        "credit=20 checked=0\n"
        "printf 'add rule ip filter FORW' >&3; settle; echo settled\n",
        "onhost/watch.sh",
    )
    assert printed.split() == ["settled"]


def test_a_watcher_whose_mark_never_comes_ends_so_that_it_is_started_again() -> None:
    """A killed writer must not leave a watcher that reads events and repairs nothing."""
    with pytest.raises(CalledProcessError):
        run(
            "sleep() { :; }; timeout() { return 124; }\n"
            "exec 3>/dev/null; credit=20 checked=0; settle\n",
            "onhost/watch.sh",
        )


def test_a_failed_repair_is_tried_again_at_the_time_after_the_check() -> None:
    """The wait before the check may have read the word of the timer that was running."""
    printed = run(
        "etc=$(mktemp -d); : >$etc/current; run=$etc lock_seconds=1\n"
        "flock() { :; }; sleep() { :; }; exec 3>/dev/null\n"
        "read -r again _ </proc/uptime; again=${again%.*}\n"
        "failed= failures=0 credit=9 now=0; check_all 2>/dev/null\n"
        'echo "$failures"; rm -r "$etc"\n',
        "onhost/watch.sh",
    )
    assert printed == "1\n"


def test_checks_are_delayed_after_many_events_and_not_after_a_pause() -> None:
    """Twenty without delay, then one per second, as the requested delays show."""
    printed = run(
        "sleep() { :; }; timeout() { :; }\n"
        "exec 3>/dev/null; credit=20; read -r checked _ </proc/uptime; checked=${checked%.*}\n"
        'for i in $(seq 30); do settle; echo "$delay"; done\n'
        'checked=$((checked - 60)); settle; echo "$delay"\n',
        "onhost/watch.sh",
    )
    delays = printed.split()
    assert delays[:20] == ["0.1"] * 20
    assert all(float(delay) >= 1 for delay in delays[22:30])
    assert delays[30] == "0.1"


class Watcher:
    """A running watcher of a host, and its output.

    It needs systemd, whose hosts have dash here; under busybox it misses later events.
    """

    def __init__(self, host: Box) -> None:
        self.host = host
        host.out(f"(setsid {host.words('watch')} >/mnt/said 2>&1 &)")
        host.sh("sleep 2.5")

    @property
    def said(self) -> str:
        """Return its whole output."""
        return (self.host.root / "mnt/said").read_text()

    def until(self, done: Callable[[], bool]) -> None:
        """Wait for a condition, as long as a repair may take on a busy machine."""
        self.host.until(done, lambda: self.said)


@DASH
def test_the_watcher_repairs_at_once_and_then_is_quiet(host: Box) -> None:
    """Its own repair is an event too, and triggers a check that finds nothing."""
    host.deploy(files("dual-stack"), "a1")
    kernel = host.kernel
    watcher = Watcher(host)
    for damage in (
        "iptables -t nat -F WANBOUND-SNAT",
        "nft flush ruleset",
        "ip addr del 203.0.113.20/32 dev wan0",
    ):
        host.out(damage)
        watcher.until(lambda: host.kernel == kernel)
    host.sh("sleep 2")
    assert host.kernel == kernel
    repairs = [line for line in watcher.said.splitlines() if "repairing" in line]
    assert 1 <= len(repairs) <= 6, watcher.said


@DASH
def test_a_burst_of_events_before_it_reads_does_not_stop_it(host: Box) -> None:
    """A change that loads many networks starts it: their events fill the FIFO at once."""
    host.deploy(files("dual-stack"), "a1")
    kernel = host.kernel
    host.shim(
        "nft",
        '[ "$1" != monitor ] || seq 20000 | sed "s/^/add element inet x y /"\nexec "$real" "$@"',
    )
    watcher = Watcher(host)
    host.out("iptables -t nat -F WANBOUND-SNAT")
    watcher.until(lambda: host.kernel == kernel)


@DASH
def test_a_failure_is_told_once_and_its_end_too(host: Box) -> None:
    """It is retried without an event."""
    host.deploy(files("dual-stack"), "a1")
    kernel = host.kernel
    watcher = Watcher(host)
    host.shim("iptables-restore", "echo refused by the shim >&2; exit 1")
    host.out("iptables -t nat -F WANBOUND-SNAT")
    watcher.until(lambda: "refused by the shim" in watcher.said)
    host.sh("sleep 4")
    assert watcher.said.count("refused by the shim") == 1
    host.no_shims()
    watcher.until(lambda: host.kernel == kernel)
    watcher.until(lambda: "all is in force again" in watcher.said)
