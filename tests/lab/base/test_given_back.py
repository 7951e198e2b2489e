"""A host that had a baseline has none any more."""

from pathlib import Path

import pytest

from lab.api import Lab
from lab.stacks import LabStack
from tests.lab.base.hosts import config, parameters, routes
from tests.lab.stack.evidence import snapshot

pytestmark = pytest.mark.lab


def test_given_back_in_the_end(lab: Lab, tmp_path: Path) -> None:
    """After the destroy the hosts are as before: rules, routes, parameters, link, files."""
    hosts = lab.hosts.values()
    for host in hosts:
        host.run("sysctl -qw net.ipv4.conf.all.send_redirects=1 net.ipv4.conf.wan0.rp_filter=1")
    before = {host.name: (snapshot(host), parameters(host), routes(host)) for host in hosts}
    stack = LabStack.copy(lab, "given-back", config(lab), tmp_path)
    try:
        stack.up()
        for host in hosts:
            assert parameters(host) != before[host.name][1]
    finally:
        stack.destroy()
    for host in hosts:
        was, values, ways = before[host.name]
        now = snapshot(host)
        assert was == now, was.differences(now)
        assert parameters(host) == values
        assert routes(host) == ways
