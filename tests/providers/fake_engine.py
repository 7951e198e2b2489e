"""Docker on a host for tests: a daemon.json, a dockerd that takes it or not, and containers.

It does what providers/onhost/engine.sh does, in its words and with its errors, and notes what was
asked of dockerd.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from providers.engine_codes import ENGINE_MEANING
from providers.errors import ChangedMeanwhileError, HostError


class FakeEngine:
    """`file` is daemon.json; `takes` says whether dockerd runs with a text of it."""

    def __init__(self, file: str | None = None, version: str | None = "28.5.2+dfsg1") -> None:
        self.file = file
        self.was: str | None = None
        self.version = version
        self.runs = version is not None
        self.containers = 0
        self.live_restore = False
        self.ends: tuple[str, ...] = ()
        self.backend = ""
        self.config = ""
        self.doing = ""
        self.lacks: tuple[str, ...] = ()
        self.apt = True
        self.did: list[str] = []
        self.looks = 0
        self.seen: list[str | None] = []
        """Every daemon.json that dockerd has read, the interim ones too."""
        self.takes: Callable[[str | None], bool] = lambda text: True
        self.meanwhile: list[Callable[[], None]] = []
        """What others do, one before each put."""

    @property
    def keys(self) -> dict[str, Any]:
        """What daemon.json says."""
        found = json.loads(self.file or "{}")
        assert isinstance(found, dict)
        return found

    def engine(self, act: str, files: Mapping[str, str], *words: str) -> str:
        """See `providers.ssh.remote.Remote.engine`."""
        if act == "state":
            self.looks += 1
            return self._state()
        if act == "install":
            self.did.append("install " + " ".join(self.lacks))
            self.lacks, self.version, self.runs = (), self.version or "20.10.24+dfsg1", True
            return ""
        assert act == "put", act
        return self._put(dict(files), *words)

    @property
    def digest(self) -> str:
        """What stands for the file."""
        return "none" if self.file is None else hashlib.sha256(self.file.encode()).hexdigest()

    def _state(self) -> str:
        dockerd = "" if self.version is None else f"Docker version {self.version}, build 1234567"
        info: dict[str, Any] = {}
        if self.runs:
            info = {
                "ServerVersion": self.version,
                "ContainersRunning": self.containers,
                "LiveRestoreEnabled": self.live_restore,
            }
            if self.backend:
                info["FirewallBackend"] = {"Driver": self.backend}
        lines = ["== engine", f"dockerd {dockerd}", f"runs {'yes' if self.runs else ''}"]
        lines += [f"config {self.config}", f"apt {'/usr/bin/apt-get' if self.apt else ''}"]
        lines += [f"doing {self.doing}", f"digest {self.digest}", "== lacks", *self.lacks]
        lines += ["== info", *([json.dumps(info)] if info else []), "== ends", *self.ends]
        lines += ["== file", *_lines(self.file), "== was", *_lines(self.was), "== end", ""]
        return "\n".join(lines)

    def _put(self, files: dict[str, str], digest: str, how: str) -> str:
        if self.meanwhile:
            self.meanwhile.pop(0)()
        if digest != self.digest:
            raise ChangedMeanwhileError("edge-1", *ENGINE_MEANING[19])
        texts = {name.removesuffix(".base64"): _text(files[name]) for name in files}
        old, old_was = self.file, self.was
        self.was = texts.get("was.first")
        if "interim" in texts:
            assert how == "reload"
            self.seen.append(texts["interim"])
        if "same" not in texts:
            self.file = texts.get("daemon.json")
        self.did.append(how)
        if how != "none":
            if "interim" not in texts:
                self.seen.append(self.file)
            if not self.takes(self.file):
                self.file, self.was = old, old_was
                raise HostError("edge-1", *ENGINE_MEANING[20])
            self.runs = True
        self.was = texts.get("was")
        self.doing = ""
        return ""


def _lines(text: str | None) -> list[str]:
    # An empty file has no line, and neither has one that is not there: the digest tells.
    return [] if text is None else base64.encodebytes(text.encode()).decode().splitlines()


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode() if encoded != "\n" else ""
