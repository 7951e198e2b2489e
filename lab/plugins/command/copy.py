"""Copying a file or a folder to a host, as the plugin's documentation says of CopyToRemote."""

from __future__ import annotations

import io
import stat
from pathlib import Path
from typing import Any

from lab.plugins.command.ssh import Connection, Connections
from lab.plugins.values import ASSET, Plain, PluginError, text


def refusal(source: Plain) -> str:
    """Why this cannot be copied; empty if it can."""
    if not isinstance(source, dict) or ASSET not in source:
        return "either asset or archive must be set"
    if "path" in source or "text" in source:
        return ""
    return "must be a path-based file asset, a text asset, or an archive of a path"


def copy(connections: Connections, connection: Connection, source: Plain, target: str) -> None:
    """Copy the source there over SFTP; raises PluginError with the path that failed."""
    with connections.channel(connection) as transport:
        import paramiko

        try:
            client = paramiko.SFTPClient.from_transport(transport)
            if client is None:
                raise PluginError(f"{connection.address} gives no SFTP session")
            with client:
                _copy(client, source, target)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise PluginError(
                f"copying to {target} on {connection.address} failed, it may be there in part: "
                f"{error or type(error).__name__}"
            ) from error


def _copy(client: Any, source: Plain, target: str) -> None:  # a paramiko.SFTPClient
    if refusal(source) or not isinstance(source, dict):
        raise PluginError(refusal(source))
    there = _kind(client, target)
    if "path" not in source:
        if there == "folder":
            raise PluginError(
                f"remote path {target} is a directory; when using a text asset, remotePath must "
                "be a file path"
            )
        client.putfo(io.BytesIO(text(source, "text").encode()), target)
        return
    given = text(source, "path")
    path = Path(given)
    if not path.is_dir():
        client.put(given, f"{target}/{path.name}" if there == "folder" else target)
        return
    _folder(client, target)
    # As rsync: a source with a slash at its end is its content, one without is the folder itself.
    if not given.endswith("/"):
        target = f"{target}/{path.resolve().name}"
        _folder(client, target)
    for item in sorted(path.rglob("*")):
        there_too = f"{target}/{item.relative_to(path).as_posix()}"
        if item.is_dir():
            _folder(client, there_too)
        else:
            client.put(str(item), there_too)


def _kind(client: Any, path: str) -> str:
    try:
        mode = client.stat(path).st_mode
    except FileNotFoundError:
        return ""
    return "folder" if stat.S_ISDIR(mode) else "file"


def _folder(client: Any, path: str) -> None:
    match _kind(client, path):
        case "file":
            raise PluginError(f"remote path {path} exists but is not a directory")
        case "":
            client.mkdir(path)
