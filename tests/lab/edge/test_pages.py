"""What a client on the internet sees: every network's page by name, redirects and passwords."""

from __future__ import annotations

import json
import sys

import pytest

from lab.api import Lab
from lab.checks import pages
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from planner.config import Network
from tests.lab.edge.conftest import FOUR, PASSWORD, USER, Edge
from tests.lab.edge.names import dashboard, page, web_of

pytestmark = pytest.mark.lab

NETWORKS = ("web", "mail", "special")
HOSTS = (0, 1)


@pytest.fixture(scope="module")
def seen(edge: Edge) -> dict[tuple[str, str, int], str]:
    """The error of each page by host, network and family; "" for a correct one."""
    found = pages(edge.lab, edge.plan)
    return {(p.host, p.network, p.family): "" if p.ok else p.why for p in found}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("host", ["test-1", "test-2"])
def test_a_page_says_the_recipes_three_words(
    seen: dict[tuple[str, str, int], str], host: str, name: str, family: int
) -> None:
    """The client's own address, and the network's in both families; with a good certificate."""
    assert seen[host, name, family] == ""


def test_names_are_validated_through_the_rules_in_both_families(edge: Edge) -> None:
    """The authority reached the challenge's port: by IPv6, and by IPv4 where there is no AAAA."""
    asked = {(packet.dst, packet.dport) for packet in edge.validations}
    ports = {"tls-alpn": 443, "http": 80}
    seen = set()
    for host in edge.plan.hosts:
        for network in host.networks:
            assert network.ipv6 is not None
            assert network.load_balancer is not None
            assert network.load_balancer.acme is not None
            port = ports[network.load_balancer.acme.challenge]
            assert (str(network.ipv6.public), port) in asked, (host.name, network.name)
            seen.add(port)
    assert seen == {80, 443}
    for number in HOSTS:
        ipv4 = web_of(edge, number).ipv4
        assert ipv4 is not None
        assert (str(ipv4.public), 443) in asked


@pytest.mark.parametrize("number", HOSTS)
def test_an_own_container_is_routed_to_by_its_labels(edge: Edge, number: int) -> None:
    """As in docs/edge.md; its name has only an A record, so IPv4 was validated."""
    said = edge.lab.internet.curl("-4", f"https://{FOUR[number]}/").stdout
    assert json.loads(said)["x-forwarded-for"] == CLIENT_IPV4
    refused = edge.lab.internet.curl("-6", "-m", "5", f"https://{FOUR[number]}/", check=False)
    assert refused.status != 0


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("number", HOSTS)
def test_http_goes_to_https_for_good(edge: Edge, number: int, name: str, family: int) -> None:
    """The redirect is permanent and keeps path and query."""
    host = page(edge, number, name)
    form = "%{http_code} %{redirect_url}"
    url = f"http://{host}/a/b?c=d"
    said = edge.lab.internet.curl(f"-{family}", "-o", "/dev/null", "-w", form, url).stdout
    assert said == f"301 https://{host}/a/b?c=d"


def _status(lab: Lab, family: int, url: str, *words: str) -> str:
    form = ["-o", "/dev/null", "-w", "%{http_code}"]
    return lab.internet.curl(f"-{family}", *form, *words, url).stdout


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("number", HOSTS)
def test_the_dashboard_wants_its_password(edge: Edge, number: int, family: int) -> None:
    """The middleware is attached: page and API are closed without the right password."""
    name = dashboard(edge, number)
    for path in ("dashboard/", "api/rawdata"):
        url = f"https://{name}/{path}"
        assert _status(edge.lab, family, url) == "401"
        assert _status(edge.lab, family, url, "-u", f"{USER}:wrong") == "401"
        assert _status(edge.lab, family, url, "-u", f"{USER}:{PASSWORD}") == "200"
    assert _status(edge.lab, family, f"http://{name}/api/rawdata") == "301"


@pytest.mark.parametrize("number", HOSTS)
def test_the_dashboard_is_at_its_name_alone(edge: Edge, number: int) -> None:
    """The API is neither at a page's name nor at another port."""
    name = page(edge, number, "mail")
    # whoami has one page; Traefik would answer this path with its routers.
    said = edge.lab.internet.curl("-4", f"https://{name}/api/rawdata").stdout
    assert said == "404 page not found\n"
    for port in (8080, 8082):
        done = edge.lab.internet.curl("-4", "-m", "2", f"http://{name}:{port}/", check=False)
        assert done.status in (7, 28), done.stderr


@pytest.mark.parametrize("number", HOSTS)
def test_a_forwarded_header_of_a_stranger_is_not_believed(edge: Edge, number: int) -> None:
    """Traefik accepts a forwarded header only from the network's own subnets."""
    words = ["-H", "X-Forwarded-For: 192.0.2.66", "-H", "X-Real-Ip: 192.0.2.66"]
    url = f"https://{page(edge, number, 'web')}/"
    for family, client in ((4, CLIENT_IPV4), (6, CLIENT_IPV6)):
        said = edge.lab.internet.curl(f"-{family}", *words, url).stdout
        assert json.loads(said)["x-forwarded-for"] == client


# RFC 9000, 6.1 and 17.2.1: a server answers an unknown version with those that it supports.
_ASKS_FOR_A_VERSION = """
import socket, sys
host, family = sys.argv[1], int(sys.argv[2])
kind = socket.AF_INET6 if family == 6 else socket.AF_INET
with socket.socket(kind, socket.SOCK_DGRAM) as own:
    own.settimeout(10)
    own.connect((host, 443))
    head = b"\\xc0\\x1a\\x2a\\x3a\\x4a\\x08" + b"d" * 8 + b"\\x08" + b"s" * 8
    own.send(head.ljust(1200, b"\\0"))
    try:
        answer = own.recv(2000)
    except OSError as error:
        print("nothing:", error)
    else:
        print("QUIC" if answer[1:5] == b"\\0\\0\\0\\0" and b"\\0\\0\\0\\x01" in answer else answer)
"""


def _quic(edge: Edge, network: Network, family: int) -> str:
    found = network.ipv4 if family == 4 else network.ipv6
    assert found is not None
    words = [sys.executable, "-c", _ASKS_FOR_A_VERSION, str(found.public), str(family)]
    return edge.lab.internet.run(words).stdout.strip()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("number", HOSTS)
def test_http3_is_reached_where_it_is_on(edge: Edge, number: int, family: int) -> None:
    """UDP 443 leads to Traefik's QUIC, which its pages advertise; other networks do not answer."""
    networks = {network.name: network for network in edge.plan.hosts[number].networks}
    assert _quic(edge, networks["special"], family) == "QUIC"
    assert _quic(edge, networks["web"], family).startswith("nothing")
    for name, advertised in (("special", True), ("web", False)):
        url = f"https://{page(edge, number, name)}/"
        head = edge.lab.internet.curl(f"-{family}", "-o", "/dev/null", "-D", "-", url).stdout
        assert ('h3=":443"' in head) == advertised


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("number", HOSTS)
def test_the_load_balancer_says_that_it_is_well(edge: Edge, number: int, name: str) -> None:
    """`traefik healthcheck` is Docker's health check."""
    host = edge.lab.host(edge.plan.hosts[number].name)
    ask = f"docker inspect -f '{{{{.State.Health.Status}}}}' {name}_lb"
    said = host.run(
        f'for i in $(seq 30); do s=$({ask}); [ "$s" = healthy ] && break; sleep 1; done; echo $s'
    )
    assert said.stdout.strip() == "healthy"
