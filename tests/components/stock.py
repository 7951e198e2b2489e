"""A key of the stack, in a secret with a unique name, and the real `ssh` that uses it."""

import getpass
import os
import pwd
import secrets
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.ssh import agent_socket, ssh_options
from planner.config import Jump, SecretRef, Ssh, Stack
from planner.plan import HostPlan, plan
from tests.planner import golden
from tests.providers.sshd import Sshd

LIMIT = 30.0
PHRASE = "geheim und lang"
OPENS = "phrase"
"""The name of the secret that has it."""


@dataclass
class Stock:
    """A secret with a unique name, because ssh finds agents by it in the real home."""

    name: str
    values: dict[str, object]

    def ssh(self, host: Sshd, jump: Jump | None = None, phrase: bool = False) -> Ssh:
        """Return how to reach the host with the key of that secret."""
        return Ssh(
            address="127.0.0.1",
            port=host.port,
            user=getpass.getuser(),
            host_key=host.host_key,
            jump=jump,
            key=SecretRef(secret=self.name),
            key_passphrase=SecretRef(secret=OPENS) if phrase else None,
        )


@contextmanager
def stocked(host: Sshd) -> Iterator[Stock]:
    """Yield the key that the host accepts; agents started for it end with the block."""
    name = f"test-{secrets.token_hex(8)}"
    found = Stock(name, {name: host.client_key.read_text(), OPENS: PHRASE})
    yield found
    for phrase in (False, True):
        path = place(found.ssh(host, phrase=phrase))
        if path.exists():
            os.killpg(os.getpgid(owner(path)), signal.SIGTERM)
            path.unlink(missing_ok=True)


def place(ssh: Ssh) -> Path:
    """Return the path where ssh looks for the agent: in the passwd file's home, not in $HOME."""
    name = agent_socket(ssh)
    assert name is not None
    return Path(pwd.getpwuid(os.getuid()).pw_dir, name.removeprefix("~/"))


def owner(path: Path) -> int:
    """Return the process that listens there; it ends with its agent."""
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(path))
        pid, _, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)


def planned(ssh: Ssh) -> HostPlan:
    """Return a host with this connection."""
    (found,) = plan(Stack.parse(golden.config("containers"), "test"))
    return type(found)(**{**vars(found), "ssh": ssh})


def asked(ssh: Ssh, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the real ssh as Docker's provider does, without the user's own agent and config."""
    line = ["ssh", "-F", "none", *more, *ssh_options(ssh), "-l", ssh.user, "-p", str(ssh.port)]
    environment = {key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"}
    return subprocess.run(
        [*line, "--", ssh.address, "true"],
        input="echo in\n",
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment,
    )


def hang_up(ssh: Ssh) -> None:
    """End the remaining master, and the one at the jump host."""
    line = ["ssh", "-F", "none", *ssh_options(ssh), "-l", ssh.user, "-p", str(ssh.port)]
    subprocess.run([*line, "-O", "exit", ssh.address], capture_output=True, timeout=LIMIT)
    if ssh.jump is not None:
        hang_up(Ssh(**dict(ssh.jump)))


def jump_to(bastion: Sshd, **changes: str | int | None) -> Jump:
    """Return the bastion as a jump host, with `changes`."""
    values = {"port": bastion.port, "user": getpass.getuser(), "host_key": bastion.host_key}
    return Jump.model_validate({"address": "127.0.0.1", **values, **changes})
