"""docker:index/network:Network: created and removed, never changed."""

from __future__ import annotations

from lab.plugins.docker.engine import EngineError, Json, segment
from lab.plugins.docker.simple_schemas import NETWORK
from lab.plugins.docker.work import DockerWork, label_map, label_pairs
from lab.plugins.resource import Resource
from lab.plugins.values import (
    Plain,
    PluginError,
    Properties,
    flag,
    mapping,
    objects,
    strings,
    text,
)

_REMOVE_SECONDS = 30.0
_IPAM = {
    "subnet": "Subnet",
    "ipRange": "IPRange",
    "gateway": "Gateway",
    "auxAddress": "AuxiliaryAddresses",
}


class Network(Resource[DockerWork]):
    """A Docker network."""

    schema = NETWORK

    def create(self, work: DockerWork, inputs: Properties) -> tuple[str, Properties]:
        """Create the network; raises PluginError with the Engine's reason."""
        name = text(inputs, "name")
        try:
            made = work.engine.post("/networks/create", _body(inputs))
        except EngineError as error:
            raise PluginError(
                f"unable to create network {name} on {work.engine.name}: {error}"
            ) from error
        found = self.read(work, made["Id"], inputs)
        if found is None:
            raise PluginError(f"network {name} was gone right after it had been created")
        return found

    def read(
        self, work: DockerWork, identity: str, prior: Properties
    ) -> tuple[str, Properties] | None:
        """Return the network as the Engine has it."""
        seen = _inspected(work, identity)
        if seen is None:
            return None
        ipam = seen.get("IPAM") or {}
        return seen["Id"], {
            "attachable": seen["Attachable"],
            "driver": seen["Driver"],
            "ingress": seen["Ingress"],
            "internal": seen["Internal"],
            "ipamConfigs": [_ipam_config(config) for config in ipam.get("Config") or []],
            "ipamDriver": ipam.get("Driver") or "",
            "ipamOptions": ipam.get("Options") or {},
            "ipv6": seen["EnableIPv6"],
            "labels": list[Plain](label_pairs(seen.get("Labels"))),
            "name": seen["Name"],
            "options": seen.get("Options") or {},
            "scope": seen["Scope"],
        }

    def refreshed(self, state: Properties) -> Properties:
        """The first refresh adds empty maps for inputs that were not given; they stay."""
        configs: list[Plain] = [
            {"auxAddress": {}, **config} for config in objects(state, "ipamConfigs")
        ]
        return {"ipamOptions": {}, **state, "ipamConfigs": configs}

    def delete(self, work: DockerWork, identity: str, state: Properties) -> None:
        """Remove the network, waiting for containers that are being removed."""
        name = text(state, "name")
        refusal: list[str] = []

        def gone() -> bool:
            if _inspected(work, identity) is None:
                return True
            try:
                work.engine.delete(f"/networks/{segment(identity)}")
            except EngineError as error:
                if "has active endpoints" not in str(error):
                    raise PluginError(
                        f"unable to remove network {name} on {work.engine.name}: {error}"
                    ) from error
                refusal[:] = [str(error)]
                return False
            return True

        try:
            work.wait_until(f"removal of network {name}", gone, _REMOVE_SECONDS)
        except PluginError as error:
            if refusal:
                raise PluginError(
                    f"network {name} on {work.engine.name} is still there: {refusal[0]}"
                ) from error
            raise


def _inspected(work: DockerWork, identity: str) -> Json | None:
    # None for any failure once the Engine has been reached, as in the real plugin: if the Engine
    # stops between two calls, a network seems to be removed.
    work.engine.reach()
    try:
        seen: Json = work.engine.get(f"/networks/{segment(identity)}")
    except PluginError:
        return None
    return seen


def _body(inputs: Properties) -> Json:
    ipam: Json = {"Driver": text(inputs, "ipamDriver", "default")}
    configs = objects(inputs, "ipamConfigs")
    if configs:
        ipam["Config"] = [
            {key: config[name] for name, key in _IPAM.items() if config.get(name)}
            for config in configs
        ]
    if mapping(inputs, "ipamOptions"):
        ipam["Options"] = strings(inputs, "ipamOptions")
    body: Json = {
        "Name": text(inputs, "name"),
        # Engines up to API 1.43 allow two networks of one name unless they are told to check.
        "CheckDuplicate": True,
        "IPAM": ipam,
        "Options": strings(inputs, "options"),
        "Labels": label_map(objects(inputs, "labels")),
    }
    if text(inputs, "driver"):
        body["Driver"] = text(inputs, "driver")
    named = {"internal": "Internal", "attachable": "Attachable", "ingress": "Ingress"}
    for key, name in {**named, "ipv6": "EnableIPv6"}.items():
        if flag(inputs, key):
            body[name] = True
    return body


def _ipam_config(config: Json) -> Plain:
    # The API has had two names for auxiliary addresses; either may be returned.
    aux = config.get("AuxiliaryAddresses") or config.get("AuxAddress")
    found: Properties = {
        name: config[key] for name, key in _IPAM.items() if name != "auxAddress" and config.get(key)
    }
    if aux:
        found["auxAddress"] = aux
    return found
