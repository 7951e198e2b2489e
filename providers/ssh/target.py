"""Where a host is and who logs in, as properties and configuration say it. Pure."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, ip_address
from typing import Any

CONFIRM_SECONDS = 30
"""How long a host waits for the confirmation of a change, unless the configuration says."""

PORT = 22
USER = "root"

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}")
_NUMBER = re.compile("[0-9]{1,6}")
_USER = re.compile("[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_HOST_KEY = re.compile(r"\s*([a-z0-9-]+)\s+([A-Za-z0-9+/]+=*)(?:\s.*)?")


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

    `key` is the text of a private key. `key_passphrase` opens it, and the key files of the user's
    ssh config. Both are secret and not shown in the target's repr.
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
    """Return what the property `host` of a resource says, as the engine passes it."""
    jump = props.get("jump")
    return Target(
        name=props["name"],
        address=props["address"],
        # The engine passes numbers as floats.
        port=int(props["port"]),
        user=props["user"],
        host_key=props.get("host_key"),
        confirm_seconds=int(props.get("confirm_seconds", CONFIRM_SECONDS)),
        jump=None
        if jump is None
        else Jump(jump["address"], int(jump["port"]), jump["user"], jump.get("host_key")),
        key=props.get("key"),
        key_passphrase=props.get("key_passphrase"),
    )


def today(target: Target, hosts: object) -> Target:
    """Return `target` with the address, port, user, host key and jump host that `hosts` has for it.

    `hosts` is the value of wanbound:hosts, as a list or as the JSON text that a provider's
    `configure` gets. The planner has not checked it: a provider may be asked without a run of the
    program. The entry with the target's name counts as a whole or not at all; where any part of it
    has an unexpected shape, the target stays as it is.
    """
    if isinstance(hosts, str):
        with suppress(ValueError):
            hosts = json.loads(hosts)
    entries = hosts if isinstance(hosts, list) else []
    named = [one for one in entries if isinstance(one, Mapping) and one.get("name") == target.name]
    ssh = named[0].get("ssh") if len(named) == 1 else None
    if not isinstance(ssh, Mapping):
        return target
    try:
        here = _place(ssh)
        jump = None if ssh.get("jump") is None else _place(ssh["jump"])
    except ValueError:
        return target
    return replace(
        target,
        address=here.address,
        port=here.port,
        user=here.user,
        host_key=here.host_key,
        jump=jump,
    )


def _place(value: object) -> Jump:
    """Return where an SSH server is. Raises ValueError where `value` does not say it.

    The patterns are the planner's: a ProxyCommand of the user's ssh config puts these values into
    a shell command.
    """
    if not isinstance(value, Mapping):
        raise ValueError("not a mapping")
    return Jump(
        _address(value.get("address")),
        _port(value.get("port", PORT)),
        _matching(_USER, value.get("user", USER))[0],
        None if value.get("host_key") is None else _host_key(value["host_key"]),
    )


def _address(value: object) -> str:
    try:
        address = ip_address(value if isinstance(value, str) else "")
    except ValueError:
        name = _matching(_NAME, value)[0]
        # A last label of digits alone makes it an address (RFC 1123 2.1), and a malformed one.
        if name.rpartition(".")[2].isdigit():
            raise
        return name
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError("an address with a zone")
    return str(address)


def _port(value: object) -> int:
    # `pulumi config set --path` may have stored text.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    port = int(_matching(_NUMBER, text)[0])
    if not 1 <= port <= 65535:
        raise ValueError("not a port")
    return port


def _host_key(value: object) -> str:
    return " ".join(_matching(_HOST_KEY, value).groups())


def _matching(pattern: re.Pattern[str], value: object) -> re.Match[str]:
    found = pattern.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("an unexpected value")
    return found
