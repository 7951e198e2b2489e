"""What has to be done about a host's Docker Engine, and what that does to its containers. Pure.

Which keys a running dockerd takes over when it is told to reload is said in its documentation
("Configuration reload behavior") and in moby's daemon/reload.go; everything else needs a restart.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from providers.daemon_json import DaemonJson, NoJsonError, json_source, plain
from providers.engine_state import EngineState, Record
from providers.errors import HostError

_UNCHANGED = "as it was; nothing has changed"

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
"""`features` is among them in the documentation: of it, dockerd looks at `buildkit` again alone."""

_RESET = frozenset(["max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts"])
"""Keys that a reload sets to their defaults where they have gone."""

_DEFAULTS: Mapping[str, object] = {
    "allow-nondistributable-artifacts": [],
    "debug": False,
    "insecure-registries": [],
    "labels": [],
    "live-restore": False,
    "registry-mirrors": [],
    "shutdown-timeout": 15,
}
"""A reload leaves these as they are where they have gone: the default has to be said once."""

_RANK = ("none", "reload", "restart", "reload+restart")


@dataclass(frozen=True)
class EngineChange:
    """What has to be done. `install` has Debian packages; with it, the rest is decided anew after.

    `text` is what daemon.json becomes, None where it goes; `same` says that it is that already.
    `interim` is what Docker reloads before `text` is put there. `first` is the record from before
    the change on, `then` the one from behind it on, None for none. `effect` tells the operator.
    """

    effect: str
    install: tuple[str, ...] = ()
    text: str | None = None
    same: bool = True
    interim: str | None = None
    how: str = "none"
    first: Record | None = None
    then: Record | None = None
    acts: bool = False


@dataclass(frozen=True)
class EngineWanted:
    """What a host's engine is to be: keys of daemon.json, and what may be done for them.

    `going` says that nothing is wanted any more but what was there before.
    """

    keys: Mapping[str, Any]
    install: bool = False
    restart: bool = True
    going: bool = False


def engine_change(host: str, state: EngineState, wanted: EngineWanted) -> EngineChange:
    """Return what has to be done on `host`. Raises HostError where it cannot or must not be."""
    if not wanted.going and (missing := _missing(host, state, wanted)):
        keys = f", then sets {', '.join(wanted.keys)}" if wanted.keys else ""
        return EngineChange(
            f"installs {', '.join(missing)} from the distribution{keys}", install=missing, acts=True
        )
    now = _document(host, state)
    before = state.record or _first_record(state, now)
    after, record = _merged(now, before, wanted.keys)
    text = _text(state, after, before, bool(record.keys))
    changed = [key for key in {**dict.fromkeys(now.keys), **dict.fromkeys(after.keys)}
               if not _equal(now, after, key)]  # fmt: skip
    if not wanted.going:
        _refuse_engine(host, state, after)
    how = _how(state, now, after, changed, going=wanted.going)
    effect = _effect(state, after, how)
    if not wanted.restart and "restart" in how and _stops(state, after):
        raise HostError(
            host,
            f"Docker would have to restart for {', '.join(changed) or 'its daemon.json'}, and"
            f" engine.restart is false\n  {effect}",
            _UNCHANGED,
            "set engine.restart to true for the moment in which that may be, or set live_restore",
        )
    same = text == state.file
    kept = Record({**before.keys, **record.keys}, before.bare, before.absent)
    recorded = (state.record or Record()) == record
    return EngineChange(
        effect=effect,
        text=text,
        same=same,
        interim=_interim(now, after, changed) if how == "reload" else None,
        how=how,
        first=kept if kept.keys else None,
        then=record if record.keys else None,
        acts=how != "none" or not same or not recorded,
    )


def _missing(host: str, state: EngineState, wanted: EngineWanted) -> tuple[str, ...]:
    """Return the packages to install. Raises HostError where none may or can be."""
    if not wanted.install:
        if state.version is None:
            raise HostError(
                host,
                "there is no Docker Engine (no dockerd)",
                _UNCHANGED,
                "set engine.install to true, and the distribution's is installed; or install the"
                " one that you want",
            )
        return ()
    if state.lacks and not state.apt:
        raise HostError(
            host,
            f"it lacks {', '.join(state.lacks)}, and there is no apt-get to install from",
            _UNCHANGED,
            "install them there yourself, and remove engine.install",
        )
    return state.lacks


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
    except NoJsonError as error:
        raise HostError(
            host,
            f"/etc/docker/daemon.json is not JSON: {error}",
            "as it was: the file is kept as it is; Docker itself would not start with it",
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
    # Nothing is left in it but what was there before us: no key.
    return None if before.absent else before.bare if before.bare is not None else after.text


def _same(one: object, other: object) -> bool:
    # Not ==: True is 1 there.
    return json.dumps(plain(one), sort_keys=True) == json.dumps(plain(other), sort_keys=True)


def _equal(one: DaemonJson, other: DaemonJson, key: str) -> bool:
    return (key in one) == (key in other) and _same(one.value(key), other.value(key))


def _refuse_engine(host: str, state: EngineState, after: DaemonJson) -> None:
    if state.older_than(20, 10):
        raise HostError(
            host,
            f"its Docker Engine is {state.version}, and 20.10 is the oldest that wanbound works"
            " with",
            _UNCHANGED,
            "install Docker 20.10 or newer there (Debian 12 has 20.10, 13 has 26.1), run again",
        )
    # Said in the file, it holds from the next start on.
    backend = after.value("firewall-backend") or state.backend
    if str(backend).startswith("nftables"):
        raise HostError(
            host,
            f"its Docker Engine {state.version} uses the nftables firewall backend, which has no"
            " chain into which wanbound's rules can go",
            _UNCHANGED,
            "set engine.settings to {firewall-backend: iptables}",
        )
    if after.value("ip6tables") is True and after.value("experimental") is not True:
        if not state.older_than(27, 0):
            return
        raise HostError(
            host,
            f"Docker {state.version} takes ip6tables: true only with experimental: true (27 was the"
            " first to take it alone), and would not start",
            _UNCHANGED,
            "add experimental: true to engine.settings, or remove ip6tables: wanbound's own rules"
            " need neither",
        )


def _how(
    state: EngineState, now: DaemonJson, after: DaemonJson, changed: Sequence[str], *, going: bool
) -> str:
    """Return what the change demands of Docker; what a killed run still had to do included."""
    how = "none"
    if changed:
        how = "reload" if all(_reloads(now, after, key) for key in changed) else "restart"
    if state.doing in _RANK:
        how = max(how, state.doing, key=_RANK.index)
    if not state.runs:
        # One that was stopped is not started to take ours back, unless by a run that was killed.
        return "none" if state.version is None or (going and not state.doing) else "restart"
    if how == "restart" and after.value("live-restore") is True and not state.live_restore:
        # Told first, it leaves the containers alone when it then restarts.
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
        return "none: Docker has it so already"
    if how == "reload":
        return "Docker reloads it; no container stops"
    if not state.runs:
        return "Docker is started"
    if not state.answers:
        return "Docker restarts; it does not answer, so nobody knows how many containers stop"
    if not state.running:
        return "Docker restarts; no container runs"
    count = f"{state.running} container{'s' if state.running != 1 else ''}"
    if not _stops(state, after):
        return f"Docker restarts; live-restore keeps {count} running"
    ends = ""
    if state.ends:
        stay = "stays" if len(state.ends) == 1 else "stay"
        ends = f", but {', '.join(state.ends)} {stay} stopped: no restart policy"
    again = "stops and starts again" if state.running == 1 else "stop and start again"
    return f"Docker restarts, and with it {count} {again}{ends}"
