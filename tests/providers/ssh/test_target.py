"""The property `host` of a resource, as the engine hands it over."""

from providers.target import CONFIRM_SECONDS, Jump, Target, target_of

LEAST = {"name": "edge-1", "address": "192.0.2.1", "port": 22.0, "user": "root"}


def test_the_least() -> None:
    """Numbers come as floats, and whatever is not there has its usual value."""
    found = target_of(LEAST)
    assert found == Target("edge-1", "192.0.2.1", 22, "root", None)
    assert isinstance(found.port, int)
    assert found.confirm_seconds == CONFIRM_SECONDS


def test_everything() -> None:
    """Jump host and keys too."""
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
    """Whoever prints a target, prints no key."""
    found = target_of({**LEAST, "key": "hunter2", "key_passphrase": "hunter3"})
    assert "hunter" not in f"{found} {found!r}"
