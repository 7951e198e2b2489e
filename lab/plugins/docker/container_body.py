"""A container's inputs as the Engine's API wants them, and its answer as the plugin shows it.

One table says for most inputs where they are in `POST /containers/create` and in
`GET /containers/{id}/json`, and how they are written there; the rest has functions of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.plugins.docker import container_parts as parts
from lab.plugins.docker.engine import Json
from lab.plugins.docker.resource import label_map
from lab.plugins.values import (
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

_MIB = 1024 * 1024
_NANO = 1_000_000_000


def _same(value: Any) -> Any:  # JSON on both sides
    return value


def _mib(value: int) -> int:
    return value * _MIB if value > 0 else value


def _from_mib(value: int) -> int:
    return value // _MIB if value > 0 else value


def _from_nano(value: int) -> str:
    return f"{value / _NANO:g}" if value else ""


@dataclass(frozen=True)
class _At:
    """Where an input is in the Engine's JSON."""

    part: str
    key: str
    write: Callable[[Any], Any] = _same
    read: Callable[[Any], Any] | None = _same
    """None: not read back, because the image's own values are mixed in."""


_TABLE: dict[str, _At] = {
    "cgroupParent": _At("HostConfig", "CgroupParent", read=None),
    "cgroupnsMode": _At("HostConfig", "CgroupnsMode", read=None),
    "command": _At("Config", "Cmd"),
    "cpuPeriod": _At("HostConfig", "CpuPeriod", read=None),
    "cpuQuota": _At("HostConfig", "CpuQuota", read=None),
    "cpuSet": _At("HostConfig", "CpusetCpus"),
    "cpuShares": _At("HostConfig", "CpuShares"),
    "cpus": _At("HostConfig", "NanoCpus", lambda v: round(float(v) * _NANO), _from_nano),
    "deviceCgroupRules": _At("HostConfig", "DeviceCgroupRules"),
    "dns": _At("HostConfig", "Dns"),
    "dnsOpts": _At("HostConfig", "DnsOptions"),
    "dnsSearches": _At("HostConfig", "DnsSearch"),
    "domainname": _At("Config", "Domainname"),
    "entrypoints": _At("Config", "Entrypoint"),
    "envs": _At("Config", "Env", read=None),
    "groupAdds": _At("HostConfig", "GroupAdd"),
    "hostname": _At("Config", "Hostname"),
    "image": _At("Config", "Image", read=None),
    "ipcMode": _At("HostConfig", "IpcMode"),
    "memory": _At("HostConfig", "Memory", _mib, _from_mib),
    "memoryReservation": _At("HostConfig", "MemoryReservation", _mib, _from_mib),
    "memorySwap": _At("HostConfig", "MemorySwap", _mib, _from_mib),
    "networkMode": _At("HostConfig", "NetworkMode"),
    "pidMode": _At("HostConfig", "PidMode"),
    "privileged": _At("HostConfig", "Privileged"),
    "publishAllPorts": _At("HostConfig", "PublishAllPorts"),
    "readOnly": _At("HostConfig", "ReadonlyRootfs"),
    "rm": _At("HostConfig", "AutoRemove"),
    "runtime": _At("HostConfig", "Runtime"),
    "shmSize": _At("HostConfig", "ShmSize", _mib, _from_mib),
    "stdinOpen": _At("Config", "OpenStdin"),
    "stopSignal": _At("Config", "StopSignal"),
    "stopTimeout": _At("Config", "StopTimeout"),
    "storageOpts": _At("HostConfig", "StorageOpt"),
    "sysctls": _At("HostConfig", "Sysctls"),
    "tmpfs": _At("HostConfig", "Tmpfs"),
    "tty": _At("Config", "Tty"),
    "user": _At("Config", "User"),
    "usernsMode": _At("HostConfig", "UsernsMode"),
    "workingDir": _At("Config", "WorkingDir"),
}
RATES = {
    "deviceReadBps": "BlkioDeviceReadBps",
    "deviceReadIops": "BlkioDeviceReadIOps",
    "deviceWriteBps": "BlkioDeviceWriteBps",
    "deviceWriteIops": "BlkioDeviceWriteIOps",
}


def create_body(inputs: Properties) -> Json:
    """The body of `POST /containers/create`; raises PluginError for what contradicts itself."""
    config: Json = {}
    host: Json = {
        # As the plugin: an absent init is a false one, whatever the daemon's default is.
        "Init": flag(inputs, "init"),
        "RestartPolicy": restart_policy(inputs),
        "LogConfig": {"Type": text(inputs, "logDriver"), "Config": strings(inputs, "logOpts")},
        "Mounts": [parts.mount(mount) for mount in objects(inputs, "mounts")],
    }
    sections = {"Config": config, "HostConfig": host}
    for key, at in _TABLE.items():
        if inputs.get(key):
            sections[at.part][at.key] = at.write(inputs[key])
    if "" in texts(inputs, "command"):
        raise PluginError("values for command may not be empty")
    if objects(inputs, "labels"):
        config["Labels"] = label_map(objects(inputs, "labels"))
    if mapping(inputs, "healthcheck"):
        config["Healthcheck"] = parts.healthcheck(mapping(inputs, "healthcheck"))
    for key, name in RATES.items():
        if objects(inputs, key):
            host[name] = throttles(inputs, key)
    capabilities = mapping(inputs, "capabilities")
    if capabilities:
        host["CapAdd"] = texts(capabilities, "adds")
        host["CapDrop"] = texts(capabilities, "drops")
    host["ExtraHosts"] = [f"{text(h, 'host')}:{text(h, 'ip')}" for h in objects(inputs, "hosts")]
    host["Ulimits"] = [
        {"Name": text(u, "name"), "Soft": number(u, "soft"), "Hard": number(u, "hard")}
        for u in objects(inputs, "ulimits")
    ]
    host["Devices"] = [
        {
            "PathOnHost": text(device, "hostPath"),
            "PathInContainer": text(device, "containerPath") or text(device, "hostPath"),
            "CgroupPermissions": text(device, "permissions", "rwm"),
        }
        for device in objects(inputs, "devices")
    ]
    parts.add_security(host, texts(inputs, "securityOpts"))
    parts.add_ports(config, host, objects(inputs, "ports"))
    parts.add_volumes(config, host, objects(inputs, "volumes"))
    return {**config, "HostConfig": host}


def live(seen: Json, prior: Properties) -> Properties:
    """What the Engine says of a container, for the inputs that the plugin reads back."""
    host: Json = seen["HostConfig"]
    network: Json = seen.get("NetworkSettings") or {}
    running = bool(seen["State"]["Running"])
    sections: dict[str, Json] = {"Config": seen["Config"], "HostConfig": host}
    found: Properties = {}
    for key, at in _TABLE.items():
        if at.read is not None:
            value = sections[at.part].get(at.key)
            found[key] = None if value is None else at.read(value)
    # A digest is compared with the digest, a name with the name that the container was made from.
    by_digest = text(prior, "image").startswith("sha256:")
    found["image"] = seen["Image"] if by_digest else seen["Config"]["Image"]
    found["name"] = str(seen["Name"]).lstrip("/")
    found["restart"] = host["RestartPolicy"]["Name"] or "no"
    found["maxRetryCount"] = host["RestartPolicy"]["MaximumRetryCount"]
    found["init"] = bool(host.get("Init"))
    found["logDriver"] = host["LogConfig"]["Type"]
    found["securityOpts"] = parts.seen_security(host, prior)
    found["platform"] = seen.get("Platform") or ""
    found["mounts"] = [parts.seen_mount(mount) for mount in host.get("Mounts") or []]
    found["hosts"] = [
        {"host": name, "ip": address}
        for name, _, address in (entry.partition(":") for entry in host.get("ExtraHosts") or [])
    ]
    if host.get("CapAdd") or host.get("CapDrop"):
        adds, drops = host.get("CapAdd") or [], host.get("CapDrop") or []
        found["capabilities"] = {"adds": adds, "drops": drops}
    for key, name in RATES.items():
        rates = host.get(name) or []
        found[key] = [{"path": rate["Path"], "rate": rate["Rate"]} for rate in rates]
    if seen["Config"].get("Healthcheck"):
        found["healthcheck"] = parts.seen_healthcheck(seen["Config"]["Healthcheck"])
    # These the plugin reads only where the program has given them.
    if prior.get("logOpts"):
        found["logOpts"] = host["LogConfig"].get("Config") or {}
    if prior.get("ulimits"):
        found["ulimits"] = [
            {"name": u["Name"], "soft": u["Soft"], "hard": u["Hard"]}
            for u in host.get("Ulimits") or []
        ]
    if prior.get("devices"):
        found["devices"] = parts.seen_devices(host.get("Devices") or [], objects(prior, "devices"))
    must_run = flag(prior, "mustRun", default=True)
    if prior.get("ports") and (running or must_run):
        found["ports"] = parts.seen_ports(network.get("Ports") or {}, objects(prior, "ports"))
    # A container that has stopped though it must run shows as a change; the update starts it.
    found["mustRun"] = must_run and running
    if not running:
        found["exitCode"] = seen["State"]["ExitCode"]
    found["bridge"] = network.get("Bridge") or ""
    found["networkDatas"] = [
        {
            "gateway": end["Gateway"],
            "globalIpv6Address": end["GlobalIPv6Address"],
            "globalIpv6PrefixLength": end["GlobalIPv6PrefixLen"],
            "ipAddress": end["IPAddress"],
            "ipPrefixLength": end["IPPrefixLen"],
            "ipv6Gateway": end["IPv6Gateway"],
            "macAddress": end["MacAddress"],
            "networkName": name,
        }
        for name, end in sorted((network.get("Networks") or {}).items())
    ]
    return found


def restart_policy(inputs: Properties) -> Json:
    """The restart policy, in create and in update."""
    return {
        "Name": text(inputs, "restart", "no"),
        "MaximumRetryCount": number(inputs, "maxRetryCount"),
    }


def throttles(inputs: Properties, key: str) -> list[Json]:
    """Device rates, in create and in update."""
    return [{"Path": text(r, "path"), "Rate": number(r, "rate")} for r in objects(inputs, key)]


def endpoint(network: Properties) -> Json:
    """One of networksAdvanced as `POST /networks/{id}/connect` wants it."""
    ipam: Json = {
        "IPv4Address": text(network, "ipv4Address"),
        "IPv6Address": text(network, "ipv6Address"),
        "LinkLocalIPs": texts(network, "linkLocalIps"),
    }
    options = (option.partition("=") for option in texts(network, "driverOpts"))
    return {
        "Aliases": texts(network, "aliases"),
        "IPAMConfig": {key: value for key, value in ipam.items() if value},
        "MacAddress": text(network, "macAddress"),
        "DriverOpts": {key: value for key, sep, value in options if sep},
    }
