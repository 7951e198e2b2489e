"""A Docker Engine in memory, behind the docker stand-in's only interface to it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from lab.plugins.docker.engine import EngineError, Json, NotFoundError
from lab.plugins.values import PluginError

IMAGE_ID = "sha256:" + "1" * 64


class FakeEngine:
    """Networks, containers, volumes and images; refuses unknown calls, and fails on demand."""

    def __init__(self) -> None:
        self.name = "ssh://fake"
        self.networks: dict[str, Json] = {}
        self.containers: dict[str, Json] = {}
        self.volumes: dict[str, Json] = {}
        self.images: dict[str, Json] = {}
        self.registry = {"web:1"}
        self.calls: list[str] = []
        self.reached = False
        self.broken = False
        self.refuse: dict[str, str] = {}
        """Parts of a call ("POST /containers/x/start") and the Engine's reason to refuse it."""

    def reach(self) -> None:
        """Fail like a first connection."""
        if not self.reached:
            self._called("GET", "/version")

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:  # JSON
        """Inspect something."""
        self._called("GET", path)
        kind, name = path.split("/")[1], path.split("/", 2)[2].removesuffix("/json")
        return copy.deepcopy(self._found(kind, name))

    def post(
        self, path: str, body: Json | None = None, query: Mapping[str, str] | None = None
    ) -> Any:  # JSON
        """Create or change something."""
        self._called("POST", path)
        parts = path.split("/")[1:]
        match [parts[0], parts[-1]]:
            case ["networks", "create"]:
                return self._create_network(body or {})
            case ["volumes", "create"]:
                return self._create_volume(body or {})
            case ["containers", "create"]:
                return self._create_container(body or {}, (query or {})["name"])
            case ["containers", "start"] | ["containers", "stop"]:
                self._found("containers", parts[1])["State"]["Running"] = parts[-1] == "start"
            case ["containers", "update"]:
                self._found("containers", parts[1])["HostConfig"].update(body or {})
            case ["networks", "connect"]:
                self._connect(parts[1], body or {})
            case ["networks", "disconnect"]:
                raise EngineError("container is not connected to the network bridge")
            case _:
                raise AssertionError(f"the fake knows no POST {path}")
        return None

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> None:
        """Remove something."""
        self._called("DELETE", path)
        kind, name = path.split("/")[1], path.split("/", 2)[2]
        self._found(kind, name)
        del getattr(self, kind)[self._id(kind, name)]

    def upload(self, path: str, archive: bytes, query: Mapping[str, str]) -> None:
        """Take any archive."""
        self._called("PUT", path)

    def pull(self, image: str) -> None:
        """Pull from the registry."""
        self._called("PULL", image)
        if image not in self.registry:
            raise EngineError(f"unable to pull image {image}: no such manifest")
        self.images[image] = {"Id": IMAGE_ID, "RepoDigests": ["web@sha256:" + "2" * 64]}

    def _called(self, method: str, path: str) -> None:
        call = f"{method} {path}"
        self.calls.append(call)
        if self.broken:
            raise PluginError("docker provider: cannot reach the Docker Engine at ssh://fake")
        self.reached = True
        for part, reason in self.refuse.items():
            if part in call:
                raise EngineError(reason)

    def _id(self, kind: str, name: str) -> str:
        things: dict[str, Json] = getattr(self, kind)
        for identity, thing in things.items():
            if name in (identity, thing.get("Id"), str(thing.get("Name")).lstrip("/")):
                return identity
        raise NotFoundError(f"No such {kind.removesuffix('s')}: {name}")

    def _found(self, kind: str, name: str) -> Json:
        found: Json = getattr(self, kind)[self._id(kind, name)]
        return found

    def _create_network(self, body: Json) -> Json:
        identity = f"net{len(self.networks)}"
        self.networks[identity] = {
            "Id": identity,
            "Attachable": False,
            "Driver": "bridge",
            "EnableIPv6": False,
            "Ingress": False,
            "Internal": False,
            "Scope": "local",
            **body,
        }
        return {"Id": identity}

    def _create_volume(self, body: Json) -> Json:
        volume = {"Driver": "local", "Mountpoint": f"/volumes/{body['Name']}", **body}
        self.volumes[body["Name"]] = volume
        return volume

    def _create_container(self, body: Json, name: str) -> Json:
        identity = f"{len(self.containers):064d}"
        host = body.pop("HostConfig")
        config = {"Hostname": identity[:12], "Cmd": ["run"], "Entrypoint": ["/entry"], **body}
        self.containers[identity] = {
            "Id": identity,
            "Name": f"/{name}",
            "Image": IMAGE_ID,
            "Config": config,
            "HostConfig": host,
            "State": {"Running": False, "ExitCode": 0},
            "NetworkSettings": {"Bridge": "", "Ports": {}, "Networks": {}},
        }
        return {"Id": identity}

    def _connect(self, network: str, body: Json) -> None:
        container = self._found("containers", body["Container"])
        # Whether asked by id or by name, the Engine records the name
        # (daemon/container_operations.go).
        network = next((n["Name"] for i, n in self.networks.items() if i == network), network)
        addresses = body["EndpointConfig"]["IPAMConfig"]
        container["NetworkSettings"]["Networks"][network] = {
            "Gateway": "172.20.0.1",
            "GlobalIPv6Address": addresses.get("IPv6Address", ""),
            "GlobalIPv6PrefixLen": 64,
            "IPAddress": addresses.get("IPv4Address", ""),
            "IPPrefixLen": 24,
            "IPv6Gateway": "fd00::1",
            "MacAddress": "02:42:ac:14:00:0a",
        }
