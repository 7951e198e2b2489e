"""A host with another firewall, and one network on it (docs/other-firewalls.md)."""

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import lifecycle
from lab.api import Host, Lab
from lab.guest import DAEMON_JSON
from lab.settings import ECHO_IPV4
from lab.stacks import LabStack
from lab.steps import wait_until
from lab.traffic import PROBE

NAME = "test-6"
PUBLIC = "203.0.113.66"
INSIDE = "10.66.0.10"
PORT = 8066


@dataclass
class Firewalled:
    """A host with a firewall, and one network whose container answers at a port."""

    lab: Lab
    host: Host
    stack: LabStack

    def answers(self, address: str) -> bool:
        """Whether a client on the internet's side gets a connection to the port."""
        command = ["curl", "-s", "-o", "/dev/null", "--http0.9", "-m", "3"]
        done = self.lab.internet.run([*command, f"http://{address}:{PORT}/"], check=False)
        # 7: refused, 28: no answer in time.
        return done.status not in (7, 28)

    def source(self) -> str:
        """Return the address with which connections of the container arrive; "" if none does."""
        pid = "$(docker inspect -f '{{.State.Pid}}' $(docker ps -q))"
        command = f"nsenter -t {pid} -n curl -s -m 3 http://{ECHO_IPV4}/"
        return self.host.run(command, check=False).stdout.strip()

    def until(self, what: str, done: Callable[[], bool]) -> None:
        """Wait until it is so: after a reload Docker puts its bridges into their zone again."""
        wait_until(f"{self.host.name}: {what}", done, timeout=30, every=0.5)

    def serves_itself(self) -> None:
        """Make the host listen on the port at its own address."""
        server = f"python3 -m http.server --bind {self.host.wan_ipv4} {PORT}"
        listens = f"until ss -Hltn 'sport = :{PORT}' | grep -q .; do sleep 0.1; done"
        self.host.run(f"timeout 60 {server} >/dev/null 2>&1 &")
        self.host.run(f"timeout 30 sh -c {shlex.quote(listens)}")


@contextmanager
def firewalled(lab: Lab, folder: Path, package: str, started: str) -> Iterator[Firewalled]:
    """Yield a host with this firewall, which the command `started` starts; removed afterwards."""
    larger = Lab.up(f"{NAME}=forky+bare", lab.settings)
    host = larger.host(NAME)
    try:
        host.put("/etc/docker/daemon.json", json.dumps(DAEMON_JSON))
        host.run(
            "apt-get -q update && apt-get -q -y install --no-install-recommends"
            f" conntrack docker-cli docker.io iptables nftables {package}",
            timeout=300,
        )
        host.run(started)
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
        stack = LabStack.copy(larger, package, {"hosts": [wanted]}, folder)
        try:
            stack.up()
            yield Firewalled(larger, host, stack)
        finally:
            stack.destroy()
    finally:
        lifecycle.remove_host(lab.settings, NAME)
