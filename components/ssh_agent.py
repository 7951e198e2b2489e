"""The agents that hold the stack's own keys for the `ssh` program, while a run needs them.

`ssh` takes a key from a file or from an agent, and no key of a stack is written to a file, put on
a command line or kept in the state. So the program, which Pulumi gives the secrets to, hands them
to an agent over a pipe; the options of components/ssh.py name only its socket.
"""

import fcntl
import os
import pwd
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.connection import target
from components.ssh import agent_socket
from planner.config import SecretRef
from planner.plan import HostPlan
from providers.ssh.keys import KeyUnusableError, opened
from providers.ssh.route import Hop, RouteError, route

LIFETIME = 3600
"""Seconds after which an agent forgets a key that no run has given it again."""

_SECONDS = 10.0
_NO_AGENT = 2
"""Exit code of `ssh-add -l` if no agent listens; 1 means an agent without keys."""

# An agent ends with its command (ssh-agent(1)): here a minute after it has lost its last key.
_COMMAND = 'while sleep 60 && ssh-add -l >/dev/null 2>&1; do :; done; kill "$SSH_AGENT_PID"'
_START = 'ssh-agent -a "$0" sh -c "$1" </dev/null >/dev/null 2>&1 &'


class AgentError(Exception):
    """A key of the stack cannot be used, or no agent can be started; holds nothing of a key."""


def hold_keys(hosts: Sequence[HostPlan], secrets: Mapping[str, object]) -> None:
    """Give the keys that the stack has for its hosts to the agents that `ssh` will ask.

    `secrets` are the values of wanbound:secrets by name. Makes ~/.ssh where it is missing. Contacts
    no host. Raises AgentError.
    """
    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise AgentError(
            f"the user with the id {os.getuid()} has no account here, and ssh needs one\n"
            "  Fix: run this as a user with an entry in /etc/passwd"
        ) from None
    _make(home / ".ssh")
    agents: dict[str, dict[str, None]] = {}
    for index, host in enumerate(hosts):
        socket = agent_socket(host.ssh)
        if socket is None:
            continue
        try:
            keys = _keys(host, secrets)
        except KeyUnusableError as error:
            raise AgentError(
                f"wanbound:hosts[{index}].ssh.key (host {host.name})\n"
                f"  the secret {host.ssh.key.secret if host.ssh.key else ''} {error}\n"
                "  Fix: put the whole file, from its BEGIN line to its END line, into the"
                " secret, and its passphrase, if it has one, into ssh.key_passphrase"
            ) from None
        agents.setdefault(socket, {}).update(dict.fromkeys(keys))
    for socket, found in agents.items():
        _hold(home / socket.removeprefix("~/"), list(found))


def _make(folder: Path) -> None:
    """Make ~/.ssh where there is none: a fresh account or a CI runner may have an agent alone.

    The sockets of shared connections are in it, and `ssh` makes none without it.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise AgentError(
            f"{folder} cannot be made ({error}), and ssh needs it for its connections\n"
            "  Fix: make it, with mode 0700, or give this user a home that can be written to"
        ) from error


def _keys(host: HostPlan, secrets: Mapping[str, object]) -> list[str]:
    """Return the keys that log in at a host, opened. Raises KeyUnusableError."""
    phrase = _text(host.ssh.key_passphrase, secrets)
    if host.ssh.key is not None:
        return [opened(_text(host.ssh.key, secrets) or "", phrase)]
    # Key files which the user's ssh config names, and which ssh itself would ask a person to open.
    found = []
    hop: Hop | None
    try:
        hop = route(target(host))
    except RouteError:
        # HostNetworking reports it, with the remedy.
        hop = None
    while hop is not None:
        for file in hop.files if hop.key else ():
            try:
                found.append(opened(file.read_text(), phrase))
            except (KeyUnusableError, OSError, UnicodeDecodeError):
                continue
        hop = hop.via
    return found


def _text(ref: SecretRef | None, secrets: Mapping[str, object]) -> str | None:
    return None if ref is None else str(secrets.get(ref.secret, ""))


def _hold(socket: Path, keys: list[str]) -> None:
    try:
        with _alone(socket):
            if _ask(socket, "-l") == _NO_AGENT:
                socket.unlink(missing_ok=True)
                _start(socket)
            for key in keys:
                if _ask(socket, "-q", "-t", str(LIFETIME), "-", text=key) != 0:
                    raise AgentError(f"the SSH agent at {socket} refuses a key; end it, run again")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentError(
            f"no SSH agent can be used at {socket} ({error}), and a key of the stack needs one\n"
            "  Fix: see that ssh-agent and ssh-add are installed and that the folder can be"
            " written to"
        ) from error


@contextmanager
def _alone(socket: Path) -> Iterator[None]:
    """Let no other run start an agent at the same place."""
    with socket.with_name("wanbound-agent.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(socket: Path) -> None:
    # In a new session and without our open files: it outlives the run, and Pulumi waits for every
    # process that holds the program's output.
    words = ["sh", "-c", _START, str(socket), _COMMAND]
    subprocess.run(words, check=True, cwd="/", start_new_session=True, timeout=_SECONDS)
    until = time.monotonic() + _SECONDS
    while _ask(socket, "-l") == _NO_AGENT:
        if time.monotonic() > until:
            raise OSError("it does not start")
        time.sleep(0.02)


def _ask(socket: Path, *words: str, text: str = "") -> int:
    return subprocess.run(
        ["ssh-add", *words],
        input=text,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "SSH_AUTH_SOCK": str(socket)},
        timeout=_SECONDS,
    ).returncode
