"""The inputs of a container: pulumi-docker 5.2.0, which stands on terraform-provider-docker 4.6.

What replaces and what is computed comes from that provider's own schema (internal/provider/
resource_docker_container.go at v4.6.0); where a newer Engine fills something in, "computed" is
what keeps it from showing as a change for ever.
"""

from __future__ import annotations

from lab.plugins import fields as f
from lab.plugins.schema import Field, Schema
from lab.plugins.values import Plain

_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 (the plugin's own default for published ports)
_GPUS = "the lab has no GPUs and no CDI devices"
_OWNER = "the real plugin looks names up on the machine that runs pulumi, which nobody wants"
_RATE = {"path": f.text(required=True), "rate": f.number(required=True)}


def _first_address(value: Plain) -> Plain:
    """An empty address means all addresses, as the plugin has it."""
    return value or _ANY_ADDRESS


_DEVICE_REQUEST = {
    "capabilities": f.texts(),
    "count": f.number(),
    "deviceIds": f.texts(),
    "driver": f.text(default="cdi"),
    "options": f.strings(),
}

_MOUNT = {
    "bindOptions": f.object_of({"propagation": f.text(pattern="r?(private|shared|slave)")}),
    "readOnly": f.flag(),
    "source": f.text(),
    "target": f.text(required=True),
    "tmpfsOptions": f.object_of({"mode": f.number(), "sizeBytes": f.number()}),
    "type": f.text(required=True, pattern="bind|volume|tmpfs"),
    "volumeOptions": f.object_of(
        {
            "driverName": f.text(),
            "driverOptions": f.strings(),
            "labels": f.labels(),
            "noCopy": f.flag(),
            "subpath": f.text(refused="Docker 20.10 has no subpaths"),
        }
    ),
}

_NETWORK = {
    "aliases": f.texts(),
    "driverOpts": f.texts(),
    "gwPriority": f.number(refused="Docker 20.10 has no gateway priorities"),
    "ipv4Address": f.text(),
    "ipv6Address": f.text(),
    "linkLocalIps": f.texts(),
    "macAddress": f.text(),
    "name": f.text(required=True),
}

_UPLOAD = {
    "content": f.text(),
    "contentBase64": f.text(),
    "executable": f.flag(default=False),
    "file": f.text(required=True),
    "group": f.text(default="", refused=_OWNER),
    "owner": f.text(default="", refused=_OWNER),
    "permissions": f.text(pattern="0[0-7]{3}"),
    "source": f.text(),
    "sourceHash": f.text(),
}

_HEALTHCHECK = {
    "interval": f.duration(),
    "retries": f.number(default=0),
    "startInterval": f.duration(),
    "startPeriod": f.duration(),
    "tests": f.texts(ordered=True),
    "timeout": f.duration(),
}

_PORT = {
    "external": f.number(computed=True),
    "internal": f.number(required=True),
    "ip": f.text(default=_ANY_ADDRESS, meaning=_first_address),
    "protocol": f.text(default="tcp"),
}

_FIELDS: dict[str, Field] = {
    "attach": f.flag(default=False),
    "capabilities": f.object_of({"adds": f.texts(), "drops": f.texts()}, replace=True),
    "cgroupParent": f.text(replace=True),
    "cgroupnsMode": f.text(replace=True, pattern="private|host|"),
    "command": f.texts(replace=True, computed=True, ordered=True),
    "containerReadRefreshTimeoutMilliseconds": f.number(default=15000),
    "cpuPeriod": f.number(),
    "cpuQuota": f.number(),
    "cpuSet": f.text(pattern=r"\d+([,-]\d+)*|"),
    "cpuShares": f.number(),
    "cpus": f.text(replace=True, meaning=f.cpu_count),
    "destroyGraceSeconds": f.number(),
    "deviceCgroupRules": f.texts(),
    "deviceReadBps": f.objects_of(_RATE),
    "deviceReadIops": f.objects_of(_RATE),
    "deviceRequests": f.objects_of(_DEVICE_REQUEST, replace=True, refused=_GPUS),
    "deviceWriteBps": f.objects_of(_RATE),
    "deviceWriteIops": f.objects_of(_RATE),
    "devices": f.objects_of(
        {
            "containerPath": f.text(),
            "hostPath": f.text(required=True),
            "permissions": f.text(default="rwm"),
        },
        replace=True,
    ),
    "dns": f.texts(replace=True),
    "dnsOpts": f.texts(replace=True),
    "dnsSearches": f.texts(replace=True),
    "domainname": f.text(replace=True),
    "entrypoints": f.texts(replace=True, computed=True, ordered=True),
    "envs": f.texts(replace=True, computed=True),
    "gpus": f.text(replace=True, refused=_GPUS),
    "groupAdds": f.texts(replace=True),
    "healthcheck": f.object_of(_HEALTHCHECK, computed=True),
    "hostname": f.text(replace=True, computed=True),
    # No IPv6: the real plugin reads such an address back cut at its first colon, and so replaces
    # the container on every update.
    "hosts": f.objects_of(
        {"host": f.text(required=True), "ip": f.text(required=True, pattern="[^:]*")},
        replace=True,
    ),
    "image": f.text(replace=True, required=True),
    "init": f.flag(computed=True),
    "ipcMode": f.text(replace=True, computed=True),
    "labels": f.labels(replace=True, computed=True),
    "logDriver": f.text(replace=True, computed=True),
    "logOpts": f.strings(replace=True),
    "logs": f.flag(default=False),
    "maxRetryCount": f.number(),
    "memory": f.number(),
    "memoryReservation": f.number(default=0),
    "memorySwap": f.number(),
    "mounts": f.objects_of(_MOUNT, replace=True),
    "mustRun": f.flag(default=True),
    "name": f.text(replace=True),
    "networkMode": f.text(replace=True, default="bridge"),
    "networksAdvanced": f.objects_of(_NETWORK, replace=True),
    "pidMode": f.text(replace=True),
    "platform": f.text(replace=True, computed=True),
    "ports": f.objects_of(_PORT, replace=True),
    "privileged": f.flag(replace=True),
    "publishAllPorts": f.flag(replace=True),
    "readOnly": f.flag(replace=True, default=False),
    "removeVolumes": f.flag(default=True),
    "restart": f.text(default="no", pattern="no|on-failure|always|unless-stopped"),
    "rm": f.flag(default=False),
    "runtime": f.text(replace=True, computed=True),
    "securityOpts": f.texts(replace=True, computed=True),
    "shmSize": f.number(replace=True, computed=True),
    "start": f.flag(default=True),
    "stdinOpen": f.flag(replace=True, default=False),
    "stopSignal": f.text(replace=True, computed=True),
    "stopTimeout": f.number(replace=True, computed=True),
    "storageOpts": f.strings(replace=True),
    "sysctls": f.strings(replace=True),
    "tmpfs": f.strings(),
    "tty": f.flag(replace=True, default=False),
    "ulimits": f.objects_of(
        {
            "hard": f.number(required=True),
            "name": f.text(required=True),
            "soft": f.number(required=True),
        },
        replace=True,
    ),
    "uploads": f.objects_of(_UPLOAD, replace=True),
    "user": f.text(replace=True, empty_is_unchanged=True),
    "usernsMode": f.text(replace=True),
    "volumes": f.objects_of(
        {
            "containerPath": f.text(),
            "fromContainer": f.text(),
            "hostPath": f.text(pattern="/.*"),
            "readOnly": f.flag(),
            "selinuxRelabel": f.text(pattern="[zZ]"),
            "volumeName": f.text(),
        },
        replace=True,
    ),
    "wait": f.flag(default=False),
    "waitTimeout": f.number(default=60),
    "workingDir": f.text(replace=True, empty_is_unchanged=True),
}

CONTAINER = Schema(
    token="docker:index/container:Container",  # noqa: S106 (a type's token, no secret)
    fields=_FIELDS,
    outputs=("bridge", "containerLogs", "exitCode", "networkDatas"),
    autonamed=True,
    delete_before_replace=True,
)
