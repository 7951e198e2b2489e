"""docker:index/volume:Volume and docker:index/remoteImage:RemoteImage."""

from __future__ import annotations

from lab.plugins.docker.engine import EngineError, Json, NotFoundError, segment
from lab.plugins.docker.simple_schemas import REMOTE_IMAGE, VOLUME
from lab.plugins.docker.work import DockerWork
from lab.plugins.resource import Resource
from lab.plugins.values import PluginError, Properties, flag, text

_REMOVE_SECONDS = 30.0


class Volume(Resource[DockerWork]):
    """A named volume."""

    schema = VOLUME

    def create(self, work: DockerWork, inputs: Properties) -> tuple[str, Properties]:
        """Create the volume; an existing one of this name is used unchanged."""
        name = text(inputs, "name")
        try:
            made = work.engine.post("/volumes/create", {"Name": name})
        except EngineError as error:
            raise PluginError(
                f"unable to create volume {name} on {work.engine.name}: {error}"
            ) from error
        found = self.read(work, made["Name"], inputs)
        if found is None:
            raise PluginError(f"volume {name} was gone right after it had been created")
        return found

    def read(
        self, work: DockerWork, identity: str, prior: Properties
    ) -> tuple[str, Properties] | None:
        """Return the volume as the Engine has it."""
        try:
            seen: Json = work.engine.get(f"/volumes/{segment(identity)}")
        except NotFoundError:
            return None
        return seen["Name"], {
            "name": seen["Name"],
            "mountpoint": seen["Mountpoint"],
        }

    def delete(self, work: DockerWork, identity: str, state: Properties) -> None:
        """Remove the volume, waiting for containers that are being removed."""

        def gone() -> bool:
            try:
                work.engine.delete(f"/volumes/{segment(identity)}", {"force": "1"})
            except NotFoundError:
                return True
            except EngineError as error:
                if "volume is in use" in str(error):
                    return False
                raise PluginError(
                    f"unable to remove volume {identity} on {work.engine.name}: {error}"
                ) from error
            return True

        work.wait_until(f"removal of volume {identity}", gone, _REMOVE_SECONDS)


class RemoteImage(Resource[DockerWork]):
    """An image that must be on the host, pulled if it is missing."""

    schema = REMOTE_IMAGE

    def create(self, work: DockerWork, inputs: Properties) -> tuple[str, Properties]:
        """Pull the image unless the host has it."""
        name = text(inputs, "name")
        found_or_pulled(work, name)
        found = self.read(work, "", inputs)
        if found is None:
            raise PluginError(f"image {name} was gone right after it had been pulled")
        return found

    def read(
        self, work: DockerWork, identity: str, prior: Properties
    ) -> tuple[str, Properties] | None:
        """Return the image of this name; its id changes when the name refers to another image."""
        name = text(prior, "name")
        seen = _image(work, name)
        if seen is None:
            return None
        live: Properties = {"imageId": seen["Id"], "repoDigest": _digest(name, seen)}
        # The plugin's id: the image's id followed by its name.
        return f"{seen['Id']}{name}", live

    def update(
        self, work: DockerWork, identity: str, olds: Properties, news: Properties
    ) -> Properties:
        """Update only whether to keep it; pull the image if it is missing."""
        return self.create(work, news)[1]

    def delete(self, work: DockerWork, identity: str, state: Properties) -> None:
        """Remove the image unless it is to be kept."""
        name = text(state, "name")
        if flag(state, "keepLocally"):
            return
        try:
            work.engine.delete(f"/images/{segment(name)}")
        except NotFoundError:
            return
        except EngineError as error:
            raise PluginError(
                f"unable to remove image {name} on {work.engine.name}: {error}"
            ) from error


def found_or_pulled(work: DockerWork, name: str) -> None:
    """Pull the image unless the host has it; raises PluginError with the registry's reason."""
    if _image(work, name) is None:
        work.say(f"pulling {name}")
        try:
            work.engine.pull(name)
        except EngineError as error:
            raise PluginError(f"{error} (on {work.engine.name})") from error


def _image(work: DockerWork, name: str) -> Json | None:
    try:
        seen: Json = work.engine.get(f"/images/{segment(name)}/json")
    except NotFoundError:
        return None
    return seen


def _digest(name: str, seen: Json) -> str:
    digests: list[str] = seen.get("RepoDigests") or []
    repository = name.split(":", 1)[0]
    matching = [digest for digest in digests if digest.startswith(repository)]
    return (matching or digests or [""])[0]
