"""Copying a file or a folder to a host, as the plugin's documentation says of CopyToRemote."""

from __future__ import annotations

import hashlib
import io
import stat
from pathlib import Path
from typing import Any

import pulumi

from lab.plugins.command.ssh import Connection, Connections
from lab.plugins.values import Plain, PluginError

_CHUNK_BYTES = 1 << 20


def refusal(source: Plain) -> str:
    """Why this cannot be copied; empty if it can."""
    if isinstance(source, pulumi.FileAsset | pulumi.StringAsset | pulumi.FileArchive):
        return ""
    if isinstance(source, pulumi.Asset):
        return "asset must be a path-based file asset or a text asset"
    if isinstance(source, pulumi.Archive):
        return "archive must be a path to a file or directory"
    return "either asset or archive must be set"


def digest(source: Plain) -> str:
    """A digest of all that would be copied; empty where the source cannot be read."""
    seen = hashlib.sha256()
    if isinstance(source, pulumi.StringAsset):
        seen.update(source.text.encode())
        return seen.hexdigest()
    root = _path(source)
    try:
        for path in [root, *sorted(root.rglob("*"))] if root.is_dir() else [root]:
            seen.update(f"{path.relative_to(root)}\0{path.is_dir()}\0".encode())
            if path.is_file():
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        seen.update(chunk)
    except OSError:
        return ""
    return seen.hexdigest()


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


def _path(source: Plain) -> Path:
    if isinstance(source, pulumi.FileAsset | pulumi.FileArchive):
        return Path(str(source.path))
    raise PluginError(refusal(source))


def _copy(client: Any, source: Plain, target: str) -> None:  # noqa: ANN401 (a paramiko.SFTPClient)
    there = _kind(client, target)
    if isinstance(source, pulumi.StringAsset):
        if there == "folder":
            raise PluginError(
                f"remote path {target} is a directory; when using a text asset, remotePath must "
                "be a file path"
            )
        client.putfo(io.BytesIO(source.text.encode()), target)
        return
    path = _path(source)
    if not path.is_dir():
        client.put(str(path), f"{target}/{path.name}" if there == "folder" else target)
        return
    _folder(client, target)
    # As rsync: a source with a slash at its end is its content, one without is the folder itself.
    given = source.path if isinstance(source, pulumi.FileArchive | pulumi.FileAsset) else ""
    if not str(given).endswith("/"):
        target = f"{target}/{path.name}"
        _folder(client, target)
    for item in sorted(path.rglob("*")):
        there_too = f"{target}/{item.relative_to(path).as_posix()}"
        if item.is_dir():
            _folder(client, there_too)
        else:
            client.put(str(item), there_too)


def _kind(client: Any, path: str) -> str:  # noqa: ANN401
    try:
        mode = client.stat(path).st_mode
    except FileNotFoundError:
        return ""
    return "folder" if stat.S_ISDIR(mode) else "file"


def _folder(client: Any, path: str) -> None:  # noqa: ANN401
    match _kind(client, path):
        case "file":
            raise PluginError(f"remote path {path} exists but is not a directory")
        case "":
            client.mkdir(path)
