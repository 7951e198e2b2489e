"""The properties with which resources reach their host."""

from typing import Any

import pulumi
import pytest

from components.connection import connection, target
from components.host import Host
from planner.config import Stack
from planner.plan import HostPlan, plan
from providers.ssh.target import Jump, Target, target_of
from tests.components.mocks import registered, without_secrets
from tests.planner import golden

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP46Pgcjq6YmfLgjB1oWigKv1mkKeDDIEoSeXROKoQ2O"
SSH = {
    "address": "192.0.2.10",
    "port": 2222,
    "user": "admin",
    "host_key": KEY,
    "jump": {"address": "192.0.2.9", "user": "gate", "host_key": KEY},
    "key": {"secret": "edge-key"},
    "key_passphrase": {"secret": "edge-phrase"},
}
VALUES = {"DB_PASSWORD": "hunter1", "edge-key": "hunter2", "edge-phrase": "hunter3"}


@pytest.fixture
def raw() -> dict[str, Any]:
    """A configuration with every key for reaching the host."""
    raw = golden.config("containers")
    host = {**raw["hosts"][0], "ssh": SSH, "confirm_seconds": 60}
    return {**raw, "hosts": [host], "secrets": VALUES}


def planned(raw: dict[str, Any]) -> HostPlan:
    """Return its only host."""
    (found,) = plan(Stack.parse(raw, "test"))
    return found


def test_everything_gets_to_the_resource_and_back(raw: dict[str, Any]) -> None:
    """The target that a provider reads from the property equals the stack's."""
    props: dict[str, Any] = dict(connection(planned(raw), VALUES))  # type: ignore[arg-type]
    assert target_of(props) == Target(
        "edge-1",
        "192.0.2.10",
        2222,
        "admin",
        KEY,
        60,
        Jump("192.0.2.9", 22, "gate", KEY),
        "hunter2",
        "hunter3",
    )


def test_without_secrets_the_target_is_the_same(raw: dict[str, Any]) -> None:
    """It is for callers that need no keys."""
    found = target(planned(raw))
    props: dict[str, Any] = dict(connection(planned(raw), VALUES))  # type: ignore[arg-type]
    del props["key"], props["key_passphrase"]
    assert found == target_of(props)


def test_keys_are_secret_in_every_input(raw: dict[str, Any]) -> None:
    """HostNetworking gets them marked as secret; Docker's provider and the check never get them."""

    def program() -> None:
        secrets = {name: pulumi.Output.secret(value) for name, value in VALUES.items()}
        Host(planned(raw), secrets)

    found = {each.key: each.inputs for each in registered(program)}
    assert "hunter2" in str(found["HostNetworking edge-1"]["host"])
    shown = without_secrets(found["HostNetworking edge-1"]["host"])
    assert [shown[key] for key in ("key", "key_passphrase")] == ["[secret]"] * 2
    assert shown["jump"]["user"] == "gate"
    assert "hunter" not in str([without_secrets(inputs) for inputs in found.values()])
    for name in ("docker edge-1", "Command edge-1/egress_check/web"):
        shown = str(found[name])
        assert "IdentityAgent=~/.ssh/wanbound-agent-" in shown
        assert "ProxyCommand=ssh " in shown
        assert "hunter2" not in shown
        assert "hunter3" not in shown
