"""The file for Prometheus on a real host: a systemd timer writes it while the key is set."""

import time

import pytest

from lab.api import Host
from tests.lab.onhost.repair import plan
from tests.lab.planned import bring
from tests.lab.together import on_each
from tests.providers.onhost.prometheus import parsed

pytestmark = pytest.mark.lab

FOLDER = "/srv/metrics"
FILE = f"{FOLDER}/wanbound.prom"

TIMER_SECONDS = 30
"""The interval of the timer."""


@on_each
def test_the_timer_writes_the_file_and_both_go_with_the_key(host: Host) -> None:
    """Written twice, so that the change alone cannot have done it; nothing is logged."""
    try:
        host.run(f"mkdir {FOLDER}")
        since = host.run("date +%s").stdout.strip()
        bring(host, plan(host, metrics=FILE))
        first = _written_after(host, 0)
        second = _written_after(host, first)
        assert second > first
        samples = parsed(host.run(f"cat {FILE}").stdout)
        assert samples["wanbound_rules_in_force", frozenset()] == 1
        assert host.run(f"stat -c '%a %U' {FILE}").stdout == "644 root\n"
        # systemd logs that the lab's hosts have no pids.max.
        journal = f"journalctl -q -o cat -u wanbound-metrics.service --since @{since}"
        assert host.run(f"{journal} | grep -v pids.max || true").stdout == ""
        assert host.run("systemctl is-enabled wanbound-metrics.timer").stdout == "enabled\n"
    finally:
        bring(host, plan(host))
        left = "ls /etc/systemd/system/*/wanbound-metrics* /etc/systemd/system/wanbound-metrics*"
        found = host.run(f"ls {FOLDER}; {left} 2>/dev/null; rm -r {FOLDER}").stdout
        active = host.run("systemctl is-active wanbound-metrics.timer || true").stdout
    assert (found, active) == ("", "inactive\n")
    assert host.run("systemctl --failed --no-legend").stdout == ""


def _written_after(host: Host, before: int) -> int:
    """Wait for the timer, and return when the file was written."""
    deadline = time.monotonic() + 2 * TIMER_SECONDS
    while True:
        written = host.run(f"stat -c %Y {FILE} 2>/dev/null || echo 0").stdout
        if int(written) > before:
            return int(written)
        assert time.monotonic() < deadline
        time.sleep(1)
