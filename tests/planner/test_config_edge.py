"""The load balancer's keys: defaults, and one clear error for each invalid combination."""

from ipaddress import IPv4Network, ip_network
from typing import Any

import pytest

from planner.config import Acme, PortRange, SecretRef, Stack
from planner.config.names import socket_bridge
from planner.config.types import why_no_hash
from planner.errors import ConfigError
from tests.planner.samples import (
    ABSENT,
    MAIL,
    WEB,
    check_only_problem,
    edited,
    parsed,
    problems,
)

LB = f"{MAIL}.load_balancer"
_LB = "wanbound:hosts[0].networks[1].load_balancer"
ACME: tuple[str, object] = (f"{LB}.acme", {"email": "bob@example.com"})
BCRYPT = "$2y$10$abcdefghijklmnopqrstuuN5CwKsMeBXe0ssFD5CJsW0WgUpGSJSe"
DASHBOARD: tuple[str, object] = (
    f"{LB}.dashboard",
    {"domain": "lb.mail.example.com", "user": "bob", "password_hash": {"secret": "hash"}},
)
SECRETS: tuple[str, object] = ("secrets", {"hash": BCRYPT, "ca": "-----BEGIN CERTIFICATE-----\n"})
_ECHO = ("echo", {"ipv4": "http://198.51.100.1/", "ipv6": "http://[2001:db8::1]/"})


def _balancer(*edits: tuple[str, object]) -> Any:  # noqa: ANN401 - for its fields alone
    balancer = parsed(*edits).hosts[0].networks[1].load_balancer
    assert balancer is not None
    return balancer


def test_without_acme_it_speaks_plain_http() -> None:
    """It has no certificate, no dashboard and no trusted proxy."""
    balancer = _balancer()
    assert (balancer.acme, balancer.dashboard, balancer.http3) == (None, None, False)
    assert balancer.trusted_ips == ()


def test_acme_has_the_recipes_defaults() -> None:
    """Let's Encrypt, TLS-ALPN, a volume of the network's name, and the network's own proxies."""
    balancer = _balancer(ACME)
    assert balancer.acme == Acme(
        email="bob@example.com",
        ca_server="https://acme-v02.api.letsencrypt.org/directory",
        ca_certificates=None,
        challenge="tls-alpn",
        volume="mail_letsencrypt",
        keep_volume=False,
    )
    subnets = [ip_network(text) for text in ("172.20.2.0/24", "fd5c:1b2a:77f0:2::/64")]
    assert list(balancer.trusted_ips) == subnets


def test_what_is_written_is_taken() -> None:
    """Every key of acme is used, and trusted proxies replace the network's own."""
    acme = {
        "email": "bob@example.com",
        "ca_server": "https://ca.example.com:14000/dir",
        "ca_certificates": {"secret": "ca"},
        "challenge": "http",
        "volume": "certs",
        "keep_volume": True,
    }
    balancer = _balancer((f"{LB}.acme", acme), (f"{LB}.trusted_ips", ["10.0.0.0/8"]), SECRETS)
    assert balancer.acme.ca_certificates == SecretRef(secret="ca")
    assert (balancer.acme.challenge, balancer.acme.volume) == ("http", "certs")
    assert balancer.acme.keep_volume
    assert balancer.trusted_ips == (ip_network("10.0.0.0/8"),)
    assert _balancer(ACME, (f"{LB}.trusted_ips", [])).trusted_ips == ()


@pytest.mark.parametrize("inner", [False, True])
def test_the_dashboards_name_stands_at_either_place(inner: bool) -> None:
    """It may be in the dashboard's keys or be the load balancer's own."""
    dashboard = {"user": "bob", "password_hash": {"secret": "hash"}}
    own: list[tuple[str, object]] = [(f"{LB}.domain", "LB.mail.example.com")]
    if inner:
        own = [(f"{LB}.dashboard.domain", "lb.mail.example.com")]
    balancer = _balancer(ACME, SECRETS, (f"{LB}.dashboard", dashboard), *own)
    assert balancer.dashboard.domain == "lb.mail.example.com"


_HTTPS = PortRange(443, 443)


def test_http3_brings_its_udp_port_once() -> None:
    """It is added to all TCP or to listed ports, unless ingress lists it already."""
    http3 = (f"{LB}.http3", True)
    listed: list[dict[str, object]] = [{"ports": [80, 443]}]
    udp = {"protocol": "udp", "ports": ["440-450"]}
    for ingress, wanted in (
        (ABSENT, ["tcp all", "udp 443"]),
        (listed, ["tcp 80,443", "udp 443"]),
        ([*listed, udp], ["tcp 80,443", "udp 440-450"]),
        # Entries for another address or for one of two say nothing about the rest.
        (
            [*listed, {**udp, "addresses": ["203.0.113.21"]}],
            ["tcp 80,443", "udp 440-450", "udp 443"],
        ),
        (
            [*listed, {**udp, "addresses": ["203.0.113.20"]}],
            ["tcp 80,443", "udp 440-450", "udp 443 at 2001:db8::20"],
        ),
        # Where TCP 443 does not lead to the load balancer, UDP does not either.
        (
            [
                {"ports": [80, 443], "addresses": ["203.0.113.21"]},
                {"ports": [443], "to": "turn", "addresses": ["203.0.113.20"]},
            ],
            ["tcp 80,443", "tcp 443 at 203.0.113.20", "udp 443 at 203.0.113.21"],
        ),
    ):
        edits = [ACME, http3] if ingress is ABSENT else [ACME, http3, (f"{MAIL}.ingress", ingress)]
        network = parsed(*edits).hosts[0].networks[1]
        assert [
            f"{each.protocol} "
            + (each.ports if each.ports == "all" else ",".join(map(str, each.ports)))
            + "".join(f" at {address}" for address in each.addresses if each.ports[0] == _HTTPS)
            for each in network.ingress
        ] == wanted


def test_socket_subnets_are_stable_and_meet_nothing() -> None:
    """Each has a /29 of its own pool; none with the socket itself or without load balancer."""
    subnets = []
    for network in parsed().hosts[0].networks:
        assert network.load_balancer is not None
        assert network.load_balancer.socket_subnet is not None
        subnets.append(network.load_balancer.socket_subnet)
    assert all(subnet.subnet_of(IPv4Network("10.64.0.0/10")) for subnet in subnets)
    assert all(subnet.prefixlen == 29 for subnet in subnets)
    assert len(set(subnets)) == 2
    assert _balancer(("images", {"socket_proxy": "example/p:1"})).socket_image == "example/p:1"
    direct = _balancer((f"{LB}.docker_socket", "direct"))
    assert (direct.socket_subnet, direct.socket_image) == (None, None)
    # Without the other network, it keeps its subnet.
    (one,) = parsed(("hosts.0.networks.0", ABSENT)).hosts[0].networks
    assert one.load_balancer is not None
    assert one.load_balancer.socket_subnet == subnets[1]


@pytest.mark.parametrize("bridge", ["web", "abcdefghij", "abcdefghijk", "abcdefghijklmno"])
def test_the_sockets_bridge_is_a_link_of_the_kernel(bridge: str) -> None:
    """It has at most 15 characters, and differs for each bridge."""
    assert len(socket_bridge(bridge)) <= 15
    assert socket_bridge(bridge) != socket_bridge(bridge[:-1] + "z")


@pytest.mark.parametrize(
    "value",
    [
        BCRYPT,
        BCRYPT.replace("$2y$", "$2a$"),
        BCRYPT.replace("$2y$", "$2b$"),
        "$apr1$ab12cd34$" + "a" * 22,
        "{SHA}" + "a" * 27 + "=",
    ],
)
def test_hashes_that_traefik_knows(value: str) -> None:
    """Valid are bcrypt in its three spellings, Apache's MD5 and SHA-1."""
    assert why_no_hash(value) is None
    assert parsed(ACME, DASHBOARD, ("secrets", {"hash": value}))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("hunter2", "is not a hash"),
        ("", "is not a hash"),
        (f"bob:{BCRYPT}", "begins with a user name"),
        (f"{BCRYPT}\n", "a line break at its end"),
        (BCRYPT.replace("$", "$$"), "each $ doubled"),
        (BCRYPT[:-1], "is not a hash"),
        ("$2y$40$" + "a" * 53, "is not a hash"),
        ("$1$abcdefgh$" + "a" * 22, "is not a hash"),
        ("{SHA}short=", "is not a hash"),
    ],
)
def test_a_hash_that_is_none_is_refused_and_never_shown(value: str, said: str) -> None:
    """It is refused before a host is contacted; the error only names the secret."""
    with pytest.raises(ConfigError) as caught:
        Stack.parse(edited(ACME, DASHBOARD, ("secrets", {"hash": value})), "test")
    (problem,) = caught.value.problems
    assert problem.key == f"{_LB}.dashboard.password_hash"
    assert problem.what.startswith("is the secret hash, whose value ")
    assert said in problem.what
    assert "htpasswd" in problem.remedy
    if value:
        assert value not in str(caught.value)


def test_a_secret_that_is_still_encrypted_is_not_judged() -> None:
    """The lab and tests read a stack's file without Pulumi."""
    assert parsed(ACME, DASHBOARD, ("secrets", {"hash": {"secure": "v1:abc"}}))


def test_a_hash_in_the_file_is_refused_and_not_shown() -> None:
    """Only {secret: NAME} is accepted; a hash as the whole dashboard is not shown either."""
    for path in (f"{LB}.dashboard.password_hash", f"{LB}.dashboard"):
        with pytest.raises(ConfigError) as caught:
            Stack.parse(edited(ACME, DASHBOARD, SECRETS, (path, BCRYPT)), "test")
        assert BCRYPT not in str(caught.value)


def test_an_entry_for_another_address_is_not_the_networks_own() -> None:
    """HTTP/3 applies to the network's own; a certificate's name may resolve to any of them."""
    extra = ["203.0.113.21", "2001:db8::21"]
    http3 = (f"{LB}.http3", True)
    turn = {"protocol": "udp", "ports": [443], "to": "turn", "addresses": extra}
    assert not problems(ACME, http3, (f"{MAIL}.ingress", [{"ports": [80, 443]}, turn]))
    elsewhere = [{"ports": [443], "to": "turn"}, {"ports": [80, 443], "addresses": extra}]
    assert not problems(ACME, (f"{MAIL}.ingress", elsewhere))


WRONG = {
    "no e-mail": ([(f"{LB}.acme", {})], f"{_LB}.acme.email", "is missing", "bob@example.com"),
    "bad e-mail": (
        [(f"{LB}.acme", {"email": "bob at example.com"})],
        f"{_LB}.acme.email",
        "is not a mail address",
        "bob@example.com",
    ),
    "bad CA server": (
        [(f"{LB}.acme", {"email": "a@b.example", "ca_server": "http://ca.example.com/dir"})],
        f"{_LB}.acme.ca_server",
        "not an https:// URL",
        "letsencrypt",
    ),
    "bad challenge": (
        [(f"{LB}.acme", {"email": "a@b.example", "challenge": "dns"})],
        f"{_LB}.acme.challenge",
        "not one of tls-alpn or http",
        "write tls-alpn",
    ),
    "bad volume": (
        [(f"{LB}.acme", {"email": "a@b.example", "volume": "-x/y"})],
        f"{_LB}.acme.volume",
        "is not a volume's name",
        "mail_letsencrypt",
    ),
    "one volume twice": (
        [
            ACME,
            (f"{WEB}.load_balancer.acme", {"email": "a@b.example", "volume": "x1"}),
            (f"{LB}.acme", {"email": "a@b.example", "volume": "x1"}),
        ],
        f"{_LB}.acme.volume",
        "where network web keeps its certificates",
        "a volume of its own",
    ),
    "no CA certificate": (
        [(f"{LB}.acme", {"email": "a@b.example", "ca_certificates": {"secret": "hash"}}), SECRETS],
        f"{_LB}.acme.ca_certificates",
        "holds no certificate",
        "PEM",
    ),
    "secret missing": (
        [ACME, DASHBOARD, ("secrets", {"hsh": BCRYPT})],
        f"{_LB}.dashboard.password_hash",
        "refers to a secret that is not in wanbound:secrets",
        "did you mean hsh?",
    ),
    "domain that is none": (
        [ACME, DASHBOARD, SECRETS, (f"{LB}.dashboard.domain", "lb_mail")],
        f"{_LB}.dashboard.domain",
        "is not a DNS name",
        "example.com",
    ),
    "dashboard without a name": (
        [ACME, SECRETS, (f"{LB}.dashboard", {"user": "bob", "password_hash": {"secret": "hash"}})],
        f"{_LB}.domain",
        "is missing, and dashboard is set",
        "add domain",
    ),
    "two names": (
        [ACME, DASHBOARD, SECRETS, (f"{LB}.domain", "other.example.com")],
        f"{_LB}.dashboard.domain",
        "the load balancer's own is other.example.com",
        "remove one",
    ),
    "name without dashboard": (
        [ACME, (f"{LB}.domain", "lb.mail.example.com")],
        f"{_LB}.domain",
        "there is no dashboard",
        "add dashboard",
    ),
    "dashboard without acme": (
        [DASHBOARD, SECRETS],
        f"{_LB}.dashboard",
        "is set without acme",
        "add acme",
    ),
    "bad user": (
        [ACME, DASHBOARD, SECRETS, (f"{LB}.dashboard.user", "bob:x")],
        f"{_LB}.dashboard.user",
        "is not a user name",
        "bob",
    ),
    "http3 without acme": ([(f"{LB}.http3", True)], f"{_LB}.http3", "without acme", "add acme"),
    "http3 taken": (
        [
            ACME,
            (f"{LB}.http3", True),
            (
                f"{MAIL}.ingress",
                [{"ports": "all"}, {"protocol": "udp", "ports": [443], "to": "turn"}],
            ),
        ],
        f"{_LB}.http3",
        "UDP port 443 is forwarded to turn",
        "remove http3",
    ),
    "whoami to which nothing leads": (
        [
            ("echo", {"ipv4": "http://198.51.100.1/", "ipv6": "http://[2001:db8:ffff::1]/"}),
            (f"{MAIL}.whoami", {"domain": "w.example.com"}),
            (f"{MAIL}.ingress", [{"ports": [25], "to": "turn"}]),
        ],
        "wanbound:hosts[0].networks[1].whoami",
        "ingress forwards no TCP port to the load balancer",
        "ports: [80, 443]",
    ),
    "443 not forwarded": (
        [ACME, (f"{MAIL}.ingress", [{"ports": [25, 80]}])],
        f"{_LB}.acme",
        "TCP port 443 is not forwarded",
        "80, 443",
    ),
    "80 not forwarded": (
        [
            (f"{LB}.acme", {"email": "a@b.example", "challenge": "http"}),
            (f"{MAIL}.ingress", [{"ports": [443]}]),
        ],
        f"{_LB}.acme",
        "TCP port 80 is not forwarded",
        "80, 443",
    ),
    "trusted nonsense": (
        [(f"{LB}.trusted_ips", ["172.20.0.1/24"])],
        f"{_LB}.trusted_ips",
        "has host bits set",
        "172.20.0.0/24",
    ),
    "bad socket": (
        [(f"{LB}.docker_socket", True)],
        f"{_LB}.docker_socket",
        "not one of proxy or direct",
        "write proxy",
    ),
    "public pool": (
        [("socket_pool", "8.8.0.0/16")],
        "wanbound:socket_pool",
        "is not private space",
        "10.64.0.0/10",
    ),
}


@pytest.mark.parametrize(("edits", "key", "what", "remedy"), WRONG.values(), ids=WRONG.keys())
def test_one_error_names_key_and_remedy(
    edits: list[tuple[str, object]], key: str, what: str, remedy: str
) -> None:
    """No other problem is reported."""
    check_only_problem(edits, key, what, remedy)


def _labelled(name: str, rule: str, network: str = "mail") -> dict[str, object]:
    labels = {"lb.net": network, "traefik.http.routers.r.rule": rule}
    return {"name": name, "image": "example/app", "labels": labels}


NAME = "whoami.mail.example.com"


@pytest.mark.parametrize(
    ("edits", "twice"),
    [
        ([(f"{MAIL}.containers", [_labelled("c1", f"Host(`{NAME}`)")])], True),
        (
            [(f"{MAIL}.containers", [_labelled("c1", f'Host("other.example", "{NAME.upper()}")')])],
            True,
        ),
        ([(f"{WEB}.whoami", {"domain": NAME})], True),
        ([ACME, DASHBOARD, SECRETS, (f"{LB}.dashboard.domain", NAME)], True),
        (
            [
                (
                    f"{MAIL}.containers",
                    [_labelled("c1", "Host(`a.example`)"), _labelled("c2", "Host(`a.example`)")],
                )
            ],
            True,
        ),
        # A longer rule, a container without a route, a router of another kind.
        ([(f"{MAIL}.containers", [_labelled("c1", f"Host(`{NAME}`) && Path(`/x`)")])], False),
        ([(f"{MAIL}.containers", [_labelled("c1", f"Host(`{NAME}`)", "elsewhere")])], False),
        ([("hosts.1.networks.0.whoami", {"domain": NAME})], False),
    ],
)
def test_a_host_name_is_one_services_own(edits: list[tuple[str, object]], twice: bool) -> None:
    """On one host; services on two hosts may have the same name."""
    found = problems((f"{MAIL}.whoami", {"domain": NAME}), _ECHO, *edits)
    assert [("is the host name of" in problem.what) for problem in found] == [True] * twice
