"""What the components declare for a load balancer: proxy, volume, files, images."""

from typing import Any

import pulumi
import pytest

from components.host import Host
from planner.config import Stack
from planner.edge import socket_rules
from planner.plan import plan
from tests.components.mocks import Registered, registered, without_secrets
from tests.planner import golden

BALANCER, PROXY = "Container edge-1/load_balancer/mail", "Container edge-1/socket_proxy/mail"
NETWORK, NETWORKING = "Network edge-1/socket/mail", "HostNetworking edge-1"
VOLUME = "Volume edge-1/volume/mail_letsencrypt"
IMAGES = [f"RemoteImage edge-1/image/{name}" for name in ("haproxy:3.2", "traefik:v3.7")]
WHOAMI = "RemoteImage edge-1/image/wanbound/whoami:1"


@pytest.fixture(scope="module")
def found() -> dict[str, Registered]:
    """The resources of the golden case `edge`, by type and name."""
    raw = golden.config("edge")

    def program() -> None:
        secrets = {name: pulumi.Output.secret(f"s3cr3t {name}") for name in raw["secrets"]}
        for host in plan(Stack.parse(raw, "test")):
            Host(host, secrets)

    return {each.key: each for each in registered(program)}


def _files(registered_: Registered) -> dict[str, Any]:
    shown = without_secrets(registered_.inputs["uploads"])
    return {each["file"]: (each["content"], each["permissions"]) for each in shown}


def test_the_proxys_network_is_internal_and_its_own(found: dict[str, Registered]) -> None:
    """No container can be attached by accident, and Docker chooses no value of it."""
    assert found[NETWORK].inputs == {
        "name": "mail-socket",
        "driver": "bridge",
        "internal": True,
        "ipamConfigs": [{"subnet": "10.114.67.8/29", "gateway": "10.114.67.9"}],
        "options": {"com.docker.network.bridge.name": "mail-sock"},
        "labels": [{"label": "wanbound", "value": "edge-1/mail"}],
    }
    assert found[NETWORK].deleted_first


def test_the_proxy_has_its_rules_the_socket_and_no_rights(found: dict[str, Registered]) -> None:
    """The rules are in the preview word for word."""
    inputs = found[PROXY].inputs
    assert _files(found[PROXY]) == {
        "/usr/local/etc/haproxy/haproxy.cfg": (socket_rules("mail"), "0444")
    }
    assert inputs["capabilities"] == {"drops": ["ALL"]}
    assert inputs["user"] == "0:0"
    assert [volume["hostPath"] for volume in inputs["volumes"]] == ["/var/run/docker.sock"]
    assert inputs["networksAdvanced"] == [
        {"name": "edge-1/socket/mail-id", "ipv4Address": "10.114.67.10"}
    ]


def test_the_load_balancer_comes_after_all_that_it_needs(found: dict[str, Registered]) -> None:
    """Proxy, volume, both networks and the rules are created before it and removed after it."""
    assert {PROXY, VOLUME, NETWORK, NETWORKING, "Network edge-1/network/mail"} <= found[
        BALANCER
    ].after
    assert NETWORKING in found[NETWORK].after
    assert NETWORK in found[PROXY].by_property["networksAdvanced"]


def test_images_come_before_anything_of_a_network(found: dict[str, Registered]) -> None:
    """An image that cannot be pulled ends an update before any change."""
    images = {key for key in found if key.startswith("RemoteImage edge-1/")}
    assert {*IMAGES, WHOAMI} <= images
    assert found[NETWORKING].after == images
    for image in (*IMAGES, WHOAMI):
        assert found[image].inputs["keepLocally"]
        assert not found[image].deleted_first


def test_a_hash_is_nowhere_but_in_its_file(found: dict[str, Registered]) -> None:
    """There it is a secret, in a file that only root can read."""
    assert _files(found[BALANCER]) == {"/etc/traefik/dashboard.users": ("[secret]", "0400")}
    everything = str([without_secrets(each.inputs) for each in found.values()])
    assert "s3cr3t" not in everything
    assert "bob:s3cr3t dashboard" in str(found[BALANCER].inputs["uploads"])
    (private,) = _files(found["Container edge-1/load_balancer/a-long-name.com"]).values()
    assert private == ("[secret]", "0400")


def test_certificates_are_in_a_volume_of_their_own(found: dict[str, Registered]) -> None:
    """The volume stays on the host if configured so."""
    assert found[VOLUME].inputs == {"name": "mail_letsencrypt"}
    assert found[BALANCER].inputs["volumes"] == [
        {"containerPath": "/letsencrypt", "volumeName": "mail_letsencrypt", "readOnly": False}
    ]
    assert not found[VOLUME].kept
    assert found["Volume edge-1/volume/certificates"].kept


def test_docker_asks_the_load_balancer_whether_it_is_well(found: dict[str, Registered]) -> None:
    """Docker runs Traefik's own command, on its loopback address."""
    health = found[BALANCER].inputs["healthcheck"]
    assert health["tests"][:3] == ["CMD", "traefik", "healthcheck"]
    assert health["interval"] == "10s"
    assert "healthcheck" not in found["Container edge-1/load_balancer/direct"].inputs
