"""The lab's record of what it makes outside its own folders, written before it is made.

Removal uses this list alone, so nothing is removed because of its name. A name that exists and is
not on the list is foreign: the lab refuses to use it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lab.errors import LabError
from lab.settings import Settings

Kind = Literal["link", "namespace", "path", "cgroup"]
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Made:
    """One entry: a link of the root namespace, a named namespace, a file or folder, a cgroup."""

    kind: Kind
    name: str
    boot: str

    @property
    def gone_with_boot(self) -> bool:
        """Whether it cannot exist any more, because the machine has rebooted."""
        return self.kind != "path" and self.boot != BOOT_ID.read_text().strip()


class Ledger:
    """The list, one JSON object a line, in the lab's state folder."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.state / "made.jsonl"

    def read(self) -> list[Made]:
        """Return all entries that may still exist, oldest first."""
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return []
        made: list[Made] = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                # Half a line: the writer was killed, so the thing was not made yet.
                continue
            if entry["kind"] in get_args(Kind):
                made.append(Made(entry["kind"], entry["name"], entry["boot"]))
        return [entry for entry in dict.fromkeys(made) if not entry.gone_with_boot]

    def has(self, kind: Kind, name: str) -> bool:
        """Whether the thing is the lab's."""
        return any(entry.kind == kind and entry.name == name for entry in self.read())

    def claim(self, kind: Kind, name: str, *, exists: bool) -> None:
        """Record that the thing will be made; LabError if it exists and is not the lab's."""
        if self.has(kind, name):
            return
        if exists:
            raise LabError(
                f"the {kind} {name} exists and this lab did not make it, so it is left alone and "
                "the lab cannot start: remove it, or give this lab other names with "
                "WANBOUND_LAB_PREFIX and other host names"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"kind": kind, "name": name, "boot": BOOT_ID.read_text().strip()}
        with self.path.open("a") as out:
            # The newline in front ends a line that a killed writer left incomplete.
            out.write("\n" + json.dumps(entry) + "\n")
            out.flush()
            os.fsync(out.fileno())
