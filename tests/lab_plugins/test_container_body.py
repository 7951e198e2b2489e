"""A container's inputs in the Engine's words, and back."""

from __future__ import annotations

from typing import Any

import pytest

from lab.plugins.docker.container_body import create_body, live
from lab.plugins.docker.container_schema import CONTAINER
from lab.plugins.fields import duration_text, nanoseconds
from lab.plugins.schema import changes, checked
from lab.plugins.values import Plain, PluginError, Properties
from tests.lab_plugins.fake_engine import FakeEngine

# One of each, as a program would write it; none of them is the default.
FULL: Properties = {
    "capabilities": {"adds": ["NET_ADMIN"], "drops": ["MKNOD"]},
    "command": ["serve", "--port", "80"],
    "cpuSet": "0-1",
    "cpuShares": 512,
    "cpus": "0.5",
    "deviceReadBps": [{"path": "/dev/sda", "rate": 1024}],
    "devices": [{"hostPath": "/dev/null", "containerPath": "/dev/nix"}, {"hostPath": "/dev/zero"}],
    "dns": ["9.9.9.9", "1.1.1.1"],
    "domainname": "example.com",
    "entrypoints": ["/bin/sh"],
    "envs": ["B=2", "A=1"],
    "healthcheck": {"tests": ["CMD", "true"], "interval": "90s", "retries": 2},
    "hosts": [{"host": "db", "ip": "172.20.0.9"}],
    "image": "web:1",
    "init": True,
    "labels": [{"label": "a", "value": "1"}],
    "logDriver": "json-file",
    "logOpts": {"max-size": "1m"},
    "memory": 64,
    "memorySwap": -1,
    "mounts": [
        {
            "type": "bind",
            "source": "/etc",
            "target": "/b",
            "bindOptions": {"propagation": "shared"},
        },
        {"type": "tmpfs", "target": "/t", "tmpfsOptions": {"sizeBytes": 4096, "mode": 511}},
        {
            "type": "volume",
            "source": "v",
            "target": "/v",
            "volumeOptions": {"labels": [{"label": "a", "value": "b"}], "noCopy": True},
        },
    ],
    "name": "full",
    "networkMode": "none",
    "privileged": True,
    "readOnly": True,
    "restart": "on-failure",
    "maxRetryCount": 3,
    "securityOpts": ["no-new-privileges", "systempaths=unconfined"],
    "shmSize": 32,
    "stopTimeout": 3,
    "sysctls": {"net.ipv4.ip_forward": "0"},
    "tmpfs": {"/run": "size=1m"},
    "ulimits": [{"name": "nofile", "soft": 1000, "hard": 2000}],
    "user": "1:1",
    "volumes": [
        {"volumeName": "data", "containerPath": "/data", "readOnly": True},
        {"hostPath": "/srv", "containerPath": "/srv", "selinuxRelabel": "z"},
        {"containerPath": "/anonymous"},
        {"fromContainer": "other"},
    ],
}


def full() -> Properties:
    """Return the inputs with their defaults."""
    inputs, failures = checked(CONTAINER, "full", {}, FULL, b"")
    assert failures == []
    return inputs


def test_the_body_is_what_the_engine_wants() -> None:
    """The places where the plugin's words and the Engine's differ most."""
    body = create_body(full())
    host = body["HostConfig"]
    assert body["Env"] == ["B=2", "A=1"]
    assert body["Labels"] == {"a": "1"}
    assert body["Healthcheck"]["Interval"] == 90_000_000_000
    assert body["Volumes"] == {"/data": {}, "/srv": {}, "/anonymous": {}}
    assert host["Binds"] == ["data:/data:ro", "/srv:/srv:rw,z"]
    assert host["VolumesFrom"] == ["other"]
    assert host["Memory"] == 64 << 20
    assert host["MemorySwap"] == -1
    assert host["NanoCpus"] == 500_000_000
    assert host["Init"] is True
    assert host["ExtraHosts"] == ["db:172.20.0.9"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["MaskedPaths"] == []
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert host["Devices"][1]["PathInContainer"] == "/dev/zero"


def test_what_is_read_back_is_what_was_given() -> None:
    """An Engine that keeps everything as it got it shows no difference."""
    engine = FakeEngine()
    inputs = full()
    made = engine.post("/containers/create", create_body(inputs), {"name": "full"})
    seen = engine.get(f"/containers/{made['Id']}/json")
    seen["State"]["Running"] = True
    assert changes(CONTAINER, {**inputs, **live(seen, inputs)}, inputs) == {}


def test_a_port_of_the_host_that_nobody_asked_for_is_no_change() -> None:
    """The Engine picks one; which one it is changes with every start."""
    ports: Plain = [{"internal": 80}, {"internal": 53, "protocol": "udp", "external": 5353}]
    inputs, _ = checked(CONTAINER, "p", {}, {"image": "web:1", "name": "p", "ports": ports}, b"")
    engine = FakeEngine()
    body = create_body(inputs)
    assert body["HostConfig"]["PortBindings"]["80/tcp"] == [{"HostIp": "0.0.0.0", "HostPort": ""}]  # noqa: S104 (the plugin's default)
    made = engine.post("/containers/create", body, {"name": "p"})
    seen = engine.get(f"/containers/{made['Id']}/json")
    seen["State"]["Running"] = True
    seen["NetworkSettings"]["Ports"] = {
        "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "5353"}],  # noqa: S104
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}],  # noqa: S104
        "443/tcp": None,
    }
    assert changes(CONTAINER, {**inputs, **live(seen, inputs)}, inputs) == {}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"command": ["a", ""]}, "may not be empty"),
        ({"volumes": [{"volumeName": "data"}]}, "either containerPath or fromContainer"),
        ({"volumes": [{"containerPath": "/a", "fromContainer": "b"}]}, "either containerPath"),
    ],
)
def test_contradictions_are_refused(inputs: Properties, message: str) -> None:
    """The same that the real plugin refuses."""
    with pytest.raises(PluginError, match=message):
        create_body(inputs)


@pytest.mark.parametrize(
    ("written", "ns", "shown"),
    [
        ("0s", 0, "0s"),
        ("1500ms", 1_500_000_000, "1.5s"),
        ("90s", 90_000_000_000, "1m30s"),
        ("1h", 3_600_000_000_000, "1h0m0s"),
    ],
)
def test_durations_are_gos(written: str, ns: int, shown: str) -> None:
    """Written as the program likes, shown as Go shows them, equal all the same."""
    assert nanoseconds(written) == ns
    assert duration_text(ns) == shown
    assert nanoseconds(shown) == ns


def test_inputs_that_are_left_out_are_left_to_the_engine() -> None:
    """A minimal container sends no more than it must."""
    inputs, _ = checked(CONTAINER, "m", {}, {"image": "web:1", "name": "m"}, b"")
    body: dict[str, Any] = create_body(inputs)
    host = body.pop("HostConfig")
    assert body == {"Image": "web:1"}
    assert host["NetworkMode"] == "bridge"
    assert host["Init"] is False
    assert "Memory" not in host
