"""SSH keys of the lab: constant for its hosts, random for its user; and the user's agent."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from lab import processes
from lab.settings import HostSpec, Settings
from lab.steps import output, wait_until


def _private_text(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def _public_text(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def life(settings: Settings, name: str) -> int:
    """Return how often the host was replaced by another machine of its name."""
    file = settings.state / f"life-{name}"
    return int(file.read_text()) if file.exists() else 0


def begin_life(settings: Settings, name: str) -> None:
    """Make the host's next machine a new one, with another key."""
    (settings.state / f"life-{name}").write_text(f"{life(settings, name) + 1}\n")


def host_key(name: str, life: int = 0) -> tuple[str, str]:
    """Return the host's private key and `ssh-ed25519 AAAA…`.

    Derived from its name and life, so that a stack file can contain the public half. That makes the
    private half public too. This is safe: only their own machine can reach these hosts.
    """
    which = f"{name} {life}" if life else name
    seed = hashlib.sha256(f"wanbound lab host key {which}".encode()).digest()
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return _private_text(key), _public_text(key)


def client_key(settings: Settings) -> Path:
    """Return the private key of the lab's user, made if it is missing; `.pub` is beside it."""
    path = settings.cache / "lab-ssh" / "id_ed25519"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = Ed25519PrivateKey.generate()
        path.with_suffix(".pub").write_text(f"{_public_text(key)} wanbound-lab\n")
        following = path.with_suffix(".next")
        following.touch(mode=0o600)
        following.write_text(_private_text(key))
        following.rename(path)
    return path


def write_ssh_config(settings: Settings, hosts: tuple[HostSpec, ...]) -> None:
    """Write configuration and known hosts of the lab's own ssh calls, separate from the user's."""
    known = settings.state / "known_hosts"
    known.write_text(
        "".join(
            f"{host.name},{settings.address(host)}"
            f" {host_key(host.name, life(settings, host.name))[1]}\n"
            for host in hosts
        )
    )
    entries = [f"Host {host.name}\n    HostName {settings.address(host)}\n" for host in hosts]
    common = f"""Host *
    User root
    IdentityFile {client_key(settings)}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {known}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    CheckHostIP no
    BatchMode yes
    ConnectTimeout 20
    ServerAliveInterval 5
    ServerAliveCountMax 6
    LogLevel ERROR
    ControlMaster auto
    ControlPath {settings.state}/cm-%n-%r
    ControlPersist 60
"""
    settings.ssh_config.write_text("".join([*entries, common]))
    # ssh makes it when it first learns a key, but some callers only read it.
    (Path.home() / ".ssh").mkdir(mode=0o700, exist_ok=True)


def agent_socket(settings: Settings) -> Path:
    """Return SSH_AUTH_SOCK of the lab's agent."""
    return settings.state / "agent.sock"


def start_agent(settings: Settings) -> None:
    """Start an ssh-agent with the client key, unless it runs already."""
    socket = agent_socket(settings)
    if processes.find(settings, "ssh-agent") is None:
        socket.unlink(missing_ok=True)
        # -D: does not fork, so that the recorded pid is the agent's.
        agent = ["ssh-agent", "-D", "-a", str(socket)]
        processes.spawn(settings, "ssh-agent", agent, log=settings.logs / "ssh-agent.log")
        wait_until("the ssh-agent's socket", socket.exists, timeout=60)
    output(["ssh-add", "-q", client_key(settings)], env={"SSH_AUTH_SOCK": str(socket)})
