"""A stack without containers leaves everything alone that others have on its hosts.

The tests run in order: others' networks exist before the first `up` and after the destroy.
"""

import copy
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from lab.api import Host, Lab
from lab.hosts import ssh
from lab.stacks import Config, LabStack
from lab.steps import wait_until
from tests.lab.onhost.repair import ALLOWED_SECONDS, repaired
from tests.lab.planned import facts
from tests.lab.stack.evidence import Snapshot, snapshot
from tests.lab.together import each, on_each

pytestmark = pytest.mark.lab

FOREIGN_SUBNET, FOREIGN_GATEWAY = "172.20.0.0/16", "10.73.0.1"

# Stands in for WireGuard's wg0, for which this kernel has no module; and a bridge of Docker's.
FOREIGN = f"""\
set -e
docker network create --subnet {FOREIGN_SUBNET} foo
ip link add office type bridge
ip addr add {FOREIGN_GATEWAY}/24 dev office
ip link set office up
"""
FOREIGN_GONE = "docker network rm foo; ip link del office"

# Prints the same rules in another spelling, as another version of iptables may.
OTHER_SPELLING = """\
#!/bin/sh
/usr/sbin/{tool} "$@" | sed 's/-m conntrack --ctstate RELATED,ESTABLISHED/-m state --state \
ESTABLISHED,RELATED/; s/ ! -o \\([^ ]*\\) / -o !\\1 /; s/-p tcp -m tcp/-p 6/'
"""
TOOLS = ("iptables-save", "ip6tables-save")

OTHER_PORT = 2222
SSHD = "/etc/ssh/sshd_config.d/port.conf"


@dataclass
class Lean:
    """The stack, and what other programs have on each host."""

    lab: Lab
    stack: LabStack
    config: Config
    links: Sequence[str]
    """Other programs' links before the first `up`."""

    @property
    def hosts(self) -> list[Host]:
        """Both hosts."""
        return list(self.lab.hosts.values())

    def refused(self, stack: LabStack) -> str:
        """Return the error of an `up`, which must change nothing on either host."""
        before = each(self.hosts, _seen)
        done = stack.up("--continue-on-error", check=False)
        after = each(self.hosts, _seen)
        assert done.status != 0
        print(done.output)
        for one, other in zip(before, after, strict=True):
            assert one[0] == other[0], one[0].differences(other[0])
            assert one[1] == other[1]
        return done.output


def _seen(host: Host) -> tuple[Snapshot, str]:
    return snapshot(host), host.run("ip -o link show | sed 's/:.*//' | sort; ip -br link").stdout


def _links(host: Host) -> str:
    """Number, name, address and state of every link that is not wanbound's."""
    return host.run("ip -br addr show | grep -e ^office -e ^br- -e ^host0 -e ^docker0").stdout


def _network(host: int, name: str, number: int, **keys: str) -> dict[str, Any]:
    return {
        "name": name,
        "public_ipv4": f"203.0.113.{number + 100 * host}",
        "public_ipv6": f"2001:db8::{number + 100 * host}",
        "subnet_ipv4": f"10.{number}.0.0/24",
        "subnet_ipv6": f"fd{number}::/64",
        "load_balancer": False,
        "ingress": [],
        "containers": [],
        **keys,
    }


@pytest.fixture(scope="module")
def lean(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lean]:
    """Two networks on each host, whose iptables-save has its own spelling; not up yet."""
    config = {
        "hosts": [
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {"interface": "wan0"},
                "networks": [_network(n, "keep", 71), _network(n, "gone", 72)],
            }
            for n, host in enumerate(lab.hosts.values())
        ]
    }
    hosts = list(lab.hosts.values())
    wrap = "\n".join(
        f"cat >/usr/local/sbin/{tool} <<'END'\n{OTHER_SPELLING.format(tool=tool)}END\n"
        f"chmod +x /usr/local/sbin/{tool}"
        for tool in TOOLS
    )
    each(hosts, lambda host: host.run("sh -s", stdin=f"{FOREIGN}{wrap}\n"))
    with pytest.MonkeyPatch.context() as patch:
        # The first question makes a host cache its Docker version; that is no change of an `up`.
        patch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
        each(hosts, facts)
    stack = LabStack.copy(lab, "lean", config, tmp_path_factory.mktemp("lean"))
    try:
        yield Lean(lab, stack, config, each(hosts, _links))
    finally:
        stack.destroy()
        gone = f"{FOREIGN_GONE}; cd /usr/local/sbin && rm -f {' '.join(TOOLS)}"
        each(hosts, lambda host: host.run(gone))


@pytest.fixture
def hosts(lean: Lean) -> Sequence[Host]:
    """Both hosts."""
    return lean.hosts


def _with(config: Config, *networks: tuple[str, int, Mapping[str, str]]) -> Config:
    changed = copy.deepcopy(config)
    for number, host in enumerate(changed["hosts"]):
        host["networks"] += [_network(number, name, n, **keys) for name, n, keys in networks]
    return changed


def test_subnets_that_others_use_are_refused(lean: Lean) -> None:
    """A Docker network and a link with the gateway's address; the error names each."""
    lean.stack.configure(
        _with(
            lean.config,
            ("one", 73, {"subnet_ipv4": "172.20.5.0/24"}),
            ("two", 74, {"subnet_ipv4": "10.73.0.0/24"}),
        )
    )
    said = lean.refused(lean.stack)
    for host in lean.hosts:
        assert f"host {host.name}, network one: " in said
    assert said.count(f"in use: the Docker network foo ({FOREIGN_SUBNET})") >= 2
    assert said.count(f"in use: the interface office ({FOREIGN_GATEWAY}/24)") >= 2
    assert each(lean.hosts, _links) == lean.links
    assert each(lean.hosts, lambda host: host.run("ls /etc/wanbound", check=False).status) == [2, 2]


def test_a_link_with_a_bridges_name_is_refused(lean: Lean) -> None:
    """The guard would block it, or the bridge would rename it; neither happens."""
    lean.stack.configure(_with(lean.config, ("three", 75, {"bridge": "office"})))
    said = lean.refused(lean.stack)
    assert said.count("there is an interface office already") >= 2
    assert each(lean.hosts, _links) == lean.links


def test_without_them_all_comes_up(lean: Lean) -> None:
    """It comes up beside the other networks and with the other spelling of rules."""
    lean.stack.configure(lean.config)
    lean.stack.up()
    for host in lean.hosts:
        saved = host.run("iptables-save -t nat").stdout
        assert "-o !keep " in saved
        assert " ! -o keep " not in saved
    assert each(lean.hosts, _links) == lean.links


def test_another_spelling_is_no_drift(lean: Lean) -> None:
    """Rules in force are compared with the loaded ones, both as the host prints them."""
    shown = lean.stack.preview("--refresh", "--expect-no-changes")
    assert set(shown.counts) == {"unchanged"}


@on_each
def test_another_spelling_is_no_fault(host: Host) -> None:
    """The spelling causes no repair; a rule that is really missing is restored once."""
    since = host.run("date +%s").stdout.strip()
    journal = f"journalctl -u wanbound-watch --since @{since} -o cat"
    host.run("iptables -N wake; iptables -X wake")
    time.sleep(2)
    assert "repairing" not in host.run(journal).stdout
    assert repaired(host, "a flush", "iptables -t nat -F WANBOUND-SNAT") < ALLOWED_SECONDS
    time.sleep(2)
    assert host.run(journal).stdout.count("repairing") <= 2


def test_a_second_stack_is_refused(lean: Lean, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The error names the first stack, even if the two stacks share no network."""
    other = copy.deepcopy(lean.config)
    for number, host in enumerate(other["hosts"]):
        host["networks"] = [_network(number, "other", 76)]
    second = LabStack.copy(lean.lab, "second", other, tmp_path_factory.mktemp("second"))
    try:
        said = lean.refused(second)
    finally:
        second.destroy()
    assert said.count("it belongs to the stack organization/wanbound/lean") >= 2
    assert "and this is organization/wanbound/second" in said


def test_another_port_and_one_network_less_in_one_up(lean: Lean) -> None:
    """Address and port do not identify a host: the removed network is removed over the new port."""
    changed = copy.deepcopy(lean.config)
    for host in changed["hosts"]:
        host["ssh"]["port"] = OTHER_PORT
        host["networks"] = [one for one in host["networks"] if one["name"] == "keep"]
    lean.stack.configure(changed)
    each(
        lean.hosts, lambda host: host.run(f"echo Port {OTHER_PORT} >{SSHD}; systemctl restart ssh")
    )
    moved = [_Moved(lean.lab, host) for host in lean.hosts]
    try:
        each(moved, _Moved.wait)
        lean.stack.up()
        each(moved, lambda host: host.wait_without("gone"))
        lean.stack.preview("--refresh", "--expect-no-changes")
        lean.stack.destroy()
        for host in moved:
            assert host.run("ls -d /etc/wanbound 2>&1; iptables-save | grep WANBOUND") == (
                "ls: cannot access '/etc/wanbound': No such file or directory\n"
            )
    finally:
        # Destroy first: afterwards sshd no longer listens on that port.
        lean.stack.destroy(check=False)
        each(moved, lambda host: host.run(f"rm {SSHD}; systemctl restart ssh"))
    each(lean.hosts, lambda host: host.run("true"))


def test_in_the_end_others_have_what_they_had(lean: Lean) -> None:
    """No link was renamed or set down, and Docker has its network."""
    assert each(lean.hosts, _links) == lean.links
    for host in lean.hosts:
        assert "foo" in host.run("docker network ls --format '{{.Name}}'").stdout.split()


@dataclass
class _Moved:
    """A host whose sshd listens on the other port."""

    lab: Lab
    host: Host

    def run(self, command: str) -> str:
        """Return what a command prints, whatever its status."""
        words = ["-p", str(OTHER_PORT), "-o", "ControlPath=none"]
        args = ssh(self.lab.settings, self.host.name, [command], *words)
        done = subprocess.run(args, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    def wait(self) -> None:
        """Wait until sshd accepts logins there; it must not listen on the old port."""
        wait_until(
            f"{self.host.name} listens",
            lambda: self.run("echo in") == "in\n",
            timeout=20,
            every=0.3,
        )
        listening = self.run("ss -Hltn 'sport = :22'")
        assert listening == ""

    def wait_without(self, network: str) -> None:
        """Wait until the host has dropped all lines of a network that Docker has removed."""
        saved = "iptables-save; nft list table inet wanbound; ip -o link; ip -o addr"
        wait_until(
            f"{self.host.name} drops {network}",
            lambda: re.search(rf"\b{network}\b|\.72\b|\.172\b", self.run(saved)) is None,
            timeout=30,
            every=0.3,
        )
