"""Access to Docker's socket: what Traefik gets through the proxy, who else reaches it."""

from __future__ import annotations

import json
import shlex

import pytest

from lab.api import Host
from lab.checks import matrix, run
from planner.edge import SOCKET_PORT
from planner.plan import NetworkPlan, plan
from tests.lab.edge.conftest import Edge

pytestmark = pytest.mark.lab

HOSTS = (0, 1)
NETWORKS = ("web", "mail", "special")


def _host(edge: Edge, number: int) -> Host:
    return edge.lab.host(edge.plan.hosts[number].name)


def _network(edge: Edge, number: int, name: str) -> NetworkPlan:
    (found,) = [each for each in plan(edge.plan)[number].networks if each.name == name]
    return found


def _proxy(edge: Edge, number: int, name: str) -> str:
    socket = _network(edge, number, name).socket
    assert socket is not None
    assert socket.proxy.socket_ipv4 is not None
    return socket.proxy.socket_ipv4


def _inside(container: str, *words: str) -> str:
    """Return a command that runs a program of the host in a container's network."""
    pid = f"$(docker inspect -f '{{{{.State.Pid}}}}' {shlex.quote(container)})"
    return f"nsenter --target {pid} --net -- {shlex.join(words)}"


def _ask(edge: Edge, number: int, name: str, path: str, *words: str) -> tuple[int, str]:
    """Ask a network's proxy from its load balancer's network; return status and body."""
    url = f"http://{_proxy(edge, number, name)}:{SOCKET_PORT}{path}"
    curl = ["curl", "-sS", "--path-as-is", "-m", "5", "-w", "\n%{http_code}", *words, url]
    body, _, status = _host(edge, number).run(_inside(f"{name}_lb", *curl)).stdout.rpartition("\n")
    return int(status), body


@pytest.mark.parametrize("number", HOSTS)
def test_only_the_proxy_has_the_socket(edge: Edge, number: int) -> None:
    """No other container of the host has it mounted."""
    form = "{{.Name}}{{range .Mounts}} {{.Source}}{{end}}"
    said = _host(edge, number).run(f"docker inspect -f {shlex.quote(form)} $(docker ps -aq)").stdout
    holders = {line.split()[0] for line in said.splitlines() if "docker.sock" in line}
    assert holders == {f"/{name}_socket" for name in NETWORKS}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("number", HOSTS)
def test_a_load_balancer_sees_its_own_networks_containers_alone(
    edge: Edge, number: int, name: str
) -> None:
    """Whatever it asks for: no answer has other networks' containers or their environment."""
    everything = [
        "",
        "?all=1",
        "?filters=%7B%7D",
        "?all=1&filters=%7B%22name%22%3A%5B%22m%22%5D%7D",
    ]
    # The engine's newest API version: Docker 29 refuses those of 20.10.
    form = "{{.Server.APIVersion}}"
    version = _host(edge, number).run(f"docker version -f '{form}'").stdout.strip()
    for query in everything:
        status, body = _ask(edge, number, name, f"/v{version}/containers/json{query}")
        assert status == 200
        assert {each["Labels"]["lb.net"] for each in json.loads(body)} == {name}
    (one, *_) = [each["Id"] for each in json.loads(body)]
    status, body = _ask(edge, number, name, f"/v{version}/containers/{one}/json")
    assert (status, json.loads(body)["Id"]) == (200, one)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/containers/web_lb/json", []),
        ("/v1.41/containers/mail_lb/json", []),
        ("/info", []),
        ("/images/json", []),
        ("/networks", []),
        ("/volumes", []),
        ("/containers/json/../../info", []),
        ("/v1.41/containers/json%2f..%2f..%2finfo", []),
        ("/_ping", ["-X", "POST"]),
        ("/containers/create", ["-X", "POST", "-d", "{}"]),
        (f"/containers/{'a' * 64}/json", ["-X", "DELETE"]),
        (f"/containers/{'a' * 64}/exec", ["-X", "POST", "-d", "{}"]),
        (f"/containers/{'a' * 64}/archive?path=/", []),
        (f"/containers/{'a' * 64}/logs?stdout=1", []),
    ],
)
@pytest.mark.parametrize("number", HOSTS)
def test_all_else_is_refused(edge: Edge, number: int, path: str, words: list[str]) -> None:
    """The proxy refuses it without asking Docker."""
    status, _ = _ask(edge, number, "web", path, *words)
    assert status == 403


@pytest.mark.parametrize("number", HOSTS)
def test_the_default_route_stays_the_isolated_networks(edge: Edge, number: int) -> None:
    """The second network gives a load balancer no route except the one to its proxy."""
    for name in NETWORKS:
        docker = _network(edge, number, name).docker
        own = {ipam.gateway for ipam in docker.ipam}
        routes = "ip -4 route show default; ip -6 route show default"
        said = _host(edge, number).run(_inside(f"{name}_lb", "sh", "-c", routes)).stdout
        gateways = [line.split()[2] for line in said.splitlines()]
        assert sorted(gateways) == sorted(own), said


@pytest.mark.parametrize("number", HOSTS)
def test_a_proxy_has_no_way_out(edge: Edge, number: int) -> None:
    """Docker 20.10 gives it a default route, 29 does not; neither leads anywhere."""
    assert edge.plan.echo is not None
    assert edge.plan.echo.ipv4 is not None
    for name in NETWORKS:
        ask = ["curl", "-sS", "-m", "2", "-o", "/dev/null", edge.plan.echo.ipv4]
        with edge.lab.internet.capture(f"src host {_proxy(edge, number, name)}") as capture:
            done = _host(edge, number).run(_inside(f"{name}_socket", *ask), check=False)
        # curl(1), EXIT CODES: connection refused, or timeout.
        assert done.status in (7, 28), done.stderr
        assert capture.packets == []


@pytest.mark.parametrize("number", HOSTS)
def test_other_containers_and_neighbours_do_not_reach_a_proxy(edge: Edge, number: int) -> None:
    """No container of any network, including the proxy's own, and no neighbour on the link."""
    name = edge.plan.hosts[number].name
    checks = [c for c in matrix(edge.plan) if (c.kind, c.host) == ("socket", name)]
    assert len(checks) == 3 * 4
    assert [str(result) for result in run(edge.lab, checks) if not result.ok] == []


@pytest.mark.parametrize("number", HOSTS)
def test_the_second_network_is_no_way_out(edge: Edge, number: int) -> None:
    """Even a load balancer that was given a route gets nowhere through that bridge.

    Neither to the internet nor to another network's public address, whose rules accept packets
    before Docker's own isolation rules; not with Docker's rules flushed, either.
    """
    host = _host(edge, number)
    web = _network(edge, number, "web")
    assert web.socket is not None
    (ipam,) = web.socket.docker.ipam
    (source,) = [each.socket_ipv4 for each in web.containers if each.socket_ipv4 is not None]
    (mail,) = [each for each in edge.plan.hosts[number].networks if each.name == "mail"]
    assert mail.ipv4 is not None
    targets = [edge.plan.echo.ipv4 if edge.plan.echo else None, f"http://{mail.ipv4.public}/"]
    for target in targets:
        assert target is not None
        address = target.removeprefix("http://").rstrip("/")
        script = (
            f"ip route replace {address} via {ipam.gateway} src {source}; "
            f"curl -sS -m 2 -o /dev/null {target}; said=$?; ip route del {address}; echo $said"
        )
        with edge.lab.internet.capture(f"src host {source}") as capture:
            said = host.run(_inside("web_lb", "sh", "-c", script)).stdout.strip()
        assert said == "28", f"{target}: curl's status {said}"
        assert capture.packets == []


@pytest.mark.parametrize("number", HOSTS)
def test_nothing_can_be_forged_in_a_load_balancer(edge: Edge, number: int) -> None:
    """It has no capability for raw packets or routes, and the proxy has no capability at all."""
    for name in NETWORKS:
        for container, kept in ((f"{name}_lb", 1 << 10), (f"{name}_socket", 0)):
            pid = f"$(docker inspect -f '{{{{.State.Pid}}}}' {container})"
            said = _host(edge, number).run(f"grep CapBnd /proc/{pid}/status").stdout
            assert int(said.split()[1], 16) == kept, container
