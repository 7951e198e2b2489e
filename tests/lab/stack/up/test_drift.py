"""What somebody changed on the host by hand is shown line by line, and mended."""

import pytest

from tests.lab.stack.deployed import Deployed

pytestmark = pytest.mark.lab

DRIFT = {
    # What is done by hand, and what a reviewer has to read because of it.
    "test-1": (
        "iptables -t nat -D WANBOUND-SNAT -s 172.16.0.0/24 ! -o web -j SNAT"
        " --to-source 203.0.113.10",
        ('egress: "-A WANBOUND-SNAT -s 172.16.0.0/24 ! -o web -j SNAT --to-source 203.0.113.10"',),
    ),
    "test-2": (
        "ip -6 addr del 2001:db8::120/128 dev wan0;"
        " number=$(ip6tables-save -t nat | grep -e '-A WANBOUND-DNAT' |"
        "   grep -n 2001:db8::130/ | cut -d: -f1);"
        " ip6tables -t nat -R WANBOUND-DNAT $number"
        " -d 2001:db8::130 -p tcp -j DNAT --to-destination [fd00::666]",
        ('wan0 ipv6: "inet6 2001:db8::120/128 scope global deprecated"', "fd00::666"),
    ),
}


def test_drift_is_shown_by_line_and_mended(deployed: Deployed) -> None:
    """A deleted rule, a lost address and an edited rule, on two hosts at a time."""
    for name, (command, _) in DRIFT.items():
        deployed.lab.host(name).run(command)
    shown = deployed.stack.preview("--refresh", "--diff").output
    print(shown)
    for _, lines in DRIFT.values():
        for line in lines:
            assert line in shown
    assert "203.0.113.20" not in shown, "a network without drift is shown"
    mended = deployed.stack.up("--refresh")
    assert "replaced" not in mended.counts
    deployed.stack.preview("--refresh", "--expect-no-changes")
    assert [str(result) for result in deployed.results() if not result.ok] == []
