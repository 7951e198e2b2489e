"""docker:index/container:Container: created, connected, started, in this order."""

from __future__ import annotations

import base64
import binascii
import io
import tarfile
import time
from pathlib import Path

from lab.plugins.docker import container_body as body
from lab.plugins.docker.container_schema import CONTAINER
from lab.plugins.docker.engine import EngineError, Json, NotFoundError, segment
from lab.plugins.docker.resource import Resource, Work
from lab.plugins.docker.storage import found_or_pulled
from lab.plugins.schema import same
from lab.plugins.values import (
    PluginError,
    Properties,
    flag,
    number,
    objects,
    text,
)

_REMOVE_SECONDS = 60.0
_ATTACH_SECONDS = 3600.0
# The inputs that `POST /containers/{id}/update` takes; the others that update in place are only
# written down, as by the real plugin.
_REACHES_THE_CONTAINER = (
    "restart",
    "maxRetryCount",
    "cpuShares",
    "memory",
    "memoryReservation",
    "cpuSet",
    "memorySwap",
    *body.RATES,
)


class Container(Resource):
    """A Docker container."""

    schema = CONTAINER

    def create(self, work: Work, inputs: Properties) -> tuple[str, Properties]:
        """Create the container and start it; on failure remove what has been made of it."""
        name = text(inputs, "name")
        where = f"container {name} on {work.engine.name}"
        found_or_pulled(work, text(inputs, "image"))
        try:
            made = work.engine.post(
                "/containers/create", body.create_body(inputs), _create_query(inputs)
            )
        except EngineError as error:
            raise PluginError(f"unable to create {where}: {error}") from error
        identity = str(made["Id"])
        try:
            _connect(work, identity, inputs)
            _upload(work, identity, inputs)
            if flag(inputs, "start", default=True):
                work.engine.post(f"/containers/{identity}/start")
                if flag(inputs, "wait"):
                    _wait_healthy(work, identity, number(inputs, "waitTimeout", 60))
            outputs = _attached(work, identity, inputs)
        except PluginError as error:
            raise PluginError(f"{where}: {error}. {_undone(work, identity)}") from error
        found = self.read(work, identity, inputs)
        if found is None:
            raise PluginError(f"{where} was gone right after it had been started")
        return identity, {**found[1], **outputs}

    def read(self, work: Work, identity: str, prior: Properties) -> tuple[str, Properties] | None:
        """The container as the Engine has it."""
        try:
            seen: Json = work.engine.get(f"/containers/{segment(identity)}/json")
        except NotFoundError:
            return None
        return seen["Id"], body.live(seen, prior)

    def update(self, work: Work, identity: str, olds: Properties, news: Properties) -> Properties:
        """Start a container that has stopped; hand over what the Engine can change in place."""
        name = text(news, "name")
        try:
            started = flag(news, "start", default=True) and flag(news, "mustRun", default=True)
            if started and not flag(olds, "mustRun", default=True):
                work.engine.post(f"/containers/{segment(identity)}/start")
            fields = self.schema.fields
            if any(
                not same(fields[key], olds.get(key), news.get(key))
                for key in _REACHES_THE_CONTAINER
            ):
                work.engine.post(f"/containers/{segment(identity)}/update", _resources(news))
        except EngineError as error:
            raise PluginError(
                f"unable to update container {name} on {work.engine.name}: {error}"
            ) from error
        found = self.read(work, identity, {**olds, **news})
        if found is None:
            raise PluginError(f"container {name} on {work.engine.name} is gone; refresh the stack")
        return found[1]

    def delete(self, work: Work, identity: str, state: Properties) -> None:
        """Stop the container and remove it."""
        path = f"/containers/{segment(identity)}"
        try:
            if not flag(state, "attach"):
                grace = max(number(state, "destroyGraceSeconds"), 0)
                work.engine.post(f"{path}/stop", query={"t": str(grace)})
            _remove(work, identity, volumes=flag(state, "removeVolumes", default=True))
        except NotFoundError:
            return
        except EngineError as error:
            raise PluginError(
                f"unable to remove container {text(state, 'name')} on {work.engine.name}: {error}"
            ) from error


def _create_query(inputs: Properties) -> dict[str, str]:
    query = {"name": text(inputs, "name")}
    if text(inputs, "platform"):
        query["platform"] = text(inputs, "platform")
    return query


def _connect(work: Work, identity: str, inputs: Properties) -> None:
    networks = objects(inputs, "networksAdvanced")
    if not networks:
        return
    try:
        work.engine.post("/networks/bridge/disconnect", {"Container": identity})
    except EngineError as error:
        if "is not connected to" not in str(error):
            raise
    for network in networks:
        name = text(network, "name")
        try:
            work.engine.post(
                f"/networks/{segment(name)}/connect",
                {"Container": identity, "EndpointConfig": body.endpoint(network)},
            )
        except EngineError as error:
            raise PluginError(f"unable to connect it to network {name}: {error}") from error


def _upload(work: Work, identity: str, inputs: Properties) -> None:
    for upload in objects(inputs, "uploads"):
        target, content = text(upload, "file"), _content(upload)
        header = tarfile.TarInfo(target)
        header.size = len(content)
        header.mtime = int(time.time())
        mode = "0744" if flag(upload, "executable") else "0644"
        header.mode = int(text(upload, "permissions") or mode, 8)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.addfile(header, io.BytesIO(content))
        work.engine.upload(f"/containers/{identity}/archive", packed.getvalue(), {"path": "/"})


def _content(upload: Properties) -> bytes:
    given = [key for key in ("content", "contentBase64", "source") if text(upload, key)]
    if len(given) != 1:
        raise PluginError("an upload needs exactly one of content, contentBase64 and source")
    value = text(upload, given[0])
    try:
        match given[0]:
            case "content":
                return value.encode()
            case "contentBase64":
                return base64.b64decode(value, validate=True)
            case _:
                return Path(value).read_bytes()
    except (OSError, binascii.Error) as error:
        raise PluginError(f"upload {text(upload, 'file')}: {error}") from error


def _wait_healthy(work: Work, identity: str, seconds: int) -> None:
    def healthy() -> bool:
        state: Json = work.engine.get(f"/containers/{identity}/json")["State"]
        if not state.get("Health"):
            raise PluginError(
                "`wait` is given, but the container has no health check; remove `wait` or add a "
                "`healthcheck`"
            )
        return bool(state["Health"]["Status"] == "healthy")

    work.wait_until("a healthy state", healthy, seconds)


def _attached(work: Work, identity: str, inputs: Properties) -> Properties:
    if not flag(inputs, "attach"):
        return {}

    def ended() -> bool:
        return not work.engine.get(f"/containers/{identity}/json")["State"]["Running"]

    work.wait_until("the end of the container", ended, _ATTACH_SECONDS)
    return {"containerLogs": work.engine.logs(identity)} if flag(inputs, "logs") else {}


def _remove(work: Work, identity: str, *, volumes: bool) -> None:
    path = f"/containers/{segment(identity)}"

    def gone() -> bool:
        try:
            work.engine.delete(path, {"v": "1" if volumes else "0", "force": "1"})
        except NotFoundError:
            return True
        except EngineError as error:
            if "is already in progress" not in str(error):
                raise
            return False
        return True

    work.wait_until("removal of the container", gone, _REMOVE_SECONDS)


def _undone(work: Work, identity: str) -> str:
    try:
        _remove(work, identity, volumes=True)
    except PluginError as error:
        return f"It may still be there, half made (id {identity[:12]}): {error}"
    return "It has been removed again; the host is as it was"


def _resources(news: Properties) -> Json:
    settings = body.create_body(news)["HostConfig"]
    wanted: Json = {
        "RestartPolicy": body.restart_policy(news),
        "CpuShares": settings.get("CpuShares", 0),
        "Memory": settings.get("Memory", 0),
        "MemoryReservation": settings.get("MemoryReservation", 0),
        "CpusetCpus": settings.get("CpusetCpus", ""),
    }
    for name in (*body.RATES.values(), "MemorySwap"):
        if settings.get(name):
            wanted[name] = settings[name]
    return wanted
