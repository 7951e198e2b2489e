"""What a real host reports of its state, also when Docker does not answer."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.api import Host
from lab.steps import wait_until
from providers.errors import HostError
from providers.ssh.remote import host_script
from tests.lab.onhost.repair import ALLOWED_SECONDS, plan, repaired
from tests.lab.planned import bring, facts
from tests.lab.stack.evidence import snapshot
from tests.lab.together import on_each

pytestmark = pytest.mark.lab

FLUSH = "iptables -t nat -F WANBOUND-SNAT"

UNITS = {
    "wanbound.service": ("enabled", "written"),
    "wanbound-docker.service": ("enabled", "written"),
    "wanbound-watch.service": ("enabled", "written", "active"),
}


@on_each
def test_all_that_a_refresh_compares_is_told(host: Host) -> None:
    """Links, routes, units, the script and Docker's networks, besides rules and addresses.

    Docker 20.10 puts the masquerading of a new network in front of wanbound's jump, which is drift
    until the watcher has repaired it.
    """
    host.run("docker network create --label wanbound=x/y 'with-label'; docker network create plain")
    try:
        wait_until(
            f"{host.name} has repaired its rules",
            lambda: (now := facts(host)).live == now.loaded,
            timeout=2 * ALLOWED_SECONDS,
        )
        found = facts(host)
    finally:
        host.run("docker network rm with-label plain")
    assert found.live == found.loaded
    assert found.links["wan0"] == found.links["lo"] == "up"
    assert {family for family, line in found.routes if line.startswith("default via")} == {
        "ipv4",
        "ipv6",
    }
    assert found.units == UNITS
    assert found.script == hashlib.sha256(host_script().encode()).hexdigest()
    assert found.docker is not None
    assert host.docker_version.startswith(found.docker.version.partition("+")[0])
    labels = {network.name: network.label for network in found.docker.networks}
    assert labels == {"bridge": None, "with-label": "x/y", "plain": None}


@on_each
def test_manual_changes_of_units_and_script_are_reported(host: Host) -> None:
    """A disabled, stopped or edited unit and an edited script each have a word of their own."""
    units, script = "/etc/systemd/system", "/etc/wanbound/current/wanbound"
    host.run(
        "systemctl disable wanbound wanbound-watch; systemctl stop wanbound-watch;"
        f" cp -p {units}/wanbound-docker.service /run/kept; cp -p {script} /run/script;"
        f" echo '# edited' >>{units}/wanbound-docker.service; echo >>{script}"
    )
    try:
        found = facts(host)
    finally:
        host.run(
            f"mv /run/kept {units}/wanbound-docker.service; mv /run/script {script};"
            " systemctl enable wanbound wanbound-watch; systemctl start wanbound-watch"
        )
    assert found.units == {
        "wanbound.service": ("disabled", "written"),
        "wanbound-docker.service": ("enabled", "edited"),
        "wanbound-watch.service": ("disabled", "written", "inactive"),
    }
    assert found.script != hashlib.sha256(host_script().encode()).hexdigest()
    assert facts(host).units == UNITS


# Shortens the minute for which the host waits for Docker.
IMPATIENT = """\
#!/bin/sh
[ "$1" != 60 ] || { shift; set -- 30 "$@"; }
exec /usr/bin/timeout "$@"
"""


@on_each
def test_a_docker_that_hangs_is_not_taken_for_an_absent_one(host: Host) -> None:
    """The change waits for Docker, then fails with an error and changes nothing.

    A repair meanwhile is as fast as usual: the host asks Docker without holding the lock.
    """
    before = snapshot(host)
    host.put("/usr/local/sbin/timeout", IMPATIENT, mode=0o755)
    host.run("kill -STOP $(cat /run/docker.pid)")
    try:
        with ThreadPoolExecutor() as pool:
            change = pool.submit(bring, host, plan(host, "more"))
            wait_until(
                f"{host.name} asks Docker",
                lambda: host.run("pgrep -f '^docker '", check=False).status == 0,
                timeout=20,
                every=0.1,
            )
            assert repaired(host, "a flush meanwhile", FLUSH) < ALLOWED_SECONDS
            assert not change.done()
            with pytest.raises(HostError) as caught:
                change.result()
    finally:
        host.run("kill -CONT $(cat /run/docker.pid); rm /usr/local/sbin/timeout")
    said = str(caught.value)
    print(said)
    assert "Docker does not answer" in said
    assert "as it was; nothing has changed" in said
    after = snapshot(host)
    assert before == after, before.differences(after)


@on_each
def test_a_docker_that_is_not_running_is_no_error(host: Host) -> None:
    """All other facts are complete, and the question does not start Docker."""
    host.run("systemctl stop docker", timeout=120)
    try:
        found = facts(host)
        assert found.docker is None
        assert found.live == found.loaded
        assert host.run("systemctl is-active docker", check=False).stdout == "inactive\n"
    finally:
        host.run("systemctl reset-failed docker; systemctl start docker.socket docker", timeout=120)
