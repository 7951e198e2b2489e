"""The property `host` of a resource, as Pulumi's engine sends it."""

import json

import pytest

from providers.ssh.target import CONFIRM_SECONDS, Jump, Target, target_of, today

LEAST = {"name": "edge-1", "address": "192.0.2.1", "port": 22.0, "user": "root"}


def test_left_out_values_have_their_defaults() -> None:
    """Numbers come as floats, and missing values have their defaults."""
    found = target_of(LEAST)
    assert found == Target("edge-1", "192.0.2.1", 22, "root", None)
    assert isinstance(found.port, int)
    assert found.confirm_seconds == CONFIRM_SECONDS


def test_all_values_are_read() -> None:
    """Jump host and keys are read too."""
    jump = {"address": "192.0.2.9", "port": 2222.0, "user": "gate", "host_key": "ssh-ed25519 B"}
    found = target_of(
        {
            **LEAST,
            "host_key": "ssh-ed25519 A",
            "confirm_seconds": 60.0,
            "jump": jump,
            "key": "KEY",
            "key_passphrase": "PHRASE",
        }
    )
    assert found.host_key == "ssh-ed25519 A"
    assert found.confirm_seconds == 60
    assert found.jump == Jump("192.0.2.9", 2222, "gate", "ssh-ed25519 B")
    assert (found.key, found.key_passphrase) == ("KEY", "PHRASE")
    assert hash(found) == hash(target_of({**LEAST, **vars(found), "jump": jump}))


def test_secrets_are_not_shown() -> None:
    """The text of a target has no key."""
    found = target_of({**LEAST, "key": "hunter2", "key_passphrase": "hunter3"})
    assert "hunter" not in f"{found} {found!r}"


# --- the host's current address, according to the configuration ----------------------------------

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEjzRZqjCCR4BrlzUQXzLeVBrNUzqyGsFPYbnUuKbFWL"
SAVED = Target(
    "edge-1", "192.0.2.1", 22, "root", "ssh-ed25519 A", 60, Jump("192.0.2.9", 22, "gate"), "KEY"
)


def entry(**ssh: object) -> list[object]:
    """Return a configuration with the host at another address, and one more host."""
    return [{"name": "edge-2"}, {"name": "edge-1", "ssh": {"address": "198.51.100.1", **ssh}}]


def test_the_configuration_overrides_the_state() -> None:
    """Address and host keys come from the configuration, secrets and seconds from the state."""
    jump = {"address": "Gate.example", "port": "2222", "user": "bob", "host_key": f"{KEY} gate"}
    hosts = entry(port=2022, user="admin", host_key=f" {KEY} root@edge-1", jump=jump)
    found = today(SAVED, hosts)
    assert found == today(SAVED, json.dumps(hosts))
    assert found == Target(
        "edge-1",
        "198.51.100.1",
        2022,
        "admin",
        KEY,
        60,
        Jump("Gate.example", 2222, "bob", KEY),
        "KEY",
    )


def test_what_is_not_written_has_its_default() -> None:
    """A key or jump host that was removed from the configuration is not used."""
    assert today(SAVED, entry()) == Target(
        "edge-1", "198.51.100.1", 22, "root", None, 60, key="KEY"
    )
    address = today(SAVED, entry(address="2001:DB8:0::1")).address
    assert address == "2001:db8::1"


@pytest.mark.parametrize(
    "hosts",
    [
        None, "text", "[", '"text"', 1, {}, [], [None], ["edge-1"],
        [{"name": "edge-2", "ssh": {"address": "a"}}],
        [{"name": "edge-1"}], [{"name": "edge-1", "ssh": None}], [{"name": "edge-1", "ssh": "a"}],
        [{"name": "edge-1", "ssh": {}}], entry() * 2,
        entry(address=None), entry(address=1), entry(address=""), entry(address="a b"),
        entry(address="$(id)"), entry(address="-oProxyCommand=id"), entry(address="fe80::1%eth0"),
        entry(address="1.2.3.4.5"), entry(address="a." * 130 + "a"), entry(address="a\n"),
        entry(port=0), entry(port=65536), entry(port=True), entry(port=None), entry(port=22.5),
        entry(port="22 "), entry(port=-1), entry(port=[]), entry(port=10**4300),
        entry(user=""), entry(user="$(id)"), entry(user="a b"), entry(user=None), entry(user="-a"),
        entry(host_key=1), entry(host_key="ssh-ed25519"), entry(host_key="SHA256:abc"),
        entry(jump="a"), entry(jump=[]), entry(jump={}), entry(jump={"address": "$(id)"}),
        entry(jump={"address": "a", "user": "`id`"}),
    ],
)  # fmt: skip
def test_an_unexpected_shape_changes_nothing(hosts: object) -> None:
    """The planner has not checked it: it is used only if all of it is valid."""
    assert today(SAVED, hosts) == SAVED
