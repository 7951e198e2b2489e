"""A network's load balancer as planned: flags, labels, files, and the socket proxy's rules."""

import re
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs

import pytest

from planner.config import SecretRef, Stack
from planner.config.schema import MARK
from planner.docker import ContainerPlan, Upload
from planner.edge import SOCKET, SOCKET_PORT, socket_rules
from planner.guard import marks
from planner.plan import NetworkPlan, plan
from tests.planner import golden
from tests.planner.nft import Packet, guard_of


def _networks() -> dict[str, NetworkPlan]:
    (host,) = plan(Stack.parse(golden.config("edge"), "edge"))
    return {network.name: network for network in host.networks}


def _balancer(network: NetworkPlan) -> ContainerPlan:
    (found,) = [each for each in network.containers if each.role == "load_balancer"]
    return found


def test_the_middleware_is_attached_to_the_dashboards_router() -> None:
    """The recipe declares it on the command line but attaches it to no router."""
    labels = _balancer(_networks()["mail"]).labels
    (used,) = [value for label, value in labels.items() if label.endswith(".middlewares")]
    kinds = [label for label in labels if label.startswith(f"traefik.http.middlewares.{used}.")]
    assert kinds == [f"traefik.http.middlewares.{used}.basicauth.usersfile"]
    assert labels["traefik.http.routers.dashboard.entrypoints"] == "websecure"
    assert labels["lb.net"] == "mail"


def test_the_users_file_is_where_the_label_says() -> None:
    """The file has user and hash, the hash as a reference; no label has either."""
    balancer = _balancer(_networks()["mail"])
    (upload,) = balancer.uploads
    assert upload.path in balancer.labels.values()
    assert upload.content == ("bob:", SecretRef(secret="dashboard"), "\n")
    assert "$2y$" not in golden.planned("edge")


def test_a_private_authoritys_certificate_is_where_the_flag_says() -> None:
    """Without one, the certificates of the image are used."""
    networks = _networks()
    balancer = _balancer(networks["a-long-name.com"])
    (upload,) = balancer.uploads
    assert upload == Upload("/etc/traefik/acme-ca.pem", (SecretRef(secret="ca"),))
    assert f"--certificatesresolvers.lec.acme.cacertificates={upload.path}" in balancer.command
    assert "cacertificates" not in str(_balancer(networks["mail"]).command)


def test_only_the_explicit_key_mounts_the_socket() -> None:
    """In all other networks only the proxy has it."""
    for name, network in _networks().items():
        mounts = {
            each.name: [volume.source for volume in each.volumes if "docker.sock" in volume.source]
            for each in network.containers
        }
        wanted: dict[str, list[str]] = {each.name: [] for each in network.containers}
        if name == "direct":
            assert network.socket is None
            wanted["direct_lb"] = [SOCKET]
        else:
            assert network.socket is not None
            assert [volume.source for volume in network.socket.proxy.volumes] == [SOCKET]
        assert mounts == wanted


def test_a_load_balancer_asks_its_own_proxy() -> None:
    """The endpoint is the proxy's address, on an internal network without IPv6."""
    for name, network in _networks().items():
        if network.socket is None:
            continue
        proxy, docker = network.socket.proxy, network.socket.docker
        assert (docker.internal, docker.ipv6) == (True, False)
        endpoint = f"--providers.docker.endpoint=tcp://{proxy.socket_ipv4}:{SOCKET_PORT}"
        assert endpoint in _balancer(network).command
        assert (proxy.ipv4, proxy.ipv6) == (None, None), name
        assert (proxy.capabilities, proxy.user) == ((), "0:0")
        addresses = {proxy.socket_ipv4, _balancer(network).socket_ipv4, docker.ipam[0].gateway}
        assert len(addresses) == 3


def test_the_guard_closes_the_sockets_bridge() -> None:
    """In both directions, whatever iptables accepts; Docker creates a bridge of this name."""
    for network in _networks().values():
        guard = guard_of([*marks(MARK), *network.wanted])
        if network.socket is None:
            assert "-sock" not in str(network.wanted)
            continue
        bridge = network.socket.docker.options["com.docker.network.bridge.name"]
        assert bridge == network.owns.bridges["socket"]
        inside, public = ip_address("10.114.67.11"), ip_address("203.0.113.20")
        for other in (network.bridge, "wan0", "docker0"):
            out = Packet(bridge, other, inside, inside, public)
            into = Packet(other, bridge, public, public, inside, dnat=True)
            assert guard.verdict("forward", out) == "drop"
            assert guard.verdict("forward", into) == "drop"
        within = Packet(bridge, bridge, inside, inside, inside)
        assert guard.verdict("forward", within) == "accept"


class _Proxy:
    """HAProxy's decisions about a request, according to its configuration text."""

    def __init__(self, text: str) -> None:
        self._acls: dict[str, Any] = {}
        self._rules = []
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["acl"]:
                self._acls[words[1]] = words[2:]
            if words[:1] == ["http-request"]:
                self._rules.append(words[1:])

    def answer(self, method: str, path: str, query: str = "") -> tuple[int, str]:
        """The status, and the query that Docker gets."""
        for rule in self._rules:
            place = next(i for i, word in enumerate(rule) if word in ("if", "unless"))
            names = [word for word in rule[place + 1 :] if word != "or"]
            holds = any(self._holds(name, method, path) for name in names)
            if holds != (rule[place] == "if"):
                continue
            if rule[0] == "deny":
                return int(rule[2]), ""
            assert rule[0] == "set-query"
            query = re.sub("%%", "%", rule[1])
        return 200, query

    def _holds(self, name: str, method: str, path: str) -> bool:
        match self._acls[name]:
            case ["method", *methods]:
                return method in methods
            case ["path", "-m", "reg", pattern]:
                return re.search(pattern, path) is not None
        raise ValueError(self._acls[name])


ID = "0123456789abcdef" * 4


@pytest.mark.parametrize("version", ["", "/v1.24", "/v1.51"])
@pytest.mark.parametrize(
    "path",
    ["/_ping", "/version", "/containers/json", "/events", f"/containers/{ID}/json"],
)
def test_what_traefik_reads_gets_through(version: str, path: str) -> None:
    """The API's version may be in the path or not."""
    assert _Proxy(socket_rules("mail")).answer("GET", version + path)[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/create"),
        ("POST", "/_ping"),
        ("DELETE", f"/containers/{ID}/json"),
        ("GET", "/containers/mail_lb/json"),
        ("GET", f"/containers/{ID[:12]}/json"),
        ("GET", f"/containers/{ID}/logs"),
        ("GET", f"/containers/{ID}/archive"),
        ("GET", f"/containers/{ID}/json/../archive"),
        ("GET", "/containers/json/../../info"),
        ("GET", "/info"),
        ("GET", "/images/json"),
        ("GET", "/networks"),
        ("GET", "/secrets"),
        ("GET", "/v1.41"),
        ("GET", "//containers/json"),
        ("GET", "/v1x41/containers/json"),
        ("GET", "/x/containers/json"),
    ],
)
def test_all_else_is_refused(method: str, path: str) -> None:
    """Writing requests, and reading ones that Traefik does not need."""
    assert _Proxy(socket_rules("mail")).answer(method, path)[0] == 403


@pytest.mark.parametrize("path", ["/containers/json", "/v1.41/events"])
def test_lists_and_events_are_the_networks_own(path: str) -> None:
    """Whatever the request asks for, Docker gets our filter, correctly encoded."""
    _, query = _Proxy(socket_rules("a.b_c-1")).answer("GET", path, "all=1&filters={}")
    wanted = '{"label":["lb.net=a.b_c-1"]}'
    if path.endswith("events"):
        wanted = '{"label":["lb.net=a.b_c-1"],"type":["container"]}'
    assert parse_qs(query, strict_parsing=True) == {"filters": [wanted]}
