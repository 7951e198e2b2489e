"""What survives changes and refused changes: certificates, secrets, running containers."""

from __future__ import annotations

import json
import re
import shlex
import time

import pytest

from lab.checks import pages
from tests.lab.edge.conftest import USER, Edge
from tests.lab.edge.names import dashboard, page
from tests.lab.stack.configs import network

pytestmark = pytest.mark.lab

HOSTS = (0, 1)


def _serial(edge: Edge, name: str) -> str:
    """Return the certificate's serial number, as a client gets it."""
    words = ["--retry", "20", "--retry-all-errors", "--retry-delay", "1", "-m", "5"]
    form = ["-o", "/dev/null", "-w", "%{certs}"]
    said = edge.lab.internet.curl("-6", *words, *form, f"https://{name}/", timeout=120).stdout
    (first, *_) = re.findall(r"Serial Number:\s*([0-9a-f:]+)", said)
    return str(first)


def _container(edge: Edge, number: int, name: str) -> str:
    host = edge.lab.host(edge.plan.hosts[number].name)
    return host.run(f"docker inspect -f '{{{{.Id}}}}' {name}").stdout.strip()


def test_a_new_load_balancer_has_the_old_certificate(edge: Edge) -> None:
    """The container is replaced; its certificates and its account are in the volume.

    One of the replaced load balancers reads Docker's socket itself, which takes the explicit key.
    """
    names = [page(edge, number, "web") for number in HOSTS]
    before = [_serial(edge, name) for name in names]
    containers = [_container(edge, number, "web_lb") for number in HOSTS]
    changed = edge.changed()
    for number in HOSTS:
        network(changed, number + 1, "web")["load_balancer"]["trusted_ips"] = []
        network(changed, number + 1, "special")["load_balancer"]["docker_socket"] = "direct"
    edge.stack.configure(changed)
    try:
        done = edge.stack.up()
        assert done.counts["replaced"] == 4
        assert [_serial(edge, name) for name in names] == before
        after = [_container(edge, number, "web_lb") for number in HOSTS]
        assert set(after).isdisjoint(containers)
        assert [one.why for one in pages(edge.lab, edge.plan) if not one.ok] == []
        for number in HOSTS:
            host = edge.lab.host(edge.plan.hosts[number].name)
            mounts = host.run("docker inspect -f '{{.HostConfig.Binds}}' special_lb").stdout
            assert "/var/run/docker.sock:/var/run/docker.sock:ro" in mounts
            assert "special" not in host.run("docker network ls | grep socket").stdout
    finally:
        edge.back()
    assert [_serial(edge, name) for name in names] == before


def test_an_image_that_cannot_be_pulled_changes_nothing(edge: Edge) -> None:
    """One clear error, before any change: the former load balancer keeps running."""
    before = _container(edge, 0, "web_lb")
    changed = edge.changed()
    network(changed, 1, "web")["load_balancer"]["image"] = "wanbound/nosuch:1"
    network(changed, 1, "web")["public_ipv6"] = "2001:db8::77"
    edge.stack.configure(changed)
    try:
        done = edge.stack.up(check=False)
        assert done.status != 0
        assert re.search(
            r"pull.*wanbound/nosuch:1|wanbound/nosuch:1.*(not found|unknown)", done.output
        )
        assert _container(edge, 0, "web_lb") == before
        host = edge.lab.host(edge.plan.hosts[0].name)
        assert "2001:db8::77" not in host.run("ip6tables-save; ip addr show dev wan0").stdout
        # By IPv4: the DNS already has the new IPv6 address.
        assert edge.lab.internet.curl("-4", f"https://{page(edge, 0, 'web')}/").status == 0
    finally:
        edge.back()


def test_the_hash_is_nowhere_in_clear(edge: Edge) -> None:
    """Not in the output of `up` and of a preview, not in the state, not in Docker's answers."""
    changed = edge.changed()
    for number in HOSTS:
        network(changed, number + 1, "mail")["load_balancer"]["dashboard"]["user"] = "other"
    edge.stack.configure(changed)
    try:
        shown = edge.stack.preview("--diff", "--show-full-output").output
    finally:
        edge.stack.configure(edge.config)
    assert "[secret]" in shown
    path = 'wanbound:secrets["dashboard"]'
    known = edge.stack.run("config", "get", "--path", path, "--stack", edge.stack.name).output
    known = known.strip()
    assert known.startswith("$2b$")
    state = edge.stack.run("stack", "export", "--stack", edge.stack.name).output
    assert "dashboard.users" in json.dumps(json.loads(state))
    said = [edge.up.output, shown, state]
    for number in HOSTS:
        host = edge.lab.host(edge.plan.hosts[number].name)
        said.append(host.run("docker inspect $(docker ps -aq); docker logs mail_lb 2>&1").stdout)
        copied = "docker cp mail_lb:/etc/traefik/dashboard.users - | tar xO"
        assert host.run(copied).stdout == f"{USER}:{known}\n"
    for text in said:
        assert known not in text


def test_nothing_is_left_to_do(edge: Edge) -> None:
    """Networks, volumes, files and health checks read back as they were declared."""
    refreshed = edge.stack.preview("--refresh", "--expect-no-changes")
    assert set(refreshed.counts) == {"unchanged"}
    assert edge.lab.internet.curl("-4", "-m", "5", f"http://{dashboard(edge, 0)}/").status == 0


@pytest.mark.parametrize("number", HOSTS)
def test_a_container_that_is_started_by_hand_is_routed_to_at_once(edge: Edge, number: int) -> None:
    """The proxy passes its events on; when the container is gone, so is its route."""
    host, name = edge.lab.host(edge.plan.hosts[number].name), page(edge, number, "web")
    router = "traefik.http.routers.byhand"
    labels = {
        "lb.net": "web",
        f"{router}.rule": f"Host(`{name}`) && PathPrefix(`/by-hand`)",
        f"{router}.entrypoints": "websecure",
        f"{router}.tls.certresolver": "lec",
        "traefik.http.services.byhand.loadbalancer.server.port": "80",
    }
    serve = "mkdir -p /w/by-hand; echo hello >/w/by-hand/index.html; exec httpd -f -p 80 -h /w"
    words = ["docker", "run", "-d", "--rm", "--name", "byhand", "--network", "web"]
    words += [word for label in labels.items() for word in ("--label", "=".join(label))]
    host.run(shlex.join([*words, "busybox:1", "sh", "-c", serve]))
    try:
        assert _becomes(edge, f"https://{name}/by-hand/", "hello\n")
    finally:
        host.run("docker rm -f byhand")
    assert _becomes(edge, f"https://{name}/by-hand/", "404 page not found\n")


def _becomes(edge: Edge, url: str, wanted: str) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if edge.lab.internet.curl("-6", "-m", "5", url, check=False).stdout == wanted:
            return True
        time.sleep(0.3)
    return False
