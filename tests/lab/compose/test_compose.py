"""docs/compose.md on a real host with the real docker compose, its blocks unchanged."""

import time
from collections.abc import Iterator

import pytest

from lab.api import Host, Lab
from lab.traffic import PROBE
from providers.host.gateways import Elsewhere, elsewhere
from tests.lab.compose.site import LISTENING_SECONDS, Site, following
from tests.lab.modes.networks import MAIL, ROUTER, asked
from tests.lab.planned import facts

pytestmark = pytest.mark.lab

SHOP = {4: "203.0.113.10", 6: "2001:db8::10"}
MAILSERVER = {4: "203.0.113.20", 6: "2001:db8::20"}
FAMILIES = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture(scope="module")
def site(lab: Lab, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Follow the page to its last command, which shows where a default route leads."""
    with following(lab, host, "compose.md", tmp_path_factory.mktemp("compose")) as site:
        site.follow(len(site.left))
        yield site


@FAMILIES
def test_the_shop_has_its_networks_address(site: Site, family: int) -> None:
    """Traefik routes to it by its labels, and it leaves with the network's address."""
    assert SHOP[family] in site.shop(SHOP[family])
    assert site.leaves_with("shop-shop-1", family) == SHOP[family]


@FAMILIES
def test_mail_has_its_four_ports_and_its_address(site: Site, family: int) -> None:
    """It sees the client's own address; no other port is forwarded to it."""
    for port in MAIL:
        assert asked(site.lab, "tcp", MAILSERVER[family], port) == ROUTER[family]
    assert asked(site.lab, "tcp", MAILSERVER[family], 80) == ""
    assert site.leaves_with("mail-mailserver-1", family) == MAILSERVER[family]


def test_the_database_is_reached_by_the_shop_alone(site: Site) -> None:
    """It has no default route, and neither the internet nor another network reaches it."""
    address = site.host.run(
        "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'"
        " shop-db-1"
    ).stdout.strip()
    ask = f"{PROBE} ask-tcp -timeout 3s {address}:5432"
    site.host.run(f"docker run --rm --network container:shop-shop-1 {ask}")
    other = f"docker run --rm --network container:mail-mailserver-1 {ask}"
    assert site.host.run(other, check=False).status != 0
    assert site.inside("shop-db-1", "ip route show default") == ""
    assert site.leaves_with("shop-db-1", 4) == site.leaves_with("shop-db-1", 6) == ""
    for public in (*SHOP.values(), *MAILSERVER.values()):
        assert asked(site.lab, "tcp", public, 5432) == ""


def test_the_default_route_leads_to_the_shops_network(site: Site) -> None:
    """The page's last command shows it: an internal network does not take the default route."""
    route = site.inside("shop-shop-1", "ip route show default")
    assert route.startswith("default via 10.20.10.1 dev vweb"), route


def test_down_leaves_the_network_and_up_brings_the_same_addresses(site: Site) -> None:
    """Compose does not remove an external network."""
    before = site.host.run("docker network inspect --format '{{.Id}}' mail").stdout
    site.compose("mail", "down")
    assert site.host.run("docker network inspect --format '{{.Id}}' mail").stdout == before
    site.compose("mail", "up --detach")
    time.sleep(LISTENING_SECONDS)
    assert asked(site.lab, "tcp", MAILSERVER[4], 25) == ROUTER[4]


@pytest.fixture
def agent(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point SSH_AUTH_SOCK at an agent with the operator's key."""
    monkeypatch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])


def _told(host: Host) -> list[Elsewhere]:
    """Return what a refresh reports of containers that leave through another network."""
    found = facts(host)
    assert found.plan is not None
    assert found.containers["shop-db-1"].project == "shop"
    return list(elsewhere(found.plan, found))


@pytest.mark.usefixtures("agent")
def test_a_network_before_ours_in_the_alphabet_takes_the_default_route(site: Site) -> None:
    """The trap: a container leaves with the host's address, unless gw_priority is set."""
    host = site.host
    host.run("docker network create --ipv6 aaa")
    try:
        host.run(f"docker run -d --name trap --network aaa {PROBE} sleep")
        host.run("docker network connect mail trap")
        assert site.leaves_with("trap", 4) == host.wan_ipv4
        told = _told(host)
        assert {each.family for each in told} == {"ipv4", "ipv6"}
        assert {(each.container.name, each.other) for each in told} == {("trap", "aaa")}
        host.run("docker network disconnect mail trap")
        host.run("docker network connect --gw-priority 1 mail trap")
        assert site.leaves_with("trap", 4) == MAILSERVER[4]
        assert site.leaves_with("trap", 6) == MAILSERVER[6]
        assert _told(host) == []
    finally:
        host.run("docker rm -f trap; docker network rm aaa", check=False)
