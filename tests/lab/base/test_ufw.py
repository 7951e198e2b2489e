"""The real ufw beside wanbound: what it filters, and what it does not (docs/other-firewalls.md)."""

from collections.abc import Iterator

import pytest

from lab.api import Lab
from tests.lab.base.firewalled import PORT, PUBLIC, Firewalled, firewalled

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def ufw(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firewalled]:
    """Yield a host with ufw."""
    started = "ufw allow 22/tcp && ufw --force enable"
    with firewalled(lab, tmp_path_factory.mktemp("ufw"), "ufw", started) as host:
        yield host


def test_ufw_deny_is_for_the_host_alone(ufw: Firewalled) -> None:
    """It closes the host's port and no port of a network; `ufw route deny` closes none either."""
    ufw.host.run(f"ufw allow {PORT}/tcp")
    ufw.serves_itself()
    assert ufw.answers(ufw.host.wan_ipv4)
    ufw.host.run(f"ufw delete allow {PORT}/tcp; ufw deny {PORT}/tcp; ufw route deny {PORT}/tcp")
    ufw.serves_itself()
    assert not ufw.answers(ufw.host.wan_ipv4)
    assert ufw.answers(PUBLIC)


def test_a_reload_of_ufw_changes_nothing_of_ours(ufw: Firewalled) -> None:
    """Neither does turning it off and on."""
    for command in ("ufw reload", "ufw disable", "ufw --force enable"):
        ufw.host.run(command)
        assert ufw.answers(PUBLIC), command
    ufw.stack.preview("--refresh", "--expect-no-changes")


def test_a_raw_rule_of_ufw_closes_a_port_of_a_network(ufw: Firewalled) -> None:
    """As docs/other-firewalls.md writes it into before.rules."""
    rules = (
        "*raw\\n:PREROUTING ACCEPT [0:0]\\n"
        f"-A PREROUTING -d {PUBLIC} -p tcp --dport {PORT} -j DROP\\nCOMMIT\\n"
    )
    file = "/etc/ufw/before.rules"
    ufw.host.run(f"cp {file} /root/before.rules; printf '{rules}' >>{file}; ufw reload")
    try:
        assert not ufw.answers(PUBLIC)
    finally:
        ufw.host.run(f"cp /root/before.rules {file}; ufw reload; iptables -t raw -F PREROUTING")
    assert ufw.answers(PUBLIC)
