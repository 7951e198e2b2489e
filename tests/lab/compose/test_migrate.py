"""docs/migrate.md on a real host with the real docker compose: each step, and the way back."""

import time

import pytest

from lab.api import Host, Lab
from tests.lab.compose.site import LISTENING_SECONDS, PROJECTS, Site, following
from tests.lab.modes.networks import MAIL, ROUTER, asked

pytestmark = pytest.mark.lab

SHOP, MAILSERVER = ("203.0.113.10", "2001:db8::10"), ("203.0.113.20", "2001:db8::20")


def _mail_is_at(site: Site, address: str) -> None:
    """Assert that mail uses this IPv4 address, in and out."""
    for port in MAIL:
        assert asked(site.lab, "tcp", address, port) == ROUTER[4], (address, port)
    assert site.leaves_with("mail-mailserver-1", 4) == address


def _mail_is_new(site: Site) -> None:
    _mail_is_at(site, MAILSERVER[0])
    assert asked(site.lab, "tcp", MAILSERVER[1], 25) == ROUTER[6]
    assert site.leaves_with("mail-mailserver-1", 6) == MAILSERVER[1]
    assert asked(site.lab, "tcp", site.host.wan_ipv4, 25) == ""


def _shop_is_old(site: Site) -> None:
    own = site.host.wan_ipv4
    assert own in site.shop(own)
    assert site.leaves_with("shop-shop-1", 4) == own


def _timed(site: Site, what: str, count: int) -> None:
    began = time.monotonic()
    site.follow(count)
    print(f"{site.host.name}: {what} took {time.monotonic() - began:.1f} s")


def test_each_step_and_its_way_back(
    lab: Lab, host: Host, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """After each step, the project that has not been migrated works as before."""
    with following(lab, host, "migrate.md", tmp_path_factory.mktemp("migrate")) as site:
        own = site.host.wan_ipv4
        site.follow(2)  # the compose files as they were
        for project in PROJECTS:
            site.compose(project, "up --detach")
        time.sleep(LISTENING_SECONDS)
        _mail_is_at(site, own)
        _shop_is_old(site)
        site.follow(2)  # 1. the network for mail
        _mail_is_at(site, own)
        _shop_is_old(site)
        # Docker publishes its port at all addresses, also at the new one.
        assert own in site.shop(MAILSERVER[0])
        _timed(site, "mail's move", 2)  # 2. mail moves
        _mail_is_new(site)
        _shop_is_old(site)
        _timed(site, "mail's way back", 1)
        _mail_is_at(site, own)
        _timed(site, "mail's second move", 1)
        _mail_is_new(site)
        site.follow(2)  # 3. the network for the shop
        _mail_is_new(site)
        _shop_is_old(site)
        _timed(site, "the shop's move", 2)  # 4. the shop moves
        _mail_is_new(site)
        for address in SHOP:
            assert address in site.shop(address)
        assert site.leaves_with("shop-shop-1", 4) == SHOP[0]
        assert site.leaves_with("shop-db-1", 4) == ""
        assert site.shop(own) == ""
        assert site.left == []
