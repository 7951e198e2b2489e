"""docker:index/container:Container: created, connected, started, in this order."""

from __future__ import annotations

import io
import tarfile
import time

from lab.plugins.docker import container_body as body
from lab.plugins.docker.container_schema import CONTAINER
from lab.plugins.docker.engine import EngineError, Json, NotFoundError, segment
from lab.plugins.docker.storage import found_or_pulled
from lab.plugins.docker.work import DockerWork
from lab.plugins.resource import Resource
from lab.plugins.values import PluginError, Properties, flag, objects, text

_REMOVE_SECONDS = 60.0


class Container(Resource[DockerWork]):
    """A Docker container."""

    schema = CONTAINER

    def create(self, work: DockerWork, inputs: Properties) -> tuple[str, Properties]:
        """Create the container and start it; on failure remove what was created."""
        name = text(inputs, "name")
        where = f"container {name} on {work.engine.name}"
        found_or_pulled(work, text(inputs, "image"))
        try:
            made = work.engine.post("/containers/create", body.create_body(inputs), {"name": name})
        except EngineError as error:
            raise PluginError(f"unable to create {where}: {error}") from error
        identity = str(made["Id"])
        try:
            _connect(work, identity, inputs)
            _upload(work, identity, inputs)
            work.engine.post(f"/containers/{identity}/start")
        except PluginError as error:
            raise PluginError(f"{where}: {error}. {_undone(work, identity)}") from error
        found = self.read(work, identity, inputs)
        if found is None:
            raise PluginError(f"{where} was gone right after it had been started")
        return found

    def read(
        self, work: DockerWork, identity: str, prior: Properties
    ) -> tuple[str, Properties] | None:
        """Return the container as the Engine has it."""
        try:
            seen: Json = work.engine.get(f"/containers/{segment(identity)}/json")
        except NotFoundError:
            return None
        return seen["Id"], body.live(seen, prior)

    def update(
        self, work: DockerWork, identity: str, olds: Properties, news: Properties
    ) -> Properties:
        """Start a container that has stopped; pass on what the Engine can change in place."""
        name = text(news, "name")
        try:
            if flag(news, "mustRun", default=True) and not flag(olds, "mustRun", default=True):
                work.engine.post(f"/containers/{segment(identity)}/start")
            # A health check is only recorded, as by the real plugin.
            if olds.get("restart") != news.get("restart"):
                policy = {"RestartPolicy": body.restart_policy(news)}
                work.engine.post(f"/containers/{segment(identity)}/update", policy)
        except EngineError as error:
            raise PluginError(
                f"unable to update container {name} on {work.engine.name}: {error}"
            ) from error
        found = self.read(work, identity, {**olds, **news})
        if found is None:
            raise PluginError(f"container {name} on {work.engine.name} is gone; refresh the stack")
        return found[1]

    def delete(self, work: DockerWork, identity: str, state: Properties) -> None:
        """Stop the container and remove it."""
        path = f"/containers/{segment(identity)}"
        try:
            work.engine.post(f"{path}/stop", query={"t": "0"})
            _remove(work, identity)
        except NotFoundError:
            return
        except EngineError as error:
            raise PluginError(
                f"unable to remove container {text(state, 'name')} on {work.engine.name}: {error}"
            ) from error


def _connect(work: DockerWork, identity: str, inputs: Properties) -> None:
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


def _upload(work: DockerWork, identity: str, inputs: Properties) -> None:
    for upload in objects(inputs, "uploads"):
        content = text(upload, "content").encode()
        header = tarfile.TarInfo(text(upload, "file"))
        header.size = len(content)
        header.mtime = int(time.time())
        header.mode = int(text(upload, "permissions", "0644"), 8)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.addfile(header, io.BytesIO(content))
        work.engine.upload(f"/containers/{identity}/archive", packed.getvalue(), {"path": "/"})


def _remove(work: DockerWork, identity: str) -> None:
    path = f"/containers/{segment(identity)}"

    def gone() -> bool:
        try:
            work.engine.delete(path, {"v": "1", "force": "1"})
        except NotFoundError:
            return True
        except EngineError as error:
            if "is already in progress" not in str(error):
                raise
            return False
        return True

    work.wait_until("removal of the container", gone, _REMOVE_SECONDS)


def _undone(work: DockerWork, identity: str) -> str:
    try:
        _remove(work, identity)
    except PluginError as error:
        return f"It may still be there, half made (id {identity[:12]}): {error}"
    return "It has been removed again; the host is as it was"
