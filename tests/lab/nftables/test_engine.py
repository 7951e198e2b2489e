"""Docker 29 with its nftables backend: both switches, a reboot, and back to iptables."""

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab import lifecycle
from lab.api import Host, Lab
from lab.checks import Result, matrix, resolvers, run
from lab.faults.site import config
from lab.names import publish
from lab.stacks import SPOKEN, Config, LabStack, parsed

pytestmark = pytest.mark.lab

NAME = "test-3"
FIRST = 180
"""The first network's last address part: the addresses are 203.0.113.180 and up."""

ICC, MTU = "com.docker.network.bridge.enable_icc", "com.docker.network.driver.mtu"
DEFAULTS = {
    "default-network-opts": {"bridge": {ICC: "true", MTU: "1480"}},
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "3"},
}
"""What Docker then gives to new networks and containers, and reports of them."""
NFTABLES = {
    "firewall": "nftables",
    "engine": {"firewall_backend": "nftables", "dns": True, "settings": DEFAULTS},
}
IPTABLES = {"firewall": "iptables", "engine": {"firewall_backend": "iptables", "dns": True}}
DNS = {"dns": ["198.51.100.53", "2001:db8:ffff::53"]}

OURS = "for tool in iptables ip6tables; do $tool-save | grep WANBOUND; done; true"
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")


class Site:
    """The host, and the stack on it."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.host = lab, lab.host(NAME)
        self.stack = LabStack.copy(lab, "nftables", self.config(NFTABLES), folder)

    def config(self, keys: dict[str, Any]) -> Config:
        """The networks of the faults, on a host with these keys."""
        found = copy.deepcopy(config([self.host], FIRST))
        [host] = found["hosts"]
        for key in SPOKEN["nftables"]:
            host.pop(key)
        host |= {**DNS, **keys}
        return found

    def up(self, keys: dict[str, Any]) -> None:
        """Apply the keys in one `up`."""
        self.stack.configure(self.config(keys))
        self.stack.up()

    def wrong(self) -> list[str]:
        """Run all checks of the matrix; return the failures."""
        wanted = parsed(self.config(NFTABLES), self.stack.name)
        checks = matrix(wanted)
        results: Sequence[Result] = [*run(self.lab, checks), *resolvers(self.lab, wanted)]
        assert len(results) > 40
        return [str(each) for each in results if not each.ok]


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host whose Docker uses nftables, and where nothing enables forwarding at boot."""
    try:
        more = Lab.up(f"{NAME}=forky+29nft", lab.settings)
        place = Site(more, tmp_path_factory.mktemp("nftables"))
        place.host.run("rm /etc/sysctl.d/90-router.conf")
        place.host.run("; ".join(f"sysctl -w {key}=0" for key in FORWARDING))
        try:
            yield place
        finally:
            publish(lab.settings, place.stack.name, ())
    finally:
        lifecycle.remove_host(lab.settings, NAME)


def _networks(host: Host) -> list[dict[str, Any]]:
    inspect = "docker network ls -q --filter type=custom | sort | xargs docker network inspect"
    found = json.loads(host.run(inspect).stdout)
    assert isinstance(found, list)
    return found


def _backend(host: Host) -> str:
    told = host.run("curl -s --unix-socket /run/docker.sock http://docker/info").stdout
    return str(json.loads(told)["FirewallBackend"]["Driver"])


def test_iptables_is_refused_beside_it(site: Site) -> None:
    """Before any change, with the fix: Docker's drop would follow any accept of ours."""
    assert _backend(site.host) == "nftables"
    site.stack.configure(site.config({}))
    done = site.stack.up(check=False)
    assert done.status != 0
    assert "firewall: nftables" in done.output
    assert site.host.run(OURS).stdout == ""
    assert site.host.run("docker network ls -q --filter type=custom").stdout == ""
    site.stack.destroy()


def test_one_up_brings_it_into_nftables(site: Site) -> None:
    """Forwarding is on before Docker starts, and there is no iptables rule."""
    site.up(NFTABLES)
    daemon = json.loads(site.host.run("cat /etc/docker/daemon.json").stdout)
    assert daemon["bridge-accept-fwmark"] == "0x2000000/0x2000000"
    assert _backend(site.host) == "nftables"
    assert site.host.run("iptables-save; ip6tables-save").stdout == ""
    assert site.wrong() == []


def test_nothing_is_left_to_do(site: Site) -> None:
    """Neither the program nor the host has one; options that Docker added to networks are none."""
    networks = _networks(site.host)
    assert {each["Options"][MTU] for each in networks} == {"1480"}
    assert any(each["Internal"] for each in networks)
    logs = "docker ps -q | xargs docker inspect -f '{{json .HostConfig.LogConfig.Config}}'"
    assert set(site.host.run(logs).stdout.split()) == {'{"max-file":"3","max-size":"10m"}'}
    assert set(site.stack.preview("--expect-no-changes").counts) == {"unchanged"}
    assert set(site.stack.preview("--refresh", "--expect-no-changes").counts) == {"unchanged"}


def test_all_is_back_after_a_reboot(site: Site) -> None:
    """Docker does not start without forwarding, which nothing but wanbound enables."""
    site.host.reboot()
    assert _backend(site.host) == "nftables"
    assert site.wrong() == []


def test_another_up_leads_to_iptables_and_back(site: Site) -> None:
    """Each switch takes one `up` and leaves nothing of the other backend.

    It replaces no network, although options that Docker gave to them are in daemon.json no more.
    """
    before = [each["Id"] for each in _networks(site.host)]
    site.up(IPTABLES)
    assert [each["Id"] for each in _networks(site.host)] == before
    assert _backend(site.host) == "iptables"
    assert "chain nat-" not in site.host.run("nft list table inet wanbound").stdout
    assert site.wrong() == []
    site.up(NFTABLES)
    assert _backend(site.host) == "nftables"
    rules = site.host.run(OURS).stdout.splitlines()
    assert [line for line in rules if "NAT" in line] == []
    assert site.wrong() == []


def test_a_destroy_leaves_docker_as_it_was(site: Site) -> None:
    """Its daemon.json has its former backend."""
    site.stack.destroy()
    daemon = json.loads(site.host.run("cat /etc/docker/daemon.json").stdout)
    assert daemon["firewall-backend"] == "nftables"
    assert "bridge-accept-fwmark" not in daemon
    assert "wanbound" not in site.host.run("nft list tables").stdout
    assert site.host.run("docker network ls -q --filter type=custom").stdout == ""
