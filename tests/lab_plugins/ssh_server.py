"""A small SSH server in this process: runs commands with sh, takes one variable, one key."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from pathlib import Path

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED


class _Session(paramiko.ServerInterface):
    def __init__(self, key: paramiko.PKey) -> None:
        self._key = key
        self._environment: dict[str, str] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if key == self._key else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_env_request(
        self, channel: paramiko.Channel, name: bytes, value: bytes
    ) -> bool:
        # As `AcceptEnv LC_*`, which is what Debian's sshd_config has.
        if not name.startswith(b"LC_"):
            return False
        self._environment[name.decode()] = value.decode()
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._run, args=(channel, command.decode()), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        stdin = b""
        while chunk := channel.recv(65536):
            stdin += chunk
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            input=stdin,
            capture_output=True,
            env={"PATH": os.environ["PATH"], **self._environment},
            timeout=10,
            check=False,
        )
        channel.sendall(done.stdout)
        channel.sendall_stderr(done.stderr)
        channel.send_exit_status(done.returncode)
        channel.close()


class SshServer:
    """Listens on a port of loopback until it is closed."""

    def __init__(self, folder: Path) -> None:
        self.host_key = paramiko.ECDSAKey.generate()
        client = paramiko.ECDSAKey.generate()
        path = folder / "client"
        client.write_private_key_file(str(path))
        self.private_key = path.read_text()
        self._client = client
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def host_key_line(self) -> str:
        """The host key as a stack's configuration has it."""
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"

    def close(self) -> None:
        """Listen no more; a thread that waits in accept would keep a closed socket open."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._welcome, args=(accepted,), daemon=True).start()

    def _welcome(self, accepted: socket.socket) -> None:
        transport = paramiko.Transport(accepted)
        transport.add_server_key(self.host_key)
        # A client may hang up at once: the one that finds its own configuration wrong does.
        with contextlib.suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=_Session(self._client))
