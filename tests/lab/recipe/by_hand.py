"""Hosts set up manually from the first recipe, and connections that stay open through them."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.api import Host, Lab
from lab.namespace import inside
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from lab.stacks import Config
from lab.steps import wait_until
from planner.config.types import FirewallWord
from tests.lab.recipe.steady import Told

HERE = Path(__file__).parent
PORT = 7777
STEADY = "/run/steady.py"
SUBNETS = {"web": ("172.16.0.0/24", "fd16:10::/64"), "mail": ("172.20.0.0/24", "fd20:10::/96")}


@dataclass(frozen=True)
class Site:
    """One host, the last parts of its networks' public addresses, and the dialect of its stack."""

    host: Host
    numbers: dict[str, int]
    firewall: FirewallWord = "iptables"

    def public(self, network: str) -> tuple[str, str]:
        """Return the addresses of a network."""
        number = self.numbers[network]
        return f"203.0.113.{number}", f"2001:db8::{number}"

    def set_up(self) -> None:
        """Set the host up as an operator who followed the recipe."""
        addresses = [*self.public("web"), *self.public("mail")]
        self._run("by_hand.sh", addresses, timeout=300)

    def undo(self) -> None:
        """Restore the host; works after any part of `set_up`, and after a takeover."""
        addresses = [
            f"{address}/{128 if ':' in address else 32}"
            for network in self.numbers
            for address in self.public(network)
        ]
        self._run("undone.sh", addresses)

    def network_id(self, name: str) -> str:
        """Return Docker's id of a network."""
        return self.host.run(f"docker network inspect -f '{{{{.Id}}}}' {name}").stdout.strip()

    def members(self, name: str) -> set[str]:
        """Return the names of the running containers in a network."""
        template = "{{range .Containers}}{{.Name}} {{end}}"
        found = self.host.run(f"docker network inspect -f '{template}' {name}")
        return set(found.stdout.split())

    def _run(self, script: str, addresses: Sequence[str], timeout: float = 60) -> None:
        command = f"sh -s {' '.join(addresses)}"
        self.host.run(command, stdin=(HERE / script).read_text(), timeout=timeout)


def config(sites: Sequence[Site], *names: str, adopt: bool = True) -> Config:
    """Return a stack of these networks; its load balancers avoid the manual ones' addresses."""
    return {
        "seed": "by-hand",
        "verify": True,
        "echo": {"ipv4": "http://198.51.100.1/", "ipv6": "http://[2001:db8:ffff::1]/"},
        "hosts": [
            {
                "name": site.host.name,
                "ssh": {"address": site.host.address, "host_key": site.host.host_key},
                "wan": {"interface": "wan0"},
                "adopt": adopt,
                "firewall": site.firewall,
                "networks": [
                    {
                        "name": name,
                        "public_ipv4": site.public(name)[0],
                        "public_ipv6": site.public(name)[1],
                        "subnet_ipv4": SUBNETS[name][0],
                        "subnet_ipv6": SUBNETS[name][1],
                        "load_balancer": {
                            "ipv4": SUBNETS[name][0].replace(".0/24", ".253"),
                            "ipv6": f"{SUBNETS[name][1].partition('/')[0]}fffd",
                        },
                        "whoami": {"domain": f"whoami.{name}.example.com"},
                    }
                    for name in names
                ],
            }
            for site in sites
        ],
    }


def whoami(lab: Lab, site: Site, network: str) -> list[dict[str, str]]:
    """Return a network's page as an outside client reads it, in each family."""
    answers = []
    for address, client in zip(site.public(network), (CLIENT_IPV4, CLIENT_IPV6), strict=True):
        url = f"http://[{address}]/" if ":" in address else f"http://{address}/"
        words = ["curl", "-sS", "-g", "--noproxy", "*", "-m", "60", "--interface", client]
        # A load balancer that has just started needs a moment to notice its containers.
        words += ["--fail", "--retry", "30", "--retry-delay", "1", "--retry-all-errors"]
        words += ["-H", f"Host: whoami.{network}.example.com", url]
        answers.append(json.loads(lab.internet.run(words).stdout))
    return answers


@contextmanager
def addresses_watched(sites: Sequence[Site]) -> Iterator[dict[str, list[str]]]:
    """Note every address that is removed meanwhile, by the host's name.

    An address is the host's as long as it has a local route. The interface's IPv4 entry may be
    removed while another entry keeps that route: this changes its scope.
    """
    found: dict[str, list[str]] = {}
    for site in sites:
        site.host.run("systemd-run -q --unit=ipmon sh -c 'ip -o monitor route >/run/ipmon'")
    try:
        yield found
    finally:
        for site in sites:
            lines = site.host.run("systemctl stop ipmon; cat /run/ipmon; rm /run/ipmon").stdout
            found[site.host.name] = [
                line
                for line in lines.splitlines()
                if line.startswith("Deleted local ") and " dev wan0 " in line
            ]


class Connections:
    """A connection per direction and family through the manual rules of each host's web."""

    def __init__(self, lab: Lab, sites: Sequence[Site]) -> None:
        self._lab = lab
        self._sites = sites
        self._inbound: dict[str, subprocess.Popen[str]] = {}
        self._server: subprocess.Popen[str] | None = None

    def open(self) -> None:
        """Open them all; return when numbers come back on each."""
        self._server = self._start(["serve", str(PORT)])
        for site in self._sites:
            site.host.put(STEADY, (HERE / "steady.py").read_text())
            self._unit(site, "steady-server", "web_lb-by-hand", f"serve {PORT}")
        wait_until("the servers listen", self._listen, timeout=20, every=0.2)
        for site in self._sites:
            for family, address in (("4", CLIENT_IPV4), ("6", CLIENT_IPV6)):
                unit = f"steady-out{family}"
                self._unit(site, unit, "whoami-web-by-hand", f"keep {address} {PORT}")
            for address in site.public("web"):
                self._inbound[f"{site.host.name} in {address}"] = self._start(
                    ["keep", address, str(PORT)]
                )

    def close(self) -> dict[str, Told]:
        """Close them all; return what became of each."""
        told = {}
        # Clients end before their servers.
        for name, process in self._inbound.items():
            process.terminate()
            told[name] = _told(process.communicate(timeout=30)[0])
        self._inbound.clear()
        for site in self._sites:
            for family in ("4", "6"):
                unit = f"steady-out{family}"
                said = site.host.run(f"systemctl stop {unit}; cat /run/{unit}; rm -f /run/{unit}")
                told[f"{site.host.name} out {family}"] = _told(said.stdout)
            site.host.run(f"systemctl stop steady-server; rm -f /run/steady-server {STEADY}")
        if self._server is not None:
            self._server.terminate()
            self._server.communicate(timeout=10)
        return told

    def _start(self, words: Sequence[str]) -> subprocess.Popen[str]:
        # They must not outlive this process.
        line = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable]
        line += [str(HERE / "steady.py"), *words]
        return subprocess.Popen(inside(self._lab.settings, line), stdout=subprocess.PIPE, text=True)

    def _unit(self, site: Site, unit: str, container: str, words: str) -> None:
        """Run it in a container's network, with the host's Python: the image has none."""
        site.host.run(
            f"pid=$(docker inspect -f '{{{{.State.Pid}}}}' {container}) &&"
            f" systemd-run -q --unit={unit} -p StandardOutput=truncate:/run/{unit} --collect"
            f" nsenter -t $pid -n python3 {STEADY} {words}"
        )

    def _listen(self) -> bool:
        here = self._lab.internet.run(["ss", "-Hltn", f"sport = :{PORT}"]).stdout
        template = "{{.State.Pid}}"
        there = [
            site.host.run(
                f"nsenter -t $(docker inspect -f '{template}' web_lb-by-hand) -n"
                f" ss -Hltn 'sport = :{PORT}'"
            ).stdout
            for site in self._sites
        ]
        return all([here, *there])


def _told(text: str) -> Told:
    return Told(**json.loads(text)) if text.strip() else Told(error="it said nothing")
