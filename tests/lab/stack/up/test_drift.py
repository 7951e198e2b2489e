"""Manual changes on a host are shown line by line, and reverted by one `up`."""

import re
from collections.abc import Iterator, Mapping

import pytest

from lab.stacks import Config, parsed
from planner.plan import HostPlan, plan
from tests.lab.stack.deployed import Deployed
from tests.lab.stack.up import injected
from tests.lab.stack.up.injected import WATCHER, Injected, Leaf, changes

pytestmark = pytest.mark.lab


def with_base(config: Config) -> Config:
    """Give each host a baseline: routes, parameters, a filter."""
    for host in config["hosts"]:
        host["wan"] |= {"gateway_ipv4": "203.0.113.1", "gateway_ipv6": "fe80::1"}
        management = re.sub(r"\.\d+$", ".0/24", host["ssh"]["address"])
        host["baseline"] = {"ssh_from": [management]}
    return config


@pytest.fixture(scope="module")
def hosts(deployed: Deployed) -> Iterator[dict[str, HostPlan]]:
    """The hosts' plans by name; while this module runs, each host has a baseline."""
    config = with_base(deployed.changed())
    deployed.stack.configure(config)
    deployed.stack.up()
    try:
        yield {host.name: host for host in plan(parsed(config, deployed.stack.name))}
    finally:
        deployed.back()


def _drift_and_mend(
    deployed: Deployed,
    hosts: Mapping[str, HostPlan],
    what: Mapping[str, Injected],
    *,
    again: bool = False,
) -> None:
    """Make the changes on all hosts, check the preview, run `up` once, and check again."""
    for name, done in what.items():
        script = "\n".join(["systemctl stop wanbound-watch.service", *done.commands])
        deployed.lab.host(name).run(f"set -e\n{script}\n")
    shown = deployed.stack.preview("--refresh", "--diff").output
    print(shown)
    said = changes(shown)
    for name in hosts:
        assert _cut(said.get(name, set())) == _cut(what[name].said | {WATCHER}), name
    if again:
        _refreshed_again(deployed)
    mended = deployed.stack.up("--refresh")
    print(mended.output)
    deployed.stack.preview("--refresh", "--expect-no-changes")
    for name in what:
        asked = "systemctl is-active wanbound-watch.service; systemctl is-enabled wanbound.service"
        assert deployed.lab.host(name).run(asked).stdout.split() == ["active", "enabled"]
    assert [str(result) for result in deployed.results() if not result.ok] == []


def _cut(leaves: set[Leaf]) -> set[Leaf]:
    """Return leaves as pulumi shows them: long values are cut."""
    return {(sign, role, value.rstrip(".")[:140]) for sign, role, value in leaves}


def _refreshed_again(deployed: Deployed) -> None:
    """Refresh without an `up` after it: the next refresh must find the same as the first."""
    deployed.stack.run("refresh", "--yes", "--skip-preview", "--stack", deployed.stack.name)
    again = deployed.stack.preview("--refresh", "--diff").output
    assert changes(again) == {}, again


def test_lines(deployed: Deployed, hosts: dict[str, HostPlan]) -> None:
    """Rules deleted, added, moved, edited, doubled: one per network; and the host's own."""
    what = {name: injected.lines(host) for name, host in hosts.items()}
    _drift_and_mend(deployed, hosts, what)


def test_tables(deployed: Deployed, hosts: dict[str, HostPlan]) -> None:
    """Jumps doubled, missing or not first, a chain flushed, no guard; units and script."""
    what = {name: injected.tables(host) for name, host in hosts.items()}
    _drift_and_mend(deployed, hosts, what, again=True)
    for name in what:
        for line in (injected.FIRST, injected.LAST):
            deployed.lab.host(name).run(line.deleted())


def test_addresses(deployed: Deployed, hosts: dict[str, HostPlan]) -> None:
    """Addresses missing, moved and widened; a bridge renamed; files, routes and parameters."""
    what = {name: injected.addresses(host) for name, host in hosts.items()}
    _drift_and_mend(deployed, hosts, what)


def test_docker_network_and_link(deployed: Deployed, hosts: dict[str, HostPlan]) -> None:
    """A manual one with the same name, bridge and subnets; and the wan link is down."""
    what = {}
    for name, host in hosts.items():
        network = host.networks[2]
        what[name] = injected.remade(host, network, [each.name for each in network.containers])
        injected.unplugged(host, what[name])
    _drift_and_mend(deployed, hosts, what)
