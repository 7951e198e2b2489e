"""DockerEngine: the Docker Engine of a host and the keys of its daemon.json, as one resource."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from providers.engine.daemon_json import DaemonJson, DaemonJsonError, plain
from providers.engine.plan import EngineChange, EngineStep, EngineWanted, engine_change, lacks
from providers.engine.state import EngineParseError, EngineState, digest, engine_state
from providers.errors import ChangedMeanwhileError, HostError, UnreachableError
from providers.ssh.remote import remote_at
from providers.ssh.target import target_of

_PROPERTIES = ("host", "docker_host", "daemon", "install", "restart", "firewall", "forwarding")

_ATTEMPTS = 5
"""Two for installations, one for the decision after them, two for changes by others meanwhile."""


class DockerEngineProvider(ResourceProvider):
    """Sets, reads and restores keys of daemon.json. Stateless: it is pickled by reference."""

    # Secret properties are marked one by one, so `__provider` need not be secret as a whole.
    serialize_as_secret_always = False

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Add what the change does to the host's containers. Nothing else in a preview asks a host.

        Only where something changes; otherwise the property stays as it was. An impossible change
        is refused here, and so in the preview. A host that cannot be reached is no error yet.
        """
        if _olds and all(plain(_olds.get(name)) == plain(news.get(name)) for name in _PROPERTIES):
            return CheckResult({**news, "effect": _olds.get("effect", "")}, [])
        try:
            effect = _decide(news, _state(news), _wanted(news)).effect
        except UnreachableError as error:
            effect = f"not known before the host answers: {error.what.splitlines()[0]}"
        except HostError as error:
            return CheckResult(news, [CheckFailure("", str(error))])
        return CheckResult({**news, "effect": effect}, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compare two sets of properties; contacts nothing. Another host is another resource."""
        changed = any(plain(_olds.get(name)) != plain(_news.get(name)) for name in _PROPERTIES)
        other = _olds.get("host", {}).get("name") != _news.get("host", {}).get("name")
        # None and not True, as in HostNetworking: a preview shows only the keys that change.
        return DiffResult(
            changes=None if changed else False,
            replaces=["host"] if other else [],
            delete_before_replace=True,
        )

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Bring Docker to the properties; what is there already is adopted. Raises HostError."""
        _bring(props, _wanted(props))
        return CreateResult(f"{props['host']['name']}/docker", _outputs(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Bring Docker to the new properties. Raises HostError."""
        _bring(_news, _wanted(_news))
        return UpdateResult(_outputs(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return our keys as they are in daemon.json, so that a refresh shows drift by key.

        A host without Docker has no such resource: that is what a new one in its place says.
        Raises HostError where the host cannot be read.
        """
        state = _state(props)
        if state.version is None:
            return ReadResult("", {})
        try:
            file = DaemonJson(state.file or "")
        except DaemonJsonError as error:
            raise HostError(
                props["host"]["name"],
                f"/etc/docker/daemon.json {error}",
                "unchanged; it was only read",
                "correct that line of the file, run again",
            ) from error
        applied = props.get("applied", "[]")
        # A refresh may have found fewer of them since.
        ours = {*(props.get("daemon") or {}), *json.loads(applied)}
        daemon = {key: plain(file.value(key)) for key in sorted(ours) if key in file}
        inputs = {**_inputs(props), "daemon": daemon}
        # Keep what was applied: else the next refresh would look for what this one found.
        return ReadResult(id_, {**inputs, "applied": applied}, inputs)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Restore the old daemon.json and nothing else: Docker stays. Raises HostError."""
        restart = bool(_props.get("restart", True))
        _bring(_props, EngineWanted({}, restart=restart, going=True))


def _wanted(props: Mapping[str, Any]) -> EngineWanted:
    return EngineWanted(
        keys=plain(props.get("daemon") or {}),
        install=bool(props.get("install")),
        restart=bool(props.get("restart", True)),
        firewall=props.get("firewall", "iptables"),
    )


def _bring(props: Mapping[str, Any], wanted: EngineWanted) -> None:
    """Bring the host to what is wanted. Raises HostError."""
    for left in reversed(range(_ATTEMPTS)):
        state = _state(props)
        change = _decide(props, state, wanted)
        if change.install:
            _engine(props, "install", {}, *change.install)
            continue
        try:
            _put(props, state.file, change.steps)
        except ChangedMeanwhileError:
            if not left:
                raise
            continue
        return
    raise HostError(
        props["host"]["name"],
        f"it still lacks {', '.join(lacks(_state(props), wanted))} after they were installed",
        "daemon.json is as it was",
        "see `apt-get install` of these there, run again",
    )


def _put(props: Mapping[str, Any], found: str | None, steps: Sequence[EngineStep]) -> None:
    """Take the steps, from the text of daemon.json that was found. Raises HostError."""
    for step in steps:
        files = {}
        if step.text is not None:
            # A text may end without a line break; what travels to the host does not.
            encoded = base64.encodebytes(step.text.encode()).decode()
            files["daemon.json.base64"] = encoded or "\n"
        if step.record is not None:
            files["was"] = step.record.text()
        if forwarding := props.get("forwarding"):
            files["forwarding"] = "".join(f"{each.replace(' = ', ' ')}\n" for each in forwarding)
        _engine(props, "put", files, digest(found), step.how)
        found = step.text


def _decide(props: Mapping[str, Any], state: EngineState, wanted: EngineWanted) -> EngineChange:
    return engine_change(props["host"]["name"], state, wanted)


def _state(props: Mapping[str, Any]) -> EngineState:
    try:
        return engine_state(_engine(props, "state", {}))
    except EngineParseError as error:
        raise HostError(
            props["host"]["name"],
            f"its answer about Docker cannot be read: {error}",
            "unchanged; it was only read",
            "run `sh -s` on the host and see what its shell prints by itself",
        ) from error


def _engine(props: Mapping[str, Any], act: str, files: Mapping[str, str], *words: str) -> str:
    """Run a command of providers/engine/engine.sh on the host. Raises HostError."""
    return remote_at(target_of(props["host"])).engine(act, files, *words)


def _inputs(props: Mapping[str, Any]) -> dict[str, Any]:
    return {name: props[name] for name in (*_PROPERTIES, "effect") if name in props}


def _outputs(props: Mapping[str, Any]) -> dict[str, Any]:
    return {**_inputs(props), "applied": json.dumps(sorted(props.get("daemon") or {}))}


class DockerEngine(Resource, module="wanbound", name="DockerEngine"):
    """The Docker Engine of a host, with the keys of its daemon.json that are declared."""

    docker_host: pulumi.Output[str]
    """Where Docker's provider finds the engine: known before it is there, used after."""

    def __init__(
        self,
        name: str,
        *,
        host: Mapping[str, Any],
        docker_host: str,
        daemon: Mapping[str, Any],
        install: bool,
        restart: bool,
        firewall: str = "iptables",
        forwarding: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the keys `daemon` of /etc/docker/daemon.json, each a property of its own.

        `host` says where it is (`providers.ssh.target.target_of`). With `install` a Docker that is
        missing is installed; without `restart` what would stop containers is refused. `firewall` is
        what wanbound loads its rules with, `forwarding` kernel parameters (`KEY = VALUE`) that are
        set before Docker starts.
        """
        props: dict[str, Any] = {
            "host": dict(host),
            "docker_host": docker_host,
            "daemon": dict(daemon),
            "install": install,
            "restart": restart,
            "effect": None,
        }
        if firewall != "iptables":
            props["firewall"] = firewall
        if forwarding:
            props["forwarding"] = list(forwarding)
        super().__init__(DockerEngineProvider(), name, props, opts)
