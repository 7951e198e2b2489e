"""The inputs of commands and copies: pulumi-command 1.2.1. Only `triggers` ever replaces."""

from __future__ import annotations

from lab.plugins import fields as f
from lab.plugins.schema import Field, Kind, Schema
from lab.plugins.values import ASSET, Plain, text

_LOGGING = f.text(pattern="stdout|stderr|stdoutAndStderr|none")
_TRIGGERS = Field(Kind.LIST, replace=True, item=Field(Kind.ANY))
_ENDPOINT = {
    "agentSocketPath": f.text(),
    "dialErrorLimit": f.number(default=10),
    "host": f.text(required=True),
    "hostKey": f.text(),
    "password": f.text(),
    "perDialTimeout": f.number(default=15),
    "port": f.number(default=22),
    "privateKey": f.text(),
    "privateKeyPassword": f.text(),
    "user": f.text(default="root"),
}
_CONNECTION = Field(
    Kind.OBJECT, required=True, fields={**_ENDPOINT, "proxy": f.object_of(_ENDPOINT)}
)
_COMMAND = {
    # True where it is not given, which 1.2 no longer writes down: a state of 1.1 has it.
    "addPreviousOutputInEnv": f.flag(),
    "create": f.text(),
    "delete": f.text(),
    "environment": f.strings(),
    "logging": _LOGGING,
    "stdin": f.text(),
    "triggers": _TRIGGERS,
    "update": f.text(),
}


def _content(value: Plain) -> Plain:
    """An asset is what it holds: of the old one no more than the hash may be known."""
    return text(value, "hash") if isinstance(value, dict) and ASSET in value else value


REMOTE = Schema(
    token="command:remote:Command",  # noqa: S106 (a type's token, no secret)
    fields={**_COMMAND, "connection": _CONNECTION},
    outputs=("stdout", "stderr"),
)

COPY = Schema(
    token="command:remote:CopyToRemote",  # noqa: S106
    fields={
        "connection": _CONNECTION,
        "remotePath": f.text(required=True),
        "source": Field(Kind.ANY, required=True, meaning=_content),
        "triggers": _TRIGGERS,
    },
)

LOCAL = Schema(
    token="command:local:Command",  # noqa: S106
    fields={
        **_COMMAND,
        "archivePaths": Field(Kind.LIST, refused="no program of the lab collects files"),
        "assetPaths": Field(Kind.LIST, refused="no program of the lab collects files"),
        "dir": f.text(),
        "interpreter": f.texts(ordered=True),
    },
    outputs=("stdout", "stderr"),
)
