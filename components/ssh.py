"""How the `ssh` program reaches a host, for Docker's provider and for the egress check.

These options are inputs and so part of the state: they are the same on every machine, name no file
that only one of them has, and hold no secret. Keys come from the agent or the user's ssh config,
or from an agent of our own where the stack has the key (components/ssh_agent.py).
"""

import hashlib
import shlex

from planner.config import Jump, Ssh

_SHARED = (
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=10",
    # One connection for all of a run's calls: sshd starts to refuse at 10 unauthenticated ones.
    "-o", "ControlMaster=auto",
    "-o", "ControlPersist=30",
    "-o", "StrictHostKeyChecking=yes",
    # Other keys that the host offers are not learned either.
    "-o", "UpdateHostKeys=no",
)  # fmt: skip


def ssh_options(ssh: Ssh) -> list[str]:
    """Return the options before the host's name; a pinned host key needs no file."""
    options = [
        *_SHARED,
        *_master(ssh, agent_socket(ssh), ssh.jump),
        *_pinned(ssh.host_key),
        *_keys(ssh),
    ]
    if ssh.jump is not None:
        options += ["-o", f"ProxyCommand={_over(ssh.jump, ssh)}"]
    return options


def agent_socket(ssh: Ssh) -> str | None:
    """Return the socket of the agent that holds the stack's keys for a host, None for the user's.

    The path is constant, and short for any name of a secret: a socket's has 107 bytes.
    """
    names = [None if each is None else each.secret for each in (ssh.key, ssh.key_passphrase)]
    if names == [None, None]:
        return None
    return f"~/.ssh/wanbound-agent-{hashlib.sha256(repr(names).encode()).hexdigest()[:12]}"


def docker_host(ssh: Ssh) -> str:
    """Return the URL under which Docker's provider finds the engine."""
    address = f"[{ssh.address}]" if ":" in ssh.address else ssh.address
    return f"ssh://{ssh.user}@{address}:{ssh.port}"


def _master(to: Jump, agent: str | None, jump: Jump | None = None) -> list[str]:
    """Return the path of the socket of the connection to a host that a run's calls share.

    A call over an existing connection checks neither key nor host key, so only calls with the same
    key and host key may share one. Behind two jump hosts, one address may belong to two machines.
    ssh's own %C does not distinguish them, because it ignores a ProxyCommand. The path is short: a
    socket's path has at most 107 bytes, ssh appends 17, and home directories may have long names.
    """
    who = (to.address, to.port, to.user, to.host_key, agent, jump)
    return [
        "-o",
        f"ControlPath=~/.ssh/wanbound-{hashlib.sha256(repr(who).encode()).hexdigest()[:16]}",
    ]


def _pinned(host_key: str | None) -> list[str]:
    if host_key is None:
        return []
    nowhere = ["-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null"]
    return [*nowhere, "-o", f"KnownHostsCommand=/bin/echo %H {host_key}"]


def _keys(ssh: Ssh) -> list[str]:
    socket = agent_socket(ssh)
    # A user's own "IdentitiesOnly yes" would exclude the agent's keys, which no file has.
    return [] if socket is None else ["-o", f"IdentityAgent={socket}", "-o", "IdentitiesOnly=no"]


def _over(jump: Jump, ssh: Ssh) -> str:
    """Return the command that leads to the host's sshd: as -J does, with options for the jump."""
    options = [*_SHARED, *_master(jump, agent_socket(ssh))]
    options += [*_pinned(jump.host_key), *_keys(ssh)]
    words = ["ssh", *options, "-p", str(jump.port), "-l", jump.user]
    # The outer ssh expands every % in the command, and the inner ssh has its own tokens.
    inner = [word.replace("%", "%%") for word in words]
    return shlex.join([*inner, "-W", "[%h]:%p", "--", jump.address])
