"""What `wanbound state` says of a real host, and what it says when Docker does not answer."""

import hashlib
import time

import pytest
from providers.live import Live, parse

from lab.api import Host
from providers.ssh.remote import host_script
from tests.lab.stack.test_refusals import connected, target

pytestmark = pytest.mark.lab


def test_links_routes_units_and_networks_of_docker_are_told(host: Host) -> None:
    """All that a refresh compares, besides rules and addresses."""
    host.run("docker network create --label wanbound=x/y 'with-label'; docker network create plain")
    try:
        live = _live(host)
    finally:
        host.run("docker network rm with-label plain")
    assert live.links["wan0"] == live.links["lo"] == "up"
    assert {family for family, line in live.routes if line.startswith("default via")} == {
        "ipv4",
        "ipv6",
    }
    assert live.units == {
        "wanbound.service": ("enabled", "written"),
        "wanbound-docker.service": ("enabled", "written"),
        "wanbound-watch.service": ("enabled", "written", "active"),
    }
    assert live.docker is not None
    labels = {network.name: network.label for network in live.docker}
    assert labels == {"bridge": None, "with-label": "x/y", "plain": None}


def test_a_unit_that_somebody_touched_is_told(host: Host) -> None:
    """Disabled, stopped, edited: each by its word."""
    units = "/etc/systemd/system"
    host.run(
        "systemctl disable wanbound wanbound-watch; systemctl stop wanbound-watch;"
        f" cp -p {units}/wanbound-docker.service /run/kept;"
        f" echo '# edited' >>{units}/wanbound-docker.service"
    )
    try:
        live = _live(host)
    finally:
        host.run(
            f"mv /run/kept {units}/wanbound-docker.service;"
            " systemctl enable wanbound wanbound-watch; systemctl start wanbound-watch"
        )
    assert live.units == {
        "wanbound.service": ("disabled", "written"),
        "wanbound-docker.service": ("enabled", "edited"),
        "wanbound-watch.service": ("disabled", "written", "inactive"),
    }


def test_the_script_is_known_by_its_digest(host: Host) -> None:
    """That of the file there, not of what a refresh brings along."""
    assert _live(host).script == hashlib.sha256(host_script().encode()).hexdigest()
    host.run("echo >>/usr/local/sbin/wanbound")
    try:
        assert _live(host).script != hashlib.sha256(host_script().encode()).hexdigest()
    finally:
        host.put("/usr/local/sbin/wanbound", host_script(), mode=0o755)


def test_a_docker_that_hangs_keeps_nobody_waiting_for_long(host: Host) -> None:
    """Neither the refresh nor, meanwhile, a repair: it is asked beside the lock."""
    host.run("kill -STOP $(cat /run/docker.pid)")
    try:
        begun = time.monotonic()
        live = _live(host)
        took = time.monotonic() - begun
    finally:
        host.run("kill -CONT $(cat /run/docker.pid)")
    print(f"{host.name}: the state with a Docker that hangs: {took:.1f} s")
    assert live.docker is None
    assert took < 30


def test_a_docker_that_is_not_running_is_no_error(host: Host) -> None:
    """The rest of the state is as true as before."""
    host.run("systemctl stop docker.socket docker", timeout=120)
    try:
        assert _live(host).docker is None
    finally:
        host.run("systemctl reset-failed docker; systemctl start docker.socket docker", timeout=120)


def _live(host: Host) -> Live:
    with connected(target(host)) as seam:
        return parse(seam.state())
