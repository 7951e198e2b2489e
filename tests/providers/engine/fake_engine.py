"""Docker on a host for tests: a daemon.json, a dockerd that accepts it or not, and containers.

It does what providers/engine/engine.sh does, with its messages and errors, and notes the requests
to dockerd.
"""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from providers.engine.codes import ENGINE_MEANING
from providers.engine.state import digest as digest_of
from providers.errors import ChangedMeanwhileError, HostError

PROGRAMS = {
    "docker.io": "dockerd",
    "docker-cli": "docker",
    "iproute2": "ip",
    "iptables": "iptables",
    "nftables": "nft",
    "conntrack": "conntrack",
}
"""Debian package → its program, as on Debian 13."""


class FakeEngine:
    """`file` is daemon.json; `takes` returns whether dockerd runs with a text of it."""

    def __init__(self, file: str | None = None, version: str | None = "28.5.2+dfsg1") -> None:
        self.file = file
        self.was: str | None = None
        self.version = version
        self.runs = version is not None
        self.containers = 0
        self.live_restore = False
        self.ends: tuple[str, ...] = ()
        """The names of running containers without a restart policy."""
        self.unknown = False
        """Whether it does not report which containers run."""
        self.backend = ""
        self.config = ""
        self.doing = ""
        self.programs = {"apt-get", *PROGRAMS.values()}
        if version is None:
            self.programs -= {"dockerd", "docker"}
        self.apparmor = False
        self.forwarding = ""
        """The kernel parameters that were sent along."""
        self.failure: HostError | None = None
        """The error of every call."""
        self.did: list[str] = []
        self.looks = 0
        self.seen: list[str | None] = []
        """Every daemon.json that dockerd has read."""
        self.takes: Callable[[str | None], bool] = lambda text: True
        self.meanwhile: list[Callable[[], None]] = []
        """Actions of others, one before each put."""

    @property
    def keys(self) -> dict[str, Any]:
        """The keys of daemon.json."""
        found = json.loads(self.file or "{}")
        assert isinstance(found, dict)
        return found

    def engine(self, act: str, files: Mapping[str, str], *words: str) -> str:
        """See `providers.ssh.remote.Remote.engine`."""
        if self.failure is not None:
            raise self.failure
        if act == "state":
            self.looks += 1
            return self._state()
        if act == "install":
            self.did.append(" ".join(["install", *words]))
            self.programs |= {PROGRAMS[word] for word in words if word in PROGRAMS}
            self.version, self.runs = self.version or "26.1.5+dfsg1", True
            return ""
        assert act == "put", act
        return self._put(dict(files), *words)

    @property
    def digest(self) -> str:
        """A stand-in for the file's digest."""
        return digest_of(self.file)

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
        flags = ["/usr/sbin/dockerd", *(["--config-file", self.config] if self.config else [])]
        names = [*self.ends, *(f"web-{n}" for n in range(self.containers - len(self.ends)))]
        running = [f"{'no' if name in self.ends else 'always'} /{name}" for name in names]
        lines = ["== engine", f"dockerd {dockerd}", f"runs {'yes' if self.runs else ''}"]
        lines += [f"apparmor {'Y' if self.apparmor else ''}", f"doing {self.doing}"]
        lines += ["== programs", *sorted(self.programs), "== flags", *(flags if self.runs else [])]
        lines += ["== info", *([json.dumps(info)] if info else [])]
        lines += ["== containers", *([] if self.unknown else running)]
        lines += ["== daemon.json", *_lines(self.file), "== was", *_lines(self.was), "== end", ""]
        return "\n".join(lines)

    def _put(self, files: dict[str, str], digest: str, how: str) -> str:
        if self.meanwhile:
            self.meanwhile.pop(0)()
        if digest != self.digest:
            raise ChangedMeanwhileError("edge-1", *ENGINE_MEANING[19])
        assert files.keys() <= {"daemon.json.base64", "was", "forwarding"}
        self.forwarding = files.get("forwarding", "")
        old, old_was = self.file, self.was
        self.was = files.get("was")
        encoded = files.get("daemon.json.base64")
        self.file = None if encoded is None else base64.b64decode(encoded).decode()
        self.did.append(how)
        if how != "none":
            self.seen.append(self.file)
            if not self.takes(self.file):
                self.file, self.was = old, old_was
                raise HostError("edge-1", *ENGINE_MEANING[20])
            self.runs = True
        self.doing = ""
        return ""


def _lines(text: str | None) -> list[str]:
    return ["-"] if text is None else base64.encodebytes(text.encode()).decode().splitlines()
