"""How the `ssh` program reaches a host, for Docker's provider and for the egress check.

These options are inputs and so part of the state: they are the same on every machine, name no file
that only one of them has, and hold no secret. Keys come from the agent or the user's ssh config.
"""

from planner.config import Ssh

_SHARED = (
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=10",
    # One connection for all of a run's calls: sshd starts to refuse at 10 unauthenticated ones.
    "-o", "ControlMaster=auto",
    "-o", "ControlPath=~/.ssh/wanbound-%C",
    "-o", "ControlPersist=30",
    "-o", "StrictHostKeyChecking=yes",
)  # fmt: skip


def ssh_options(ssh: Ssh) -> list[str]:
    """Return the options before the host's name; a pinned host key needs no file."""
    options = list(_SHARED)
    if ssh.host_key is not None:
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null"]
        options += ["-o", f"KnownHostsCommand=/bin/echo %H {ssh.host_key}"]
    return options


def docker_host(ssh: Ssh) -> str:
    """Return the URL under which Docker's provider finds the engine."""
    address = f"[{ssh.address}]" if ":" in ssh.address else ssh.address
    return f"ssh://{ssh.user}@{address}:{ssh.port}"
