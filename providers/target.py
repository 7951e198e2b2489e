"""Where a host is and how one gets in: what a session needs to be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONFIRM_SECONDS = 30
"""For how long a host waits for the confirmation of a change, unless it is told otherwise."""


@dataclass(frozen=True)
class Jump:
    """The host through which another is reached; `host_key` as in `Target`."""

    address: str
    port: int
    user: str
    host_key: str | None = None


@dataclass(frozen=True)
class Target:
    """Where a host is and who logs in; `host_key` is "type base64", None for known_hosts.

    `key` is the text of a private key and `key_passphrase` opens it, and the key files of the
    user's ssh config: both are secret and no part of the text that stands for a target.
    """

    name: str
    address: str
    port: int
    user: str
    host_key: str | None
    confirm_seconds: int = CONFIRM_SECONDS
    jump: Jump | None = None
    key: str | None = field(default=None, repr=False)
    key_passphrase: str | None = field(default=None, repr=False)


def target_of(props: Mapping[str, Any]) -> Target:
    """Return what the property `host` of a resource says, as the engine hands it over."""
    jump = props.get("jump")
    return Target(
        name=props["name"],
        address=props["address"],
        # Numbers come back from the engine as floats.
        port=int(props["port"]),
        user=props["user"],
        host_key=props.get("host_key"),
        confirm_seconds=int(props.get("confirm_seconds", CONFIRM_SECONDS)),
        jump=None if jump is None else _jump_of(jump),
        key=props.get("key"),
        key_passphrase=props.get("key_passphrase"),
    )


def _jump_of(props: Mapping[str, Any]) -> Jump:
    return Jump(props["address"], int(props["port"]), props["user"], props.get("host_key"))
