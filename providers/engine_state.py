"""What a host says of its Docker Engine, as data; and what daemon.json was before. Pure."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SECTIONS = ("engine", "lacks", "info", "ends", "file", "was", "end")
_FACTS = ("dockerd", "runs", "apt", "doing", "digest")


class EngineParseError(ValueError):
    """The host's answer is not one."""


@dataclass(frozen=True)
class Record:
    """What our keys of daemon.json were before they were ours; None stands for "not there".

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

    `version` is that of the installed dockerd, None without one. `config` is the file that it was
    told to read, "" for the usual one. `lacks` are Debian packages, `doing` what a run that was
    killed had still to do ("reload", "restart", …), `ends` the running containers that stay stopped
    when Docker restarts. `file` is daemon.json's text, None without one; `info` what `docker info`
    says, empty where it does not answer.
    """

    version: str | None
    runs: bool
    config: str
    apt: bool
    doing: str
    digest: str
    lacks: tuple[str, ...]
    info: Mapping[str, Any]
    ends: tuple[str, ...]
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
    def live_restore(self) -> bool:
        """Whether containers go on while Docker is away, as it runs now."""
        return bool(self.info.get("LiveRestoreEnabled"))

    @property
    def backend(self) -> str:
        """What Docker loads its rules with; it says so from 28 on."""
        found = self.info.get("FirewallBackend")
        return str(found.get("Driver", "")) if isinstance(found, dict) else ""

    def older_than(self, major: int, minor: int) -> bool:
        """Whether it is older than that; one without a number is not."""
        found = re.match(r"(\d+)\.(\d+)", self.version or "")
        return found is not None and (int(found[1]), int(found[2])) < (major, minor)


def engine_state(text: str) -> EngineState:
    """Return what ``wanbound engine state`` printed. Raises EngineParseError for anything else."""
    parts = _parts(text)
    facts = dict(line.partition(" ")[::2] for line in parts["engine"])
    if missing := [name for name in _FACTS if name not in facts]:
        raise EngineParseError(f"it does not say: {', '.join(missing)}")
    if not re.fullmatch("none|[0-9a-f]{64}", facts["digest"]):
        raise EngineParseError(f"this is no digest: {facts['digest'][:80]!a}")
    version = re.search(r"version ([^\s,]+)", facts["dockerd"])
    return EngineState(
        version=None if version is None else version[1],
        runs=facts["runs"] == "yes",
        config=facts.get("config", ""),
        apt=bool(facts["apt"]),
        doing=facts["doing"],
        digest=facts["digest"],
        lacks=tuple(parts["lacks"]),
        info=_info("\n".join(parts["info"])),
        ends=tuple(parts["ends"]),
        file=None if facts["digest"] == "none" else _decoded(parts["file"]),
        record=_record(parts["was"]),
    )


def _parts(text: str) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = parts[line.removeprefix("== ")] = []
        else:
            lines.append(line)
    if tuple(parts) != _SECTIONS:
        raise EngineParseError(f"its parts are {', '.join(parts)[:200] or 'none'}")
    return parts


def _decoded(lines: list[str]) -> str:
    try:
        return base64.b64decode("".join(lines), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise EngineParseError(f"daemon.json is no text: {error}") from error


def _info(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _record(lines: list[str]) -> Record | None:
    if not lines:
        return None
    try:
        found = json.loads(_decoded(lines))
        return Record(dict(found["keys"]), found["bare"], bool(found["absent"]))
    except (ValueError, KeyError, TypeError) as error:
        raise EngineParseError(f"/var/lib/wanbound/engine/was cannot be read: {error}") from error
