"""The real firewalld beside wanbound: what it filters, and what not (docs/other-firewalls.md)."""

from collections.abc import Iterator

import pytest

from lab.api import RESTART_DOCKER, Lab
from tests.lab.base.firewalled import PORT, PUBLIC, Firewalled, firewalled

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def firewalld(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firewalled]:
    """Yield a host with firewalld, whose default zone lets SSH in, and a Docker that knows it."""
    started = "systemctl enable --now firewalld && firewall-cmd --state && systemctl restart docker"
    with firewalled(lab, tmp_path_factory.mktemp("firewalld"), "firewalld", started) as host:
        yield host


def test_a_zone_is_for_the_host_alone(firewalld: Firewalled) -> None:
    """A port that no zone opens is closed at the host's address, and open at the network's."""
    firewalld.serves_itself()
    assert not firewalld.answers(firewalld.host.wan_ipv4)
    assert firewalld.answers(PUBLIC)
    firewalld.host.run(f"firewall-cmd --add-port={PORT}/tcp")
    firewalld.serves_itself()
    assert firewalld.answers(firewalld.host.wan_ipv4)


def test_docker_puts_the_bridge_into_its_zone_which_lets_the_network_out(
    firewalld: Firewalled,
) -> None:
    """With its public address."""
    zone = "firewall-cmd --get-zone-of-interface=web"
    assert firewalld.host.run(zone).stdout.strip() == "docker"
    assert firewalld.source() == PUBLIC


def test_a_reload_of_firewalld_changes_nothing_of_ours(firewalld: Firewalled) -> None:
    """Neither does a restart."""
    for command in ("firewall-cmd --reload", "systemctl restart firewalld"):
        firewalld.host.run(command)
        firewalld.until(f"in after {command}", lambda: firewalld.answers(PUBLIC))
        firewalld.until(f"out after {command}", lambda: firewalld.source() == PUBLIC)
    firewalld.stack.preview("--refresh", "--expect-no-changes")


def test_strict_forward_ports_closes_the_ports_of_networks(firewalld: Firewalled) -> None:
    """firewalld then accepts translated packets only of its own forwarded ports."""
    # A reload soon after another one may not read the file again.
    strict = (
        "sed -i 's/^StrictForwardPorts=.*/StrictForwardPorts={}/' /etc/firewalld/firewalld.conf"
        " && systemctl restart firewalld"
    )
    loaded = "nft list chain inet firewalld filter_FORWARD | grep filter_FORWARD_dnat"
    firewalld.host.run(strict.format("yes"))
    try:
        firewalld.until("strict", lambda: firewalld.host.run(loaded, check=False).status == 0)
        firewalld.until("out", lambda: firewalld.source() == PUBLIC)
        assert not firewalld.answers(PUBLIC)
    finally:
        firewalld.host.run(strict.format("no"))
    firewalld.until("in again", lambda: firewalld.answers(PUBLIC))


def test_a_docker_that_is_older_than_firewalld_must_be_restarted(firewalld: Firewalled) -> None:
    """It knows nothing of zones before: the network is reached, and gets nothing out."""
    firewalld.host.run("systemctl stop firewalld")
    firewalld.host.run(RESTART_DOCKER)
    firewalld.host.run("systemctl start firewalld && firewall-cmd --state")
    firewalld.until("in", lambda: firewalld.answers(PUBLIC))
    zone = firewalld.host.run("firewall-cmd --get-zone-of-interface=web", check=False)
    assert "no zone" in zone.stdout + zone.stderr
    assert firewalld.source() == ""
    firewalld.host.run(RESTART_DOCKER)
    firewalld.until("out", lambda: firewalld.source() == PUBLIC)
