"""A stack without containers beside what others have on the hosts: all of it is left alone.

In the order of the tests: what others have comes first, and is still there after the destroy.
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
from tests.lab.stack.evidence import Snapshot, snapshot
from tests.lab.together import each, on_each

pytestmark = pytest.mark.lab

FOREIGN_SUBNET, FOREIGN_GATEWAY = "172.20.0.0/16", "10.73.0.1"

# As WireGuard's wg0 would have it, for which this kernel has no module; and a bridge of Docker's.
FOREIGN = f"""\
set -e
docker network create --subnet {FOREIGN_SUBNET} foo
ip link add office type bridge
ip addr add {FOREIGN_GATEWAY}/24 dev office
ip link set office up
"""
FOREIGN_GONE = "docker network rm foo; ip link del office"

# Says the same of a rule as the host's own, as another version of iptables may.
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
    """The stack, and what others have on each host."""

    lab: Lab
    stack: LabStack
    config: Config
    links: Sequence[str]
    """Others' links before the first `up`."""

    @property
    def hosts(self) -> list[Host]:
        """Both."""
        return list(self.lab.hosts.values())

    def refused(self, stack: LabStack) -> str:
        """What an `up` fails with; it changes nothing on either host."""
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
    """Number, name and address of what is not ours; also whether it is up."""
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
    """Two networks on each host, whose iptables-save has its own way to spell; not up yet."""
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
    stack = LabStack.copy(lab, "lean", config, tmp_path_factory.mktemp("lean"))
    try:
        yield Lean(lab, stack, config, each(hosts, _links))
    finally:
        stack.destroy()
        gone = f"{FOREIGN_GONE}; cd /usr/local/sbin && rm -f {' '.join(TOOLS)}"
        each(hosts, lambda host: host.run(gone))


@pytest.fixture
def hosts(lean: Lean) -> Sequence[Host]:
    """Both."""
    return lean.hosts


def _with(config: Config, *networks: tuple[str, int, Mapping[str, str]]) -> Config:
    changed = copy.deepcopy(config)
    for number, host in enumerate(changed["hosts"]):
        host["networks"] += [_network(number, name, n, **keys) for name, n, keys in networks]
    return changed


def test_subnets_that_others_use_are_refused(lean: Lean) -> None:
    """A network of Docker's and a link with the address of a gateway; each by its name."""
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
    """It would be shut off by the guard, or renamed; it is neither."""
    lean.stack.configure(_with(lean.config, ("three", 75, {"bridge": "office"})))
    said = lean.refused(lean.stack)
    assert said.count("there is an interface office already") >= 2
    assert each(lean.hosts, _links) == lean.links


def test_without_them_all_comes_up(lean: Lean) -> None:
    """Beside what others have, and with another spelling of rules from the beginning."""
    lean.stack.configure(lean.config)
    lean.stack.up()
    for host in lean.hosts:
        saved = host.run("iptables-save -t nat").stdout
        assert "-o !keep " in saved
        assert " ! -o keep " not in saved
    assert each(lean.hosts, _links) == lean.links


def test_another_spelling_is_no_drift(lean: Lean) -> None:
    """What is in force is compared with what was loaded, both as the host spells it."""
    shown = lean.stack.preview("--refresh", "--expect-no-changes")
    assert set(shown.counts) == {"unchanged"}


@on_each
def test_another_spelling_is_no_fault(host: Host) -> None:
    """Nothing is repaired for it; what is really gone comes back, once."""
    since = host.run("date +%s").stdout.strip()
    journal = f"journalctl -u wanbound-watch --since @{since} -o cat"
    host.run("iptables -N wake; iptables -X wake")
    time.sleep(2)
    assert "repairing" not in host.run(journal).stdout
    assert repaired(host, "a flush", "iptables -t nat -F WANBOUND-SNAT") < ALLOWED_SECONDS
    time.sleep(2)
    assert host.run(journal).stdout.count("repairing") <= 2


def test_a_second_stack_is_refused(lean: Lean, tmp_path_factory: pytest.TempPathFactory) -> None:
    """By the first one's name; a host belongs to one stack, also for what the two do not share."""
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
    """Where a host is reached is no identity: what leaves is removed over the new way."""
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
        # Before there is nobody at that port any more.
        lean.stack.destroy(check=False)
        each(moved, lambda host: host.run(f"rm {SSHD}; systemctl restart ssh"))
    each(lean.hosts, lambda host: host.run("true"))


def test_in_the_end_others_have_what_they_had(lean: Lean) -> None:
    """No link was renamed, none is down, and Docker has its network."""
    assert each(lean.hosts, _links) == lean.links
    for host in lean.hosts:
        assert "foo" in host.run("docker network ls --format '{{.Name}}'").stdout.split()


@dataclass
class _Moved:
    """A host whose sshd is at the other port."""

    lab: Lab
    host: Host

    def run(self, command: str) -> str:
        """What a command prints, whatever becomes of it."""
        words = ["-p", str(OTHER_PORT), "-o", "ControlPath=none"]
        args = ssh(self.lab.settings, self.host.name, [command], *words)
        done = subprocess.run(args, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    def wait(self) -> None:
        """Until it lets somebody in there, and nobody at the old port."""
        wait_until(
            f"{self.host.name} listens",
            lambda: self.run("echo in") == "in\n",
            timeout=20,
            every=0.3,
        )
        listening = self.run("ss -Hltn 'sport = :22'")
        assert listening == ""

    def wait_without(self, network: str) -> None:
        """Until the host has dropped all of a network that Docker has removed."""
        saved = "iptables-save; nft list table inet wanbound; ip -o link; ip -o addr"
        wait_until(
            f"{self.host.name} drops {network}",
            lambda: re.search(rf"\b{network}\b|\.72\b|\.172\b", self.run(saved)) is None,
            timeout=10,
            every=0.3,
        )
