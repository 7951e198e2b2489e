"""The real ufw beside wanbound: what it filters, and what it does not (docs/other-firewalls.md)."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab import lifecycle
from lab.api import Host, Lab
from lab.guest import DAEMON_JSON
from lab.stacks import LabStack
from lab.traffic import PROBE

pytestmark = pytest.mark.lab

NAME = "test-6"
PUBLIC = "203.0.113.66"
INSIDE = "10.66.0.10"
PORT = 8066


@dataclass
class Firewalled:
    """A host with ufw, and one network whose container answers at a port."""

    lab: Lab
    host: Host
    stack: LabStack

    def answers(self, address: str) -> bool:
        """Whether a client on the internet's side gets a connection to the port."""
        command = ["curl", "-s", "-o", "/dev/null", "--http0.9", "-m", "3"]
        done = self.lab.internet.run([*command, f"http://{address}:{PORT}/"], check=False)
        # 7: refused, 28: no answer in time.
        return done.status not in (7, 28)

    def serves_itself(self) -> None:
        """Make the host listen on the port at its own address."""
        server = f"python3 -m http.server --bind {self.host.wan_ipv4} {PORT}"
        listens = f"until ss -Hltn 'sport = :{PORT}' | grep -q .; do sleep 0.1; done"
        self.host.run(f"timeout 60 {server} >/dev/null 2>&1 &")
        self.host.run(f"timeout 30 sh -c {shlex.quote(listens)}")


@pytest.fixture(scope="module")
def firewalled(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firewalled]:
    """Yield a host with ufw; it is removed afterwards."""
    larger = Lab.up(f"{NAME}=forky+bare", lab.settings)
    host = larger.host(NAME)
    try:
        host.put("/etc/docker/daemon.json", json.dumps(DAEMON_JSON))
        host.run(
            "apt-get -q update && apt-get -q -y install --no-install-recommends"
            " conntrack docker-cli docker.io iptables nftables ufw",
            timeout=300,
        )
        host.run("ufw allow 22/tcp && ufw --force enable")
        network = {
            "name": "web",
            "public_ipv4": PUBLIC,
            "subnet_ipv4": "10.66.0.0/24",
            "load_balancer": False,
            "ingress": [{"ports": [PORT], "to": "server"}],
            "containers": [
                {
                    "name": "server",
                    "image": PROBE,
                    "command": ["serve-tcp", f":{PORT}"],
                    "ipv4": INSIDE,
                }
            ],
        }
        ssh = {"address": host.address, "host_key": host.host_key}
        wanted = {"name": NAME, "ssh": ssh, "wan": {"interface": "wan0"}, "networks": [network]}
        folder = tmp_path_factory.mktemp("ufw")
        stack = LabStack.copy(larger, "ufw", {"hosts": [wanted]}, folder)
        try:
            stack.up()
            yield Firewalled(larger, host, stack)
        finally:
            stack.destroy()
    finally:
        lifecycle.remove_host(lab.settings, NAME)


def test_ufw_deny_is_for_the_host_alone(firewalled: Firewalled) -> None:
    """It closes the host's port and no port of a network; `ufw route deny` closes none either."""
    firewalled.host.run(f"ufw allow {PORT}/tcp")
    firewalled.serves_itself()
    assert firewalled.answers(firewalled.host.wan_ipv4)
    firewalled.host.run(
        f"ufw delete allow {PORT}/tcp; ufw deny {PORT}/tcp; ufw route deny {PORT}/tcp"
    )
    firewalled.serves_itself()
    assert not firewalled.answers(firewalled.host.wan_ipv4)
    assert firewalled.answers(PUBLIC)


def test_a_reload_of_ufw_changes_nothing_of_ours(firewalled: Firewalled) -> None:
    """Neither does turning it off and on."""
    for command in ("ufw reload", "ufw disable", "ufw --force enable"):
        firewalled.host.run(command)
        assert firewalled.answers(PUBLIC), command
    firewalled.stack.preview("--refresh", "--expect-no-changes")


def test_a_raw_rule_of_ufw_closes_a_port_of_a_network(firewalled: Firewalled) -> None:
    """As docs/other-firewalls.md writes it into before.rules."""
    rules = (
        "*raw\\n:PREROUTING ACCEPT [0:0]\\n"
        f"-A PREROUTING -d {PUBLIC} -p tcp --dport {PORT} -j DROP\\nCOMMIT\\n"
    )
    file = "/etc/ufw/before.rules"
    firewalled.host.run(f"cp {file} /root/before.rules; printf '{rules}' >>{file}; ufw reload")
    try:
        assert not firewalled.answers(PUBLIC)
    finally:
        firewalled.host.run(
            f"cp /root/before.rules {file}; ufw reload; iptables -t raw -F PREROUTING"
        )
    assert firewalled.answers(PUBLIC)
