"""What the components declare for a plan: parents, order, inputs."""

import ast
import shlex
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.egress_check import SEND
from components.host import Host
from components.ssh import docker_host, ssh_options
from planner.config import Ssh, Stack
from planner.plan import HostPlan, plan
from planner.rule import order, sections
from providers.host.installed import installed
from providers.host.plan import plan_of
from tests.components.mocks import Registered, registered, without_secrets
from tests.planner import golden

NETWORK, CHECK = "Network edge-1/network/web", "Command edge-1/egress_check/web"
NETWORKING = "HostNetworking edge-1"
SOCKET, PROXY = "Network edge-1/socket/web", "Container edge-1/socket_proxy/web"
IMAGES = [
    f"RemoteImage edge-1/image/{name}"
    for name in ("example.com/app:3", "example.com/whoami:1", "haproxy:3.2", "traefik:v3.8")
]
CONTAINERS = [
    f"Container edge-1/{name}"
    for name in ("load_balancer/web", "whoami/web", "container/app", "container/worker")
]


def _plans(raw: dict[str, Any]) -> tuple[HostPlan, ...]:
    return plan(Stack.parse(raw, "test"))


def _declared(raw: dict[str, Any]) -> dict[str, Registered]:
    """Return what is registered for a configuration, by type and name, in order."""

    def program() -> None:
        names = {"DB_PASSWORD", *raw.get("secrets", {})}
        secrets = {name: pulumi.Output.secret("hunter2") for name in names}
        for host in _plans(raw):
            Host(host, secrets)

    found = registered(program)
    keys = [each.key for each in found]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, found, strict=True))


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    """One network with everything in it, and the check."""
    return golden.config("containers")


@pytest.fixture(scope="module")
def found(raw: dict[str, Any]) -> dict[str, Registered]:
    """The resources of this configuration."""
    return _declared(raw)


def test_everything_has_its_place(found: dict[str, Registered]) -> None:
    """The engine and networks are below the host, everything else below its network."""
    assert found["Host edge-1"].parent.startswith("Stack ")
    assert {key: each.parent for key, each in found.items() if key != "Host edge-1"} == {
        "docker edge-1": "Host edge-1",
        NETWORKING: "Host edge-1",
        "IsolatedNetwork edge-1/network/web": "Host edge-1",
        **dict.fromkeys(IMAGES, "Host edge-1"),
        "DockerSocket edge-1/socket/web": "IsolatedNetwork edge-1/network/web",
        **dict.fromkeys([SOCKET, PROXY], "DockerSocket edge-1/socket/web"),
        **dict.fromkeys([NETWORK, CHECK, *CONTAINERS], "IsolatedNetwork edge-1/network/web"),
    }


def test_rules_come_first_and_go_last(found: dict[str, Registered]) -> None:
    """Each exists only with those before it: rules, network, containers, check."""
    order = list(found)
    assert order.index(NETWORKING) < order.index(NETWORK) < min(map(order.index, CONTAINERS))
    assert order[-1] == CHECK
    assert found[NETWORKING].after == frozenset(IMAGES)
    assert NETWORKING in found[NETWORK].after
    for container in CONTAINERS:
        assert {NETWORKING, NETWORK} <= found[container].after
    assert {NETWORKING, NETWORK, *CONTAINERS} <= found[CHECK].after


def test_a_replaced_network_takes_its_containers_with_it(found: dict[str, Registered]) -> None:
    """By a property, because the engine follows properties for delete-before-replace."""
    for container in CONTAINERS:
        assert NETWORK in found[container].by_property["networksAdvanced"]


@pytest.mark.parametrize("case", ["containers", "baseline", "several-networks", "metrics"])
def test_hostnetworking_gets_the_lines_of_the_plan(case: str) -> None:
    """It gets all lines of the host by network, section and role, but no secret."""
    raw = golden.config(case)
    found = _declared(raw)
    for host in _plans(raw):
        resource = found[f"HostNetworking {host.name}"]
        inputs = dict(resource.inputs)
        provider = inputs.pop("__provider")
        assert isinstance(provider, str)
        assert len(provider) < 200
        assert inputs.pop("host")["name"] == host.name
        wanted = plan_of(inputs)
        assert inputs.pop("installed") == installed(wanted)
        assert (wanted.stack, wanted.wan) == ("organization/wanbound/test", host.wan)
        assert (wanted.persist, wanted.metrics) == (host.persist, host.metrics)
        assert (wanted.lines, wanted.order) == (sections(host.wanted), order(host.wanted))
        assert list(wanted.networks) == sorted(each.name for each in host.networks)
        for network in host.networks:
            got = wanted.networks[network.name]
            assert (got.lines, got.order) == (sections(network.wanted), order(network.wanted))
            assert got.bridges == network.owns.bridges
            assert got.subnets == network.owns.subnets
            assert got.addresses == network.owns.addresses
        assert resource.type == "pulumi-python:dynamic/wanbound:HostNetworking"
        assert not resource.deleted_first


def test_hostnetworking_knows_how_the_host_is_reached(found: dict[str, Registered]) -> None:
    """The property is what `providers.ssh.target.target_of` reads."""
    assert found[NETWORKING].inputs["host"] == {
        "name": "edge-1",
        "address": "192.0.2.10",
        "port": 22,
        "user": "root",
        "confirm_seconds": 30,
    }


def test_what_is_not_wanted_is_no_property(found: dict[str, Registered]) -> None:
    """Here the host has no routes, parameters, filter or persist."""
    assert set(found[NETWORKING].inputs) == {
        "__provider", "host", "installed", "networks", "own", "stack", "wan"
    }  # fmt: skip
    # These let the networks' traffic pass.
    assert set(found[NETWORKING].inputs["own"]) == {
        "chain pass", "chain unmark", "forward_ipv4", "forward_ipv6"
    }  # fmt: skip


def test_a_pinned_host_key_is_used_by_every_way_to_the_host(raw: dict[str, Any]) -> None:
    """HostNetworking, Docker's provider and the check have it; none of them reads a file then."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP46Pgcjq6YmfLgjB1oWigKv1mkKeDDIEoSeXROKoQ2O"
    host = {**raw["hosts"][0], "ssh": {"address": "192.0.2.10", "host_key": key}}
    pinned = _declared({**raw, "hosts": [host]})
    assert pinned[NETWORKING].inputs["host"]["host_key"] == key
    option = f"KnownHostsCommand=/bin/echo %H {key}"
    assert option in pinned["docker edge-1"].inputs["sshOpts"]
    assert option in shlex.split(pinned[CHECK].inputs["create"].removeprefix(SEND))


def test_the_network_is_made_as_planned(raw: dict[str, Any], found: dict[str, Registered]) -> None:
    """It has every option and subnet, and is on its host's engine."""
    (host,) = _plans(raw)
    docker = host.networks[0].docker
    assert found[NETWORK].inputs == {
        "name": "web",
        "driver": "bridge",
        "attachable": True,
        "ipv6": True,
        "ipamConfigs": [{"subnet": i.subnet, "gateway": i.gateway} for i in docker.ipam],
        "options": docker.options,
        "labels": [{"label": "wanbound", "value": "edge-1/web"}],
    }
    for key in (NETWORK, *CONTAINERS):
        assert found[key].provider == "docker edge-1"
    assert found["docker edge-1"].inputs["host"] == "ssh://root@192.0.2.10:22"


def test_networks_and_containers_are_deleted_before_they_are_replaced(
    found: dict[str, Registered],
) -> None:
    """A network or container has one name, one bridge and one address, so it is deleted first."""
    for key in (NETWORK, *CONTAINERS):
        assert found[key].deleted_first, key


def test_containers_are_in_their_network_alone_but_for_the_load_balancer(
    raw: dict[str, Any], found: dict[str, Registered]
) -> None:
    """They have fixed addresses, in the network mode with which Docker keeps them."""
    (host,) = _plans(raw)
    for planned, key in zip(host.networks[0].containers, CONTAINERS, strict=True):
        inputs = found[key].inputs
        assert inputs["networkMode"] == "bridge"
        # By id, because a recreated network is another one.
        own = {
            "name": "edge-1/network/web-id",
            "ipv4Address": planned.ipv4,
            "ipv6Address": planned.ipv6,
        }
        to_docker = {"name": "edge-1/socket/web-id", "ipv4Address": planned.socket_ipv4}
        second = [to_docker] if planned.role == "load_balancer" else []
        assert inputs["networksAdvanced"] == [own, *second]
        assert inputs["name"] == planned.name
        assert inputs["image"] == planned.image
        assert inputs["restart"] == planned.restart
        assert inputs.get("command", []) == list(planned.command)
        assert {x["label"]: x["value"] for x in inputs["labels"]} == {
            **planned.labels,
            "wanbound": "edge-1/web",
        }
        assert "ports" not in inputs


def test_volumes_are_folders_or_names(found: dict[str, Registered]) -> None:
    """A name with a leading slash is a path on the host."""
    assert found["Container edge-1/container/app"].inputs["volumes"] == [
        {"containerPath": "/data", "volumeName": "data", "readOnly": False},
        {"containerPath": "/etc/ssl/certs", "hostPath": "/etc/ssl/certs", "readOnly": True},
    ]


def test_secrets_stay_secret(found: dict[str, Registered]) -> None:
    """The container gets the value, and no output shows it."""
    app = found["Container edge-1/container/app"].inputs
    assert "DB_PASSWORD=hunter2" in str(app["envs"])
    everything = str([without_secrets(each.inputs) for each in found.values()])
    assert "hunter2" not in everything
    assert "MODE=production" in everything


def test_lists_are_in_an_order_of_their_own(raw: dict[str, Any]) -> None:
    """Otherwise another order of keys in the configuration would replace a container."""
    app = raw["hosts"][0]["networks"][0]["containers"][0]
    turned = {
        **app,
        "labels": dict(reversed(app["labels"].items())),
        "environment": dict(reversed(app["environment"].items())),
    }
    network = {**raw["hosts"][0]["networks"][0], "containers": [turned]}
    host = {**raw["hosts"][0], "networks": [network]}
    one = _declared(raw)["Container edge-1/container/app"].inputs
    other = _declared({**raw, "hosts": [host]})["Container edge-1/container/app"].inputs
    assert (one["labels"], one["envs"]) == (other["labels"], other["envs"])


def test_the_check_asks_from_inside(found: dict[str, Registered]) -> None:
    """Over the user's own ssh; the expectation is its input, so a change runs it again."""
    check = found[CHECK].inputs
    assert check["interpreter"] == ["sh", "-c"]
    ssh, *_, where, asked = shlex.split(check["create"].removeprefix(SEND))
    assert (ssh, where) == ("ssh", "root@192.0.2.10")
    assert asked == "sh -s -- 'host edge-1, network web' --network web"
    # A preview shows one line.
    assert "\n" not in check["create"]
    assert check["stdin"] == (
        "ipv4 203.0.113.10 http://198.51.100.1/\nipv6 2001:db8::10 http://[2001:db8:ffff::1]/\n"
    )
    assert "delete" not in check


def test_servers_for_names_are_asked_by_containers_and_the_check(raw: dict[str, Any]) -> None:
    """Only with the key; the proxy before Docker's socket needs no DNS."""
    servers = ["198.51.100.53", "2001:db8:ffff::53"]
    found = _declared({**raw, "hosts": [{**raw["hosts"][0], "dns": servers}]})
    assert [found[each].inputs["dns"] for each in CONTAINERS] == [servers] * len(CONTAINERS)
    assert "dns" not in found[PROXY].inputs
    asked = " --dns 198.51.100.53 --dns 2001:db8:ffff::53 --network web'"
    assert found[CHECK].inputs["create"].endswith(asked)


def test_without_servers_nothing_is_said_of_them(found: dict[str, Registered]) -> None:
    """An empty list would change every existing container."""
    assert all("dns" not in found[each].inputs for each in CONTAINERS)
    assert " --dns " not in found[CHECK].inputs["create"]


def test_another_user_asks_with_sudo(raw: dict[str, Any]) -> None:
    """Only root can use Docker's socket."""
    host = {**raw["hosts"][0], "ssh": {"address": "192.0.2.10", "user": "admin", "port": 2222}}
    found = _declared({**raw, "hosts": [host]})
    *_, option, port, where, asked = shlex.split(found[CHECK].inputs["create"].removeprefix(SEND))
    assert (option, port, where) == ("-p", "2222", "admin@192.0.2.10")
    assert asked.startswith("sudo -n sh -s -- ")
    assert found["docker edge-1"].inputs["host"] == "ssh://admin@192.0.2.10:2222"


def test_the_check_needs_no_image(raw: dict[str, Any]) -> None:
    """A network without containers is checked on a host that can pull nothing."""
    network = {"name": "web", "mode": "snat", "public_ipv4": "203.0.113.10"}
    found = _declared({**raw, "hosts": [{**raw["hosts"][0], "networks": [network]}]})
    assert CHECK in found
    assert [key for key in found if key.startswith("RemoteImage ")] == []


@pytest.mark.parametrize("verify", [{"verify": False}, {}])
def test_without_verify_there_is_no_check(raw: dict[str, Any], verify: dict[str, bool]) -> None:
    """All other resources are the same."""
    without = {key: value for key, value in raw.items() if key != "verify"}
    found = _declared({**without, **verify})
    assert [key for key in _declared(raw) if key not in found] == [CHECK]


def test_every_host_has_its_own(raw: dict[str, Any]) -> None:
    """Two hosts with the same network names have two engines, and no order between them."""
    found = _declared(golden.config("several-networks"))
    assert {key for key in found if key.startswith(("docker ", "HostNetworking "))} == {
        "docker edge-1",
        "docker edge-2",
        "HostNetworking edge-1",
        "HostNetworking edge-2",
    }
    assert found["Network edge-2/network/web"].provider == "docker edge-2"
    assert found["Network edge-1/network/web"].provider == "docker edge-1"
    for each in found.values():
        mine, other = ("edge-1", "edge-2") if "edge-1" in each.key else ("edge-2", "edge-1")
        assert mine in each.key
        assert not any(other in key for key in (*each.after, each.parent, each.provider))


def test_no_resource_is_made_inside_an_apply() -> None:
    """A preview would not show it, so here `apply` handles only text."""
    folder = Path(__file__).parent.parent.parent / "components"
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "apply":
                continue
            (function,) = node.args
            assert isinstance(function, ast.Lambda), path
            for call in ast.walk(function.body):
                if isinstance(call, ast.Call):
                    name = ast.unparse(call.func)
                    assert name in ("str", "shlex.join"), f"{path.name}: {name} inside apply"


def test_an_ipv6_host_stands_in_brackets() -> None:
    """Docker's URL has brackets; the ssh options are the same for every user and machine."""
    ssh = Ssh(address="2001:db8::10", port=22, user="root")
    assert docker_host(ssh) == "ssh://root@[2001:db8::10]:22"
    assert "StrictHostKeyChecking=yes" in ssh_options(ssh)
    assert not any("/root/" in option or "/home/" in option for option in ssh_options(ssh))
