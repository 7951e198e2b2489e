"""What a host says of its Docker Engine, as data; and what daemon.json was before. Pure."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SECTIONS = ("engine", "programs", "flags", "info", "containers", "daemon.json", "was", "end")
_FACTS = ("dockerd", "runs", "apparmor", "doing")
_CONFIG = "--config-file"


class EngineParseError(ValueError):
    """The host's answer cannot be parsed."""


@dataclass(frozen=True)
class Record:
    """What our keys of daemon.json were before they were ours; None means "not there".

    `bare` is the whole text of a file that had no key, `absent` says that there was no file.
    """

    keys: Mapping[str, str | None] = field(default_factory=dict)
    bare: str | None = None
    absent: bool = False

    def text(self) -> str:
        """Return it as the host keeps it."""
        parts = {"keys": dict(self.keys), "bare": self.bare, "absent": self.absent}
        return json.dumps(parts, indent=2) + "\n"


@dataclass(frozen=True)
class EngineState:
    """A host's Docker Engine.

    `version` is that of the installed dockerd, "" where it does not say, None without one.
    `programs` are those that are installed, of all that rules need. `apparmor` says that the kernel
    uses it. `config` is the file that the running dockerd was told to read, "" for the usual one.
    `doing` is what a killed run still had to do ("reload", "restart", …). `containers` are
    the policies and names of running ones, `info` is what `docker info` says, empty where it does
    not answer. `file` is daemon.json's text, None without one.
    """

    version: str | None
    programs: frozenset[str]
    apparmor: bool
    runs: bool
    config: str
    doing: str
    info: Mapping[str, Any]
    containers: tuple[tuple[str, str], ...]
    file: str | None
    record: Record | None

    @property
    def answers(self) -> bool:
        """Whether Docker runs and says how it is."""
        return bool(self.info.get("ServerVersion"))

    @property
    def running(self) -> int:
        """The number of containers that run."""
        return int(self.info.get("ContainersRunning") or 0)

    @property
    def ends(self) -> tuple[str, ...] | None:
        """The running containers that stay stopped when Docker restarts; None where not known."""
        if len(self.containers) < self.running:
            return None
        return tuple(name for policy, name in self.containers if policy in ("", "no"))

    @property
    def live_restore(self) -> bool:
        """Whether containers keep running while Docker is stopped, with its present settings."""
        return bool(self.info.get("LiveRestoreEnabled"))

    @property
    def backend(self) -> str:
        """What Docker loads its rules with; it says so from 28 on."""
        found = self.info.get("FirewallBackend")
        return str(found.get("Driver", "")) if isinstance(found, dict) else ""


def digest(text: str | None) -> str:
    """Return the digest of a daemon.json with that text, "none" for no file."""
    return "none" if text is None else hashlib.sha256(text.encode()).hexdigest()


def engine_state(text: str) -> EngineState:
    """Return what ``wanbound engine state`` printed. Raises EngineParseError for anything else."""
    parts = _parts(text)
    facts = dict(line.partition(" ")[::2] for line in parts["engine"])
    if missing := [name for name in _FACTS if name not in facts]:
        raise EngineParseError(f"its answer lacks: {', '.join(missing)}")
    programs = frozenset(parts["programs"])
    version = re.search(r"version ([^\s,]+)", facts["dockerd"])
    return EngineState(
        version=None if "dockerd" not in programs else "" if version is None else version[1],
        programs=programs,
        apparmor=facts["apparmor"] == "Y",
        runs=facts["runs"] == "yes",
        config=_config(parts["flags"]),
        doing=facts["doing"],
        info=_info("\n".join(parts["info"])),
        containers=tuple(_container(line) for line in parts["containers"]),
        file=_content("/etc/docker/daemon.json", parts["daemon.json"]),
        record=_record(parts["was"]),
    )


def _parts(text: str) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith("== "):
            lines = parts[line.removeprefix("== ")] = []
        else:
            lines.append(line)
    if tuple(parts) != _SECTIONS:
        raise EngineParseError(f"its parts are {', '.join(parts)[:200] or 'none'}")
    return parts


def _config(flags: list[str]) -> str:
    """Return the file that these words of a command line name; the last one counts."""
    found = ""
    for flag, following in zip(flags, [*flags[1:], ""], strict=False):
        if flag == _CONFIG:
            found = following
        elif flag.startswith(f"{_CONFIG}="):
            found = flag.removeprefix(f"{_CONFIG}=")
    return found


def _container(line: str) -> tuple[str, str]:
    policy, _, name = line.partition(" ")
    return policy, name.removeprefix("/")


def _info(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _content(file: str, lines: list[str]) -> str | None:
    if lines == ["-"]:
        return None
    try:
        return base64.b64decode("".join(lines), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise EngineParseError(f"{file} is not text: {error}") from error


def _record(lines: list[str]) -> Record | None:
    file = "/var/lib/wanbound/engine/was"
    text = _content(file, lines)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return Record(dict(found["keys"]), found["bare"], bool(found["absent"]))
    except (ValueError, KeyError, TypeError) as error:
        raise EngineParseError(f"{file} cannot be read: {error}") from error
