"""The lab itself: what the other lab tests rely on."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab import cgroups, lifecycle, processes, removal
from lab.api import Lab
from lab.ledger import Ledger
from lab.settings import ECHO_IPV4, ECHO_IPV6, Settings
from tests.lab.conftest import PREFIXES, SETTINGS, worker_settings

pytestmark = pytest.mark.lab

HOSTS = ("test-1", "test-2")


@pytest.mark.parametrize(("name", "version"), [("test-1", "20.10.24"), ("test-2", "29.")])
def test_engine_versions(lab: Lab, name: str, version: str) -> None:
    """The two engine generations that wanbound must support."""
    assert lab.host(name).docker_version.startswith(version)


@pytest.mark.parametrize("name", HOSTS)
def test_echo_sees_the_hosts_own_addresses(lab: Lab, name: str) -> None:
    """A host reaches the internet in both families, with its own address as source."""
    host = lab.host(name)
    assert host.run(f"curl -sf -m 5 http://{ECHO_IPV4}/").stdout == f"{host.wan_ipv4}\n"
    assert host.run(f"curl -sf -m 5 'http://[{ECHO_IPV6}]/'").stdout == f"{host.wan_ipv6}\n"


@pytest.mark.parametrize("name", HOSTS)
def test_docker_pulls_by_plain_name_and_runs(lab: Lab, name: str) -> None:
    """Images keep the names that they have on Docker Hub."""
    assert lab.host(name).run("docker run --rm busybox:1 echo ran").stdout == "ran\n"


@pytest.mark.parametrize("name", HOSTS)
def test_users(lab: Lab, name: str) -> None:
    """Three kinds of login: root, one with sudo and Docker, one with neither."""
    host = lab.host(name)
    assert host.run("sudo -n id -u", user="admin").stdout == "0\n"
    assert host.run("docker ps -q", user="admin").status == 0
    assert host.run("sudo -n id -u", user="operator", check=False).status != 0
    assert host.run("docker ps -q", user="operator", check=False).status != 0


def test_internet_is_silent_to_private_sources(lab: Lab) -> None:
    """A packet with a wrong source is captured, but never answered."""
    host = lab.host("test-2")
    host.run("ip address add 172.31.99.1/32 dev lo")
    try:
        with lab.internet.capture("host 172.31.99.1") as capture:
            host.run(f"curl -s -m 1 --interface 172.31.99.1 http://{ECHO_IPV4}/", check=False)
    finally:
        host.run("ip address del 172.31.99.1/32 dev lo")
    assert {packet.src for packet in capture.packets} == {"172.31.99.1"}
    assert capture.packets[0].flags == "S"


def test_capture_sees_every_packet_from_first_to_last(lab: Lab) -> None:
    """No packet is missed at either end of a capture, in either family."""
    host = lab.host("test-1")
    with lab.internet.capture("icmp or icmp6") as capture:
        host.run(f"ping -q -c 20 -i 0.002 {ECHO_IPV4} && ping -q -c 20 -i 0.002 {ECHO_IPV6}")
    for echo in (ECHO_IPV4, ECHO_IPV6):
        assert sum(packet.dst == echo for packet in capture.packets) == 20
        assert sum(packet.src == echo for packet in capture.packets) == 20


@pytest.mark.parametrize("name", HOSTS)
def test_reboot_is_real(lab: Lab, name: str) -> None:
    """Files and journal survive, rules and processes do not, and the wan is connected again."""
    host = lab.host(name)
    before = host.boot_id
    host.run("true", user="admin")
    host.run("echo kept >/root/kept; iptables -N GONE; sleep 1000 </dev/null >/dev/null 2>&1 &")
    host.reboot()
    assert host.boot_id != before
    # A shared connection from before the reboot must not block.
    assert host.run("true", user="admin", timeout=20).status == 0
    assert host.run("cat /root/kept; rm /root/kept").stdout == "kept\n"
    assert host.run("iptables -L GONE", check=False).status != 0
    assert host.run("ps -C sleep", check=False).status != 0
    assert host.run(f"curl -sf -m 5 http://{ECHO_IPV4}/").stdout == f"{host.wan_ipv4}\n"


def test_up_again_changes_nothing(lab: Lab) -> None:
    """No process is started or ended by a second up."""
    before = processes.recorded(lab.settings)
    lifecycle.up(lab.settings)
    assert processes.recorded(lab.settings) == before


@dataclass(frozen=True)
class Machine:
    """All that a lab could leave behind on this machine, without other workers' labs."""

    links: frozenset[str]
    namespaces: frozenset[str]
    mounts: frozenset[str]
    groups: frozenset[str]
    nspawn: frozenset[str]

    @classmethod
    def now(cls) -> "Machine":
        """Read the present state."""
        links = [path.name for path in Path("/sys/class/net").iterdir()]
        namespaces = subprocess.check_output(["ip", "netns", "list"], text=True).splitlines()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        groups = [path.name for mount in cgroups.mounts() for path in mount.iterdir()]
        nspawn = [str(path) for path in Path("/run/systemd/nspawn").glob("*/*")]
        # Read last, so that it has all that other workers have made by now.
        others = _made_by_other_workers()

        def less(names: Iterable[str]) -> frozenset[str]:
            return frozenset(name for name in names if not any(each in name for each in others))

        return cls(
            links=less(links),
            namespaces=less(namespaces),
            mounts=less(line.split()[4] for line in mounts),
            groups=less(groups),
            nspawn=less(nspawn),
        )


def _made_by_other_workers() -> set[str]:
    """Return their names: hosts of other labs come and go while these tests run."""
    labs = (worker_settings(number) for number in range(len(PREFIXES)))
    return {made.name for lab in labs if lab != SETTINGS for made in Ledger(lab).read()}


@pytest.fixture
def tiny(lab: Lab) -> Iterator[Settings]:
    """The settings of a second lab that shares only the cache with the first."""
    with tempfile.TemporaryDirectory(prefix="wbt-", dir="/run") as folder:
        settings = Settings(
            state=Path(folder) / "lab",
            cache=lab.settings.cache,
            prefix="wbt",
            management=type(lab.settings.management)("10.98.0.0/24"),
        )
        yield settings
        removal.down(settings)


def command(settings: Settings, *args: str) -> subprocess.Popen[bytes]:
    """Run the lab's command line on that lab."""
    return subprocess.Popen(
        [sys.executable, "-m", "lab", *args],
        env={**os.environ, **settings.environment},
        start_new_session=True,
    )


def named_after(settings: Settings) -> list[str]:
    """Return command lines of processes that name the lab's state folder or its host."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(settings.state) in line or "tiny-9" in line:
            found.append(line)
    return found


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("namespace", "wbt-internet"),
        ("link", "wbt-mgmt"),
        ("cgroup", "wbt-lab-tiny-9"),
        ("process", "nspawn-tiny-9"),
    ],
)
def test_down_after_a_killed_up_leaves_nothing(tiny: Settings, kind: str, name: str) -> None:
    """`up` is killed as soon as it has recorded the thing; then `down` runs twice."""
    before = Machine.now()
    run = command(tiny, "up", "--hosts", "tiny-9=bookworm")
    end = time.monotonic() + 180
    while run.poll() is None and time.monotonic() < end:
        made = {(made.kind, made.name) for made in Ledger(tiny).read()}
        if (kind, name) in made or (kind == "process" and processes.find(tiny, name)):
            break
        time.sleep(0.002)
    else:
        pytest.fail(f"up ended before it made the {kind} {name}")
    run.send_signal(signal.SIGKILL)
    run.wait()
    made_processes = processes.recorded(tiny)

    assert command(tiny, "down").wait(180) == 0
    assert command(tiny, "down").wait(180) == 0
    after = Machine.now()
    # A lock is named after an inode: if an earlier host's lock had the same inode number as ours,
    # `down` removes it, too.
    assert after == replace(before, nspawn=before.nspawn & after.nspawn)
    assert [process for process in made_processes if process.alive] == []
    assert named_after(tiny) == []
    assert not tiny.state.exists()
    assert not tiny.disks.exists()


def test_up_mends_a_half_made_lab(tiny: Settings) -> None:
    """A host whose supervisor and guest were killed boots again, with its disk."""
    lifecycle.up(tiny, "tiny-9=bookworm")
    host = Lab.attach(tiny).host("tiny-9")
    host.run("echo kept >/root/kept; sync")
    for name in ("supervisor-tiny-9", "echo"):
        process = processes.find(tiny, name)
        assert process is not None
        process.end()
    lifecycle.up(tiny)
    assert host.run("cat /root/kept").stdout == "kept\n"
    assert host.run(f"curl -sf -m 5 http://{ECHO_IPV4}/").stdout == f"{host.wan_ipv4}\n"


def test_foreign_link_of_our_name_is_left_alone(tiny: Settings) -> None:
    """The lab refuses to start if a link of its name is not its own."""
    subprocess.check_call(["ip", "link", "add", "wbt-mgmt", "type", "bridge"])
    try:
        assert command(tiny, "up", "--hosts", "tiny-9=bookworm").wait(180) == 1
        assert command(tiny, "down").wait(180) == 0
        shown = json.loads(subprocess.check_output(["ip", "-j", "link", "show", "wbt-mgmt"]))
        assert shown[0]["ifname"] == "wbt-mgmt"
    finally:
        subprocess.check_call(["ip", "link", "del", "wbt-mgmt"])
