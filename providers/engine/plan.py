"""The steps to change a host's Docker Engine, and their effect on its containers. Pure.

Docker's documentation ("Configuration reload behavior") and moby's daemon/reload.go say which keys
a running dockerd applies on a reload. All other keys need a restart.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from providers.engine.daemon_json import DaemonJson, DaemonJsonError, json_source, plain
from providers.engine.state import EngineState, Record
from providers.engine.usable import fault, older_than
from providers.errors import HostError

_UNCHANGED = "as it was; nothing has changed"

PACKAGES: Mapping[str, str] = {
    "dockerd": "docker.io",
    "docker": "docker-cli",
    "ip": "iproute2",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
}
"""Program → the Debian package that has it. Up to Debian 12 docker.io brings the client along."""

_RELOADS = frozenset(
    [
        "allow-nondistributable-artifacts",
        "authorization-plugins",
        "debug",
        "default-runtime",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    ]
)
"""The documentation also lists `features`, but dockerd reloads only `buildkit` of it."""

_RESET = frozenset(["max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts"])
"""Keys that a reload resets to their defaults when they are removed."""

_DEFAULTS: Mapping[str, object] = {
    "allow-nondistributable-artifacts": [],
    "debug": False,
    "insecure-registries": [],
    "labels": [],
    "live-restore": False,
    "registry-mirrors": [],
    "shutdown-timeout": 15,
}
"""A reload keeps the values of these when they are removed: the default must be written once."""

_RANK = ("none", "reload", "restart", "reload+restart")


@dataclass(frozen=True)
class EngineStep:
    """One change of daemon.json: its text, None to remove it, and what Docker has to do for it.

    `record` is the record from before that change on, None for none.
    """

    text: str | None
    how: str
    record: Record | None


@dataclass(frozen=True)
class EngineChange:
    """What has to be done; nothing where both are empty. `effect` tells it to the operator.

    `install` has Debian packages; the rest is decided again after their installation. `steps` run
    one after the other. If a run ends between two of them, the next run continues from there.
    """

    effect: str
    install: tuple[str, ...] = ()
    steps: tuple[EngineStep, ...] = ()


@dataclass(frozen=True)
class EngineWanted:
    """What a host's engine is to be: keys of daemon.json, and what may be done for them.

    `firewall` is what wanbound loads its rules with, "iptables" or "nftables". `going` says that
    the resource is destroyed, and only the old settings are wanted.
    """

    keys: Mapping[str, Any]
    install: bool = False
    restart: bool = True
    firewall: str = "iptables"
    going: bool = False


def engine_change(host: str, state: EngineState, wanted: EngineWanted) -> EngineChange:
    """Return what has to be done on `host`. Raises HostError if it is impossible or not allowed."""
    if not wanted.going and (missing := _missing(host, state, wanted)):
        keys = f", then sets {', '.join(wanted.keys)}" if wanted.keys else ""
        effect = f"installs {', '.join(missing)} from the distribution{keys}"
        return EngineChange(effect, install=(*missing, *_companions(state, missing)))
    now = _document(host, state)
    before = state.record or _first_record(state, now)
    after, record = _merged(now, before, wanted.keys)
    text = _text(state, after, before, bool(record.keys))
    changed = [key for key in {**dict.fromkeys(now.keys), **dict.fromkeys(after.keys)}
               if not _equal(now, after, key)]  # fmt: skip
    if not wanted.going:
        _refuse_engine(host, state, after, wanted.firewall)
    how = _how(state, now, after, changed, going=wanted.going)
    effect = _effect(state, after, how)
    if not wanted.restart and "restart" in how and _stops(state, after):
        raise HostError(
            host,
            f"Docker would have to restart for {', '.join(changed) or 'its daemon.json'}, and"
            f" engine.restart is false\n  {effect}",
            _UNCHANGED,
            "set engine.restart to true when a restart is acceptable, or set live_restore",
        )
    # The old value of a key stays on record until Docker runs without ours.
    kept = Record({**before.keys, **record.keys}, before.bare, before.absent)
    interim = _interim(now, after, changed) if how == "reload" else None
    first = EngineStep(text if interim is None else interim, how, kept if kept.keys else None)
    last = EngineStep(text, "none", record if record.keys else None)
    steps = []
    found = EngineStep(state.file, "none", state.record)
    if (first.text, how) != (found.text, "none"):
        steps.append(first)
        found = replace(first, how="none")
    # A step clears what a killed run has left, even if it changes nothing.
    if last != found or (state.doing and not steps):
        steps.append(last)
    return EngineChange(effect, steps=tuple(steps))


def lacks(state: EngineState, wanted: EngineWanted) -> tuple[str, ...]:
    """Return the Debian packages whose programs are missing on a host."""
    missing = [program for program in PACKAGES if program not in state.programs]
    if "iptables" in missing and wanted.keys.get("firewall-backend") == "nftables":
        missing.remove("iptables")
    # Whether the client is a separate package is known once dockerd is installed.
    if "dockerd" in missing and "docker" in missing:
        missing.remove("docker")
    return tuple(PACKAGES[program] for program in missing)


def _companions(state: EngineState, missing: Sequence[str]) -> tuple[str, ...]:
    """Return the packages that docker.io only recommends, but needs."""
    if "docker.io" not in missing:
        return ()
    # Where the kernel uses AppArmor, no container starts without its parser.
    return ("ca-certificates", "apparmor") if state.apparmor else ("ca-certificates",)


def _missing(host: str, state: EngineState, wanted: EngineWanted) -> tuple[str, ...]:
    """Return the packages to install. Raises HostError where none may or can be."""
    if not wanted.install:
        if not {"dockerd", "docker"} <= state.programs:
            raise HostError(
                host,
                "there is no Docker Engine (no dockerd)"
                if state.version is None
                else "there is no Docker client (no docker)",
                _UNCHANGED,
                "set engine.install to true to install the distribution's; or install the"
                " one that you want",
            )
        return ()
    missing = lacks(state, wanted)
    if missing and "apt-get" not in state.programs:
        raise HostError(
            host,
            f"it lacks {', '.join(missing)}, and there is no apt-get to install from",
            _UNCHANGED,
            "install them there yourself, and remove engine.install",
        )
    return missing


def _document(host: str, state: EngineState) -> DaemonJson:
    if state.config not in ("", "/etc/docker/daemon.json"):
        raise HostError(
            host,
            f"its dockerd runs with --config-file={state.config}",
            _UNCHANGED,
            "remove that flag, so that it reads /etc/docker/daemon.json; or remove engine",
        )
    try:
        return DaemonJson(state.file or "")
    except DaemonJsonError as error:
        raise HostError(
            host,
            f"/etc/docker/daemon.json {error}",
            "as it was: the file is kept; Docker itself would not start with it",
            "correct that line of the file (`dockerd --validate` there shows the same), run again",
        ) from error


def _first_record(state: EngineState, now: DaemonJson) -> Record:
    bare = None if now.keys else state.file
    return Record({}, bare, state.file is None)


def _merged(now: DaemonJson, before: Record, keys: Mapping[str, Any]) -> tuple[DaemonJson, Record]:
    after = now
    for key, source in before.keys.items():
        if key not in keys:
            after = after.without_key(key) if source is None else after.with_key(key, source)
    for key, value in keys.items():
        if key not in after or not _same(after.value(key), value):
            after = after.with_key(key, json_source(value))
    was = {key: before.keys.get(key, now.source(key)) for key in keys}
    return after, Record(was, before.bare, before.absent) if was else Record()


def _text(state: EngineState, after: DaemonJson, before: Record, ours: bool) -> str | None:
    if after.keys or ours or state.record is None:
        return state.file if after.text.strip() == (state.file or "").strip() else after.text
    # Only what was there before us is left, and it had no key.
    return None if before.absent else before.bare if before.bare is not None else after.text


def _same(one: object, other: object) -> bool:
    # Not ==: True is 1 there.
    return json.dumps(plain(one), sort_keys=True) == json.dumps(plain(other), sort_keys=True)


def _equal(one: DaemonJson, other: DaemonJson, key: str) -> bool:
    return (key in one) == (key in other) and _same(one.value(key), other.value(key))


def _refuse_engine(host: str, state: EngineState, after: DaemonJson, firewall: str) -> None:
    version = state.version or ""
    if after.value("firewall-backend") == "nftables" and older_than(version, 29, 0):
        raise HostError(
            host,
            f"Docker {version} has no nftables firewall backend (29.0 was the first), and would not"
            " start",
            _UNCHANGED,
            "install Docker 29 or newer, or remove engine.firewall_backend: with firewall: nftables"
            " wanbound works beside a Docker that uses iptables, too",
        )
    # In the file, it applies from the next start on.
    backend = after.value("firewall-backend") or state.backend
    if (found := fault(version, str(backend), firewall)) is not None:
        what, fix = found
        raise HostError(host, what, _UNCHANGED, f"{fix}; then run again")
    if after.value("ip6tables") is True and after.value("experimental") is not True:
        if not older_than(version, 27, 0):
            return
        raise HostError(
            host,
            f"Docker {version} takes ip6tables: true only with experimental: true (27 was the"
            " first to take it alone), and would not start",
            _UNCHANGED,
            "add experimental: true to engine.settings, or remove ip6tables: wanbound's own rules"
            " need neither",
        )


def _how(
    state: EngineState, now: DaemonJson, after: DaemonJson, changed: Sequence[str], *, going: bool
) -> str:
    """Return what Docker has to do for the change, including what a killed run left undone."""
    how = "none"
    if changed:
        how = "reload" if all(_reloads(now, after, key) for key in changed) else "restart"
    if state.doing in _RANK:
        how = max(how, state.doing, key=_RANK.index)
    if not state.runs:
        # A stopped Docker is not started to remove our keys, unless a killed run stopped it.
        stopped = going and state.doing in ("", "none")
        return "none" if state.version is None or stopped else "restart"
    if how == "restart" and after.value("live-restore") is True and not state.live_restore:
        # With live-restore reloaded first, containers keep running through the restart.
        return "reload+restart"
    return how


def _reloads(now: DaemonJson, after: DaemonJson, key: str) -> bool:
    if key == "features":
        old, new = now.value(key) or {}, after.value(key) or {}
        if not isinstance(old, dict) or not isinstance(new, dict):
            return False
        differ = {name for name in {**old, **new} if old.get(name) != new.get(name)}
        return differ <= {"buildkit"}
    return key in _RELOADS and (key in after or key in _RESET or key in _DEFAULTS)


def _interim(now: DaemonJson, after: DaemonJson, changed: Sequence[str]) -> str | None:
    gone = [key for key in changed if key not in after and key in now and key in _DEFAULTS]
    interim = after
    for key in gone:
        interim = interim.with_key(key, json_source(_DEFAULTS[key]))
    return interim.text if gone else None


def _stops(state: EngineState, after: DaemonJson) -> bool:
    """Return whether containers stop when Docker restarts into `after`."""
    return after.value("live-restore") is not True and (state.running > 0 or not state.answers)


def _effect(state: EngineState, after: DaemonJson, how: str) -> str:
    """Return what a change does to what runs on the host."""
    if how == "none":
        return "none: Docker already has these settings"
    if how == "reload":
        return "Docker reloads it; no container stops"
    if not state.runs:
        return "Docker is started"
    if not state.answers:
        return "Docker restarts; it does not answer, so it is not known how many containers stop"
    if not state.running:
        return "Docker restarts; no container runs"
    count = f"{state.running} container{'s' if state.running != 1 else ''}"
    if not _stops(state, after):
        return f"Docker restarts; live-restore keeps {count} running"
    ends = ""
    if state.ends is None:
        ends = "; which of them have no restart policy and stay stopped is not known"
    elif state.ends:
        stay = "stays" if len(state.ends) == 1 else "stay"
        ends = f", but {', '.join(state.ends)} {stay} stopped: no restart policy"
    again = "stops and starts again" if state.running == 1 else "stop and start again"
    return f"Docker restarts, and with it {count} {again}{ends}"
