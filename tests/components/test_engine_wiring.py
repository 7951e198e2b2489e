"""What the components declare for a host with `engine`."""

from typing import Any

import pulumi
import pytest

from components.host import Host
from planner.config import Stack
from planner.plan import plan
from tests.components.mocks import Registered, registered
from tests.planner import golden

ENGINE = "DockerEngine edge-1"
SETTINGS = {"install": True, "registry_mirrors": ["http://198.51.100.2:5000"]}


def declared(case: str, **keys: object) -> dict[str, Registered]:
    """Return what is registered for a golden case whose host also has these keys."""
    raw: dict[str, Any] = golden.config(case)
    raw["hosts"][0] |= keys

    def program() -> None:
        secrets = {name: pulumi.Output.secret("hunter2") for name in raw.get("secrets", {})}
        for host in plan(Stack.parse(raw, "test")):
            Host(host, secrets)

    return {each.key: each for each in registered(program)}


def test_an_engine_has_its_keys_as_properties_of_their_own() -> None:
    """They have their names from daemon.json, so that a preview shows which one changes."""
    inputs = dict(declared("containers", engine=SETTINGS)[ENGINE].inputs)
    assert len(inputs.pop("__provider")) < 200
    assert inputs.pop("host")["name"] == "edge-1"
    assert inputs == {
        "docker_host": "ssh://root@192.0.2.10:22",
        "daemon": {"registry-mirrors": ["http://198.51.100.2:5000"]},
        "install": True,
        "restart": True,
    }


@pytest.mark.parametrize("case", ["containers", "baseline"])
def test_everything_of_the_host_comes_after_its_engine(case: str) -> None:
    """Rules need the packages that it installs; Docker's provider depends on it by an input."""
    found = declared(case, engine=SETTINGS)
    of_host = [each for each in found.values() if each.type.startswith("pulumi-python:")]
    assert {each.key.split()[0] for each in of_host} == {"DockerEngine", "HostNetworking"}
    for each in of_host:
        assert each.key == ENGINE or "edge-1" not in each.name or ENGINE in each.after, each.key
    assert ENGINE in found["docker edge-1"].by_property["host"]


def test_dockers_provider_is_the_same_with_and_without_the_key() -> None:
    """Otherwise the key would change the provider, and with it every preview of its resources."""
    inputs = [
        declared("containers", **keys)["docker edge-1"].inputs
        for keys in ({}, {"engine": SETTINGS})
    ]
    assert inputs[0] == inputs[1]


def test_the_hosts_servers_are_a_key_of_daemon_json() -> None:
    """It is a list as in Docker's file, and a preview shows it like any other key."""
    found = declared("containers", dns=["198.51.100.53"], engine={"dns": True})
    assert found[ENGINE].inputs["daemon"] == {"dns": ["198.51.100.53"]}


def test_docker_in_nftables_gets_its_parameters_first() -> None:
    """Its own resource sets the parameters that Docker needs to start; the host's has them too."""
    keys = {"firewall": "nftables", "engine": {"firewall_backend": "nftables"}}
    found = declared("dual-stack", **keys)
    inputs = found[ENGINE].inputs
    assert inputs["daemon"] == {
        "bridge-accept-fwmark": "0x2000000/0x2000000",
        "firewall-backend": "nftables",
    }
    assert inputs["firewall"] == "nftables"
    wanted = found["HostNetworking edge-1"].inputs["own"]["sysctls"].values()
    assert sorted(inputs["forwarding"]) == sorted(wanted)
    # accept_ra must still be set before the kernel becomes a router.
    assert inputs["forwarding"][0] == "net.ipv6.conf.wan0.accept_ra = 2"
    assert "forwarding" not in declared("dual-stack", **{**keys, "engine": SETTINGS})[ENGINE].inputs


def test_a_host_without_the_key_has_none() -> None:
    """Nothing of daemon.json is read or written."""
    assert ENGINE not in declared("containers")
