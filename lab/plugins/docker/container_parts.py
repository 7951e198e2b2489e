"""The nested inputs of a container, there and back: mounts, ports, devices, health, security."""

from __future__ import annotations

from lab.plugins import fields as f
from lab.plugins.docker.engine import Json
from lab.plugins.docker.resource import label_map, label_pairs
from lab.plugins.values import (
    Plain,
    PluginError,
    Properties,
    flag,
    mapping,
    number,
    objects,
    strings,
    text,
    texts,
)

_UNCONFINED = "systempaths=unconfined"
_HEALTH = {
    "interval": "Interval",
    "timeout": "Timeout",
    "startPeriod": "StartPeriod",
    "startInterval": "StartInterval",
}


def healthcheck(check: Properties) -> Json:
    """The health check as the Engine wants it."""
    body: Json = {key: f.nanoseconds(check.get(name, "0s")) for name, key in _HEALTH.items()}
    return {**body, "Test": texts(check, "tests"), "Retries": number(check, "retries")}


def seen_healthcheck(check: Json) -> Plain:
    """The Engine's health check as the plugin shows it."""
    times = {name: f.duration_text(check.get(key) or 0) for name, key in _HEALTH.items()}
    return {**times, "tests": check.get("Test") or [], "retries": check.get("Retries") or 0}


def add_security(host: Json, options: list[str]) -> None:
    """Put the security options where the Engine wants each of them."""
    sent = [option for option in options if option != _UNCONFINED]
    if sent:
        host["SecurityOpt"] = sent
    if _UNCONFINED in options:
        host["MaskedPaths"], host["ReadonlyPaths"] = [], []


def seen_security(host: Json, prior: Properties) -> Plain:
    """The security options, with the one that is none of the Engine's."""
    options: list[Plain] = list(host.get("SecurityOpt") or [])
    if _UNCONFINED in texts(prior, "securityOpts") and not host.get("MaskedPaths"):
        options.append(_UNCONFINED)
    return options


def add_ports(config: Json, host: Json, ports: list[Properties]) -> None:
    """Put the published ports into both parts of the body."""
    for port in ports:
        key = f"{number(port, 'internal')}/{text(port, 'protocol', 'tcp')}"
        config.setdefault("ExposedPorts", {})[key] = {}
        outside = number(port, "external")
        binding = {"HostIp": text(port, "ip"), "HostPort": str(outside) if outside else ""}
        host.setdefault("PortBindings", {}).setdefault(key, []).append(binding)


def seen_ports(ports: Json, given: list[Properties]) -> Plain:
    """The published ports; a number of the host that nobody asked for is left out."""
    random = {
        (number(port, "internal"), text(port, "protocol", "tcp"))
        for port in given
        if not port.get("external")
    }
    found: list[Plain] = []
    for key in sorted(ports, key=lambda name: int(name.split("/")[0])):
        internal, _, protocol = key.partition("/")
        for binding in ports[key] or []:
            port: Properties = {
                "internal": int(internal),
                "ip": binding["HostIp"],
                "protocol": protocol,
            }
            if (int(internal), protocol) not in random:
                port["external"] = int(binding["HostPort"])
            found.append(port)
    return found


def add_volumes(config: Json, host: Json, volumes: list[Properties]) -> None:
    """Put volumes, binds and borrowed volumes where the Engine wants each of them."""
    for volume in volumes:
        path, other = text(volume, "containerPath"), text(volume, "fromContainer")
        source = text(volume, "hostPath") or text(volume, "volumeName")
        if bool(path) == bool(other):
            raise PluginError("each of volumes needs either containerPath or fromContainer")
        if other:
            host.setdefault("VolumesFrom", []).append(other)
            continue
        config.setdefault("Volumes", {})[path] = {}
        if source:
            mode = "ro" if flag(volume, "readOnly") else "rw"
            relabel = text(volume, "selinuxRelabel")
            bind = f"{source}:{path}:{mode}{',' + relabel if relabel else ''}"
            host.setdefault("Binds", []).append(bind)


def seen_devices(devices: list[Json], given: list[Properties]) -> Plain:
    """The devices, with a path in the container only where the program gave one."""
    named = {text(device, "hostPath") for device in given if device.get("containerPath")}
    return [
        {
            "hostPath": device["PathOnHost"],
            "permissions": device["CgroupPermissions"],
            **(
                {"containerPath": device["PathInContainer"]}
                if device["PathOnHost"] in named
                else {}
            ),
        }
        for device in devices
    ]


def mount(mount: Properties) -> Json:
    """A mount as the Engine wants it."""
    kind = text(mount, "type")
    body: Json = {
        "Type": kind,
        "Target": text(mount, "target"),
        "Source": text(mount, "source"),
        "ReadOnly": flag(mount, "readOnly"),
    }
    bind, volume = mapping(mount, "bindOptions"), mapping(mount, "volumeOptions")
    tmpfs = mapping(mount, "tmpfsOptions")
    if kind == "bind" and bind:
        body["BindOptions"] = {"Propagation": text(bind, "propagation")}
    if kind == "volume" and volume:
        body["VolumeOptions"] = {
            "NoCopy": flag(volume, "noCopy"),
            "Labels": label_map(objects(volume, "labels")),
            "DriverConfig": {
                "Name": text(volume, "driverName"),
                "Options": strings(volume, "driverOptions"),
            },
        }
    if kind == "tmpfs" and tmpfs:
        body["TmpfsOptions"] = {
            "SizeBytes": number(tmpfs, "sizeBytes"),
            "Mode": number(tmpfs, "mode"),
        }
    return body


def seen_mount(mount: Json) -> Plain:
    """The Engine's mount as the plugin shows it."""
    found: Properties = {
        "readOnly": bool(mount.get("ReadOnly")),
        "source": mount.get("Source") or "",
        "target": mount["Target"],
        "type": mount["Type"],
    }
    bind, volume = mount.get("BindOptions"), mount.get("VolumeOptions")
    tmpfs = mount.get("TmpfsOptions")
    if bind:
        found["bindOptions"] = {"propagation": bind.get("Propagation") or ""}
    if volume:
        driver = volume.get("DriverConfig") or {}
        found["volumeOptions"] = {
            "noCopy": bool(volume.get("NoCopy")),
            "labels": list[Plain](label_pairs(volume.get("Labels"))),
            "driverName": driver.get("Name") or "",
            "driverOptions": driver.get("Options") or {},
        }
    if tmpfs:
        found["tmpfsOptions"] = {
            "sizeBytes": tmpfs.get("SizeBytes") or 0,
            "mode": tmpfs.get("Mode") or 0,
        }
    return found
