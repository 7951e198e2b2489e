"""A container's inputs as the Engine's request, and back."""

from __future__ import annotations

from typing import Any

import pytest

from lab.plugins.docker.container_body import create_body, live
from lab.plugins.docker.container_schema import CONTAINER
from lab.plugins.fields import duration_text, nanoseconds
from lab.plugins.schema import changes, checked
from lab.plugins.values import PluginError, Properties
from tests.lab_plugins.fake_engine import FakeEngine

# One of each, as a program would write it, with no default values.
FULL: Properties = {
    "capabilities": {"adds": ["NET_ADMIN"], "drops": ["MKNOD"]},
    "command": ["serve", "--port", "80"],
    "dns": ["198.51.100.53", "2001:db8:ffff::53"],
    "envs": ["B=2", "A=1"],
    "healthcheck": {"tests": ["CMD", "true"], "interval": "90s", "retries": 2},
    "image": "web:1",
    "labels": [{"label": "a", "value": "1"}],
    "name": "full",
    "networkMode": "none",
    "ports": [{"internal": 80, "external": 8080}],
    "restart": "on-failure",
    "user": "1:1",
    "volumes": [
        {"volumeName": "data", "containerPath": "/data", "readOnly": True},
        {"hostPath": "/srv", "containerPath": "/srv"},
        {"containerPath": "/anonymous"},
    ],
}


def full() -> Properties:
    """Return the inputs with their defaults."""
    inputs, failures = checked(CONTAINER, "full", {}, FULL, b"")
    assert failures == []
    return inputs


def test_the_body_is_what_the_engine_wants() -> None:
    """Places where the plugin's and the Engine's names differ most."""
    body = create_body(full())
    host = body["HostConfig"]
    assert body["Env"] == ["B=2", "A=1"]
    assert body["Labels"] == {"a": "1"}
    assert body["Healthcheck"]["Interval"] == 90_000_000_000
    assert body["Volumes"] == {"/data": {}, "/srv": {}, "/anonymous": {}}
    assert host["Binds"] == ["data:/data:ro", "/srv:/srv:rw"]
    assert host["Dns"] == ["198.51.100.53", "2001:db8:ffff::53"]
    assert (host["CapAdd"], host["CapDrop"]) == (["NET_ADMIN"], ["MKNOD"])
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 0}


def test_what_is_read_back_is_what_was_given() -> None:
    """An Engine that keeps everything unchanged shows no difference."""
    engine = FakeEngine()
    inputs = full()
    made = engine.post("/containers/create", create_body(inputs), {"name": "full"})
    seen = engine.get(f"/containers/{made['Id']}/json")
    seen["State"]["Running"] = True
    seen["NetworkSettings"]["Ports"] = {**seen["HostConfig"]["PortBindings"], "443/tcp": None}
    assert changes(CONTAINER, {**inputs, **live(seen, inputs)}, inputs) == {}


def test_an_empty_word_in_the_command_is_refused() -> None:
    """The real plugin refuses it too."""
    with pytest.raises(PluginError, match="may not be empty"):
        create_body({"command": ["a", ""]})


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
    """Any spelling is accepted, shown as Go shows it, and compared by value."""
    assert nanoseconds(written) == ns
    assert duration_text(ns) == shown
    assert nanoseconds(shown) == ns


def test_inputs_that_are_left_out_are_left_to_the_engine() -> None:
    """A minimal container sends only what it must."""
    inputs, _ = checked(CONTAINER, "m", {}, {"image": "web:1", "name": "m"}, b"")
    body: dict[str, Any] = create_body(inputs)
    host = body.pop("HostConfig")
    assert body == {"Image": "web:1"}
    assert host["NetworkMode"] == "bridge"
    assert host["Init"] is False
    assert "Binds" not in host
    assert "Dns" not in host
