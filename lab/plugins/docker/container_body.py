"""A container's inputs in the form of the Engine's API, and its answer in the plugin's form."""

from __future__ import annotations

from lab.plugins import fields as f
from lab.plugins.docker.engine import Json
from lab.plugins.docker.work import label_map
from lab.plugins.values import (
    Plain,
    PluginError,
    Properties,
    flag,
    mapping,
    number,
    objects,
    text,
    texts,
)

_HEALTH = {
    "interval": "Interval",
    "timeout": "Timeout",
    "startPeriod": "StartPeriod",
    "startInterval": "StartInterval",
}


def create_body(inputs: Properties) -> Json:
    """Return the body of `POST /containers/create`; raises PluginError for contradictory inputs."""
    if "" in texts(inputs, "command"):
        raise PluginError("values for command may not be empty")
    config: Json = {"Image": text(inputs, "image")}
    host: Json = {
        # As in the plugin: a missing init is false, whatever the daemon's default.
        "Init": False,
        "NetworkMode": text(inputs, "networkMode"),
        "RestartPolicy": restart_policy(inputs),
    }
    for key, name in (("command", "Cmd"), ("envs", "Env"), ("user", "User")):
        if inputs.get(key):
            config[name] = inputs[key]
    if objects(inputs, "labels"):
        config["Labels"] = label_map(objects(inputs, "labels"))
    if check := mapping(inputs, "healthcheck"):
        config["Healthcheck"] = {
            **{key: f.nanoseconds(check.get(name, "0s")) for name, key in _HEALTH.items()},
            "Test": texts(check, "tests"),
            "Retries": number(check, "retries"),
        }
    if capabilities := mapping(inputs, "capabilities"):
        host["CapAdd"] = texts(capabilities, "adds")
        host["CapDrop"] = texts(capabilities, "drops")
    if inputs.get("dns"):
        host["Dns"] = texts(inputs, "dns")
    for port in objects(inputs, "ports"):
        key = f"{number(port, 'internal')}/{text(port, 'protocol')}"
        config.setdefault("ExposedPorts", {})[key] = {}
        binding = {"HostIp": text(port, "ip"), "HostPort": str(number(port, "external"))}
        host.setdefault("PortBindings", {}).setdefault(key, []).append(binding)
    for volume in objects(inputs, "volumes"):
        path = text(volume, "containerPath")
        config.setdefault("Volumes", {})[path] = {}
        if source := text(volume, "hostPath") or text(volume, "volumeName"):
            mode = "ro" if flag(volume, "readOnly") else "rw"
            host.setdefault("Binds", []).append(f"{source}:{path}:{mode}")
    return {**config, "HostConfig": host}


def live(seen: Json, prior: Properties) -> Properties:
    """Return the Engine's view of a container, for the inputs that the plugin reads back."""
    config: Json = seen["Config"]
    host: Json = seen["HostConfig"]
    network: Json = seen.get("NetworkSettings") or {}
    running = bool(seen["State"]["Running"])
    must_run = flag(prior, "mustRun", default=True)
    found: Properties = {
        "command": config.get("Cmd"),
        # A digest is compared with the digest, a name with the name of the container's image.
        "image": seen["Image"] if text(prior, "image").startswith("sha256:") else config["Image"],
        # A stopped container that must run shows as a change; the update starts it.
        "mustRun": must_run and running,
        "name": str(seen["Name"]).lstrip("/"),
        "networkMode": host["NetworkMode"],
        "restart": host["RestartPolicy"]["Name"] or "no",
        "user": config.get("User"),
        "bridge": network.get("Bridge") or "",
        "networkDatas": [
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
        ],
    }
    if options := (host.get("LogConfig") or {}).get("Config"):
        found["logOpts"] = options
    if limits := host.get("Ulimits"):
        found["ulimits"] = [
            {"name": each["Name"], "soft": each["Soft"], "hard": each["Hard"]} for each in limits
        ]
    if host.get("CapAdd") or host.get("CapDrop"):
        adds, drops = host.get("CapAdd") or [], host.get("CapDrop") or []
        found["capabilities"] = {"adds": adds, "drops": drops}
    if check := config.get("Healthcheck"):
        found["healthcheck"] = {
            **{name: f.duration_text(check.get(key) or 0) for name, key in _HEALTH.items()},
            "tests": check.get("Test") or [],
            "retries": check.get("Retries") or 0,
        }
    # The plugin reads them only if the program has given some.
    if prior.get("ports") and (running or must_run):
        found["ports"] = _ports(network.get("Ports") or {})
    if not running:
        found["exitCode"] = seen["State"]["ExitCode"]
    return found


def _ports(ports: Json) -> Plain:
    found: list[Plain] = []
    for key in sorted(ports, key=lambda name: int(name.split("/")[0])):
        internal, _, protocol = key.partition("/")
        found += [
            {
                "internal": int(internal),
                "external": int(binding["HostPort"]),
                "ip": binding["HostIp"],
                "protocol": protocol,
            }
            for binding in ports[key] or []
        ]
    return found


def restart_policy(inputs: Properties) -> Json:
    """Return the restart policy, for create and update."""
    return {"Name": text(inputs, "restart", "no"), "MaximumRetryCount": 0}


def endpoint(network: Properties) -> Json:
    """Return one of networksAdvanced in the form of `POST /networks/{id}/connect`."""
    ipam = {
        "IPv4Address": text(network, "ipv4Address"),
        "IPv6Address": text(network, "ipv6Address"),
    }
    return {"IPAMConfig": {key: value for key, value in ipam.items() if value}}
