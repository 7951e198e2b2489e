"""The route to a host: what the stack says, completed from the user's ~/.ssh/config.

The file is read as ssh_config(5) describes. paramiko does that, except for `Include` and for the
stack's own port and user; this module adds both.
"""

import getpass
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko

from providers.ssh.target import Target

CONFIG = "~/.ssh/config"
_DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_DEEPEST = 16
"""Depth of nested Includes; ssh has the same limit."""

_HEADER = re.compile(r"\s*(host|match)[\s=]", re.IGNORECASE)
_INCLUDE = re.compile(r"\s*include(?:\s*=\s*|\s+)(.+)", re.IGNORECASE)
_JUMP = re.compile(r"(?:ssh://)?(?:([^@]+)@)?(\[[^]]+\]|[^:\[\]]+)(?::(\d+))?/?")


class RouteError(ValueError):
    """The user's ssh config cannot be used; says why."""


@dataclass(frozen=True)
class Hop:
    """One SSH server on the route, with how to reach it and how to log in.

    `key` is the configuration key that describes it ("ssh", "ssh.jump"), "" for a hop that only
    ~/.ssh/config names. `files` are private keys. `agent` is a socket, "" for none. `only_files` is
    IdentitiesOnly. `via` is the hop before it. `command` is a ProxyCommand: a program whose
    standard streams are the connection.
    """

    hostname: str
    port: int
    user: str
    host_key: str | None
    key: str
    files: tuple[Path, ...]
    agent: str
    only_files: bool
    via: "Hop | None"
    command: str | None


@dataclass(frozen=True)
class _Wanted:
    """What is known of a hop before ~/.ssh/config is read."""

    address: str
    port: int | None
    user: str | None
    host_key: str | None = None
    key: str = ""


class _Config(paramiko.SSHConfig):
    """paramiko's reader, except that it leaves the tokens of a ProxyCommand alone."""

    TOKENS_BY_CONFIG_KEY = {  # noqa: RUF012 - as the base class does
        **paramiko.SSHConfig.TOKENS_BY_CONFIG_KEY,
        "proxycommand": [],
    }


def route(target: Target) -> Hop:
    """Return the hop of the target itself; `via` leads to the others. Raises RouteError."""
    text = "".join(_lines(Path(CONFIG).expanduser(), 0))
    jumps: tuple[_Wanted, ...] = ()
    if target.jump is not None:
        jump = target.jump
        jumps = (_Wanted(jump.address, jump.port, jump.user, jump.host_key, "ssh.jump"),)
    wanted = _Wanted(target.address, target.port, target.user, target.host_key, "ssh")
    return _hop(text, wanted, jumps, frozenset())


def _hop(
    text: str, wanted: _Wanted, jumps: tuple[_Wanted, ...], seen: frozenset[tuple[str, int]]
) -> Hop:
    config = _lookup(text, wanted)
    here = _place(config, wanted)
    seen |= {here}
    command = None
    if not jumps:
        jumps, command = _proxy(config, wanted, here)
        # "ProxyJump bastion" under "Host *" applies to every host but the bastion.
        if jumps and _place(_lookup(text, jumps[-1]), jumps[-1]) in seen:
            jumps = ()
    return Hop(
        hostname=here[0],
        port=here[1],
        user=wanted.user or str(config.get("user", "")) or getpass.getuser(),
        host_key=wanted.host_key,
        key=wanted.key,
        files=_files(config),
        agent=_agent(str(config.get("identityagent", "SSH_AUTH_SOCK"))),
        only_files=config.get("identitiesonly") == "yes",
        via=_hop(text, jumps[-1], jumps[:-1], seen) if jumps else None,
        command=command,
    )


def _lookup(text: str, wanted: _Wanted) -> paramiko.SSHConfigDict:
    # The first value of a key counts, so tokens and Match blocks see the stack's values.
    first = "Host *\n"
    first += f"Port {wanted.port}\n" if wanted.port is not None else ""
    first += f"User {wanted.user}\n" if wanted.user is not None else ""
    try:
        return _Config.from_text(first + text).lookup(wanted.address)
    except (paramiko.ConfigParseError, paramiko.CouldNotCanonicalize, ValueError) as error:
        raise RouteError(str(error) or type(error).__name__) from error
    except ImportError as error:
        raise RouteError("Match exec is not supported") from error


def _place(config: paramiko.SSHConfigDict, wanted: _Wanted) -> tuple[str, int]:
    port = config.get("port", "22") if wanted.port is None else str(wanted.port)
    if not port.isdecimal():
        raise RouteError(f"Port {port} of {wanted.address} is not a number")
    # As ssh does, which also looks for it so in known_hosts.
    return str(config.get("hostname", wanted.address)).lower(), int(port)


def _files(config: paramiko.SSHConfigDict) -> tuple[Path, ...]:
    named = config.get("identityfile")
    if not named:
        return tuple(file for file in map(_path, _DEFAULT_KEYS) if file.is_file())
    return tuple(_path(file) for file in named if file.lower() != "none")


def _path(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()


def _proxy(
    config: paramiko.SSHConfigDict, wanted: _Wanted, here: tuple[str, int]
) -> tuple[tuple[_Wanted, ...], str | None]:
    """Return the jump hosts or the ProxyCommand of the config, whichever comes first in it."""
    name = next((key for key in config if key in ("proxyjump", "proxycommand")), "")
    value: str | None = config.get(name)
    # paramiko turns the command "none" into None.
    if value is None or value.lower() == "none":
        return (), None
    if name == "proxyjump":
        return tuple(_jump(each) for each in value.split(",")), None
    tokens = {
        "h": here[0],
        "n": wanted.address,
        "p": str(here[1]),
        "r": wanted.user or str(config.get("user", "")) or getpass.getuser(),
        "%": "%",
    }
    return (), re.sub("%(.)", lambda found: tokens.get(found[1], found[0]), value)


def _jump(text: str) -> _Wanted:
    found = _JUMP.fullmatch(text.strip())
    if found is None:
        raise RouteError(f"ProxyJump {text.strip()} is not [user@]host[:port]")
    user, host, port = found.groups()
    return _Wanted(host.strip("[]"), int(port) if port else None, user)


def _agent(text: str) -> str:
    """Return the socket that an IdentityAgent means (ssh_config(5)), "" for none."""
    if text == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK", "")
    if text.lower() == "none":
        return ""
    return str(_path(text.replace("%d", "~")))


def _lines(path: Path, depth: int) -> Iterator[str]:
    """Yield the file's lines, with each Include replaced by the lines of its files."""
    if depth > _DEEPEST:
        raise RouteError(f"{path} includes itself")
    try:
        lines = path.read_text().splitlines() if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise RouteError(f"{path}: {error}") from error
    header = "Host *"
    for line in lines:
        included = _INCLUDE.fullmatch(line)
        if included is None:
            header = line if _HEADER.match(line) else header
            yield f"{line}\n"
            continue
        for pattern in included[1].replace('"', "").split():
            for file in _matching(pattern):
                yield from _included(file, header, depth)


def _matching(pattern: str) -> list[Path]:
    # A relative path is relative to ~/.ssh.
    place = Path(CONFIG).expanduser().parent / Path(pattern).expanduser()
    return sorted(Path(place.anchor).glob(str(place.relative_to(place.anchor))))


def _included(path: Path, header: str, depth: int) -> Iterator[str]:
    everywhere = header.split()[1:] in (["*"], ["all"])
    for line in _lines(path, depth + 1):
        if _HEADER.match(line) and not everywhere:
            # A block within a block would need both conditions; only the lines before it count.
            return
        yield line
    yield f"{header}\n"
