"""The inputs of a container: pulumi-docker 5.2.0, which is based on terraform-provider-docker 4.6.

That provider's own schema defines what replaces and what is computed (internal/provider/
resource_docker_container.go at v4.6.0).
"""

from __future__ import annotations

from lab.plugins import fields as f
from lab.plugins.schema import Kind, Schema
from lab.plugins.values import Plain

_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 (the plugin's own default for published ports)


def _first_address(value: Plain) -> Plain:
    """Treat an empty address as all addresses, as the plugin does."""
    return value or _ANY_ADDRESS


_NETWORK = {
    "ipv4Address": f.text(),
    "ipv6Address": f.text(),
    "name": f.text(required=True),
    **f.unused("aliases driverOpts gwPriority linkLocalIps macAddress"),
}

_UPLOAD = {
    "content": f.text(),
    "file": f.text(required=True),
    "permissions": f.text(pattern="0[0-7]{3}"),
    **f.unused("contentBase64 source sourceHash", executable=False, group="", owner=""),
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
    # Without it Docker would choose one.
    "external": f.number(required=True),
    "internal": f.number(required=True),
    "ip": f.text(default=_ANY_ADDRESS, meaning=_first_address),
    "protocol": f.text(default="tcp"),
}

_VOLUME = {
    "containerPath": f.text(required=True),
    "hostPath": f.text(pattern="/.*"),
    "readOnly": f.flag(),
    "volumeName": f.text(),
    **f.unused("fromContainer selinuxRelabel"),
}

CONTAINER = Schema(
    token="docker:index/container:Container",  # noqa: S106 (a type's token, no secret)
    fields={
        "capabilities": f.object_of({"adds": f.texts(), "drops": f.texts()}, replace=True),
        "command": f.texts(replace=True, computed=True, ordered=True),
        "dns": f.texts(replace=True),
        "envs": f.texts(replace=True, computed=True),
        "healthcheck": f.object_of(_HEALTHCHECK, computed=True),
        "image": f.text(replace=True, required=True),
        "labels": f.labels(replace=True, computed=True),
        # Also what daemon.json gives to containers (terraform-provider-docker, issues 473 and 873).
        "logOpts": f.read_back(Kind.MAP),
        "mustRun": f.flag(default=True),
        "name": f.text(replace=True),
        "networkMode": f.text(replace=True, default="bridge"),
        "networksAdvanced": f.objects_of(_NETWORK, replace=True),
        "ports": f.objects_of(_PORT, replace=True),
        "restart": f.text(default="no", pattern="no|on-failure|always|unless-stopped"),
        "uploads": f.objects_of(_UPLOAD, replace=True),
        "ulimits": f.read_back(Kind.ANY),
        "user": f.text(replace=True, empty_is_unchanged=True),
        "volumes": f.objects_of(_VOLUME, replace=True),
        **f.unused(
            "cgroupParent cgroupnsMode cpuPeriod cpuQuota cpuSet cpuShares cpus "
            "destroyGraceSeconds deviceCgroupRules deviceReadBps deviceReadIops deviceRequests "
            "deviceWriteBps deviceWriteIops devices dnsOpts dnsSearches domainname "
            "entrypoints gpus groupAdds hostname hosts init ipcMode logDriver "
            "maxRetryCount memory memorySwap mounts pidMode platform privileged publishAllPorts "
            "runtime securityOpts shmSize stopSignal stopTimeout storageOpts sysctls tmpfs "
            "usernsMode workingDir",
            # Written into the state by the plugin although no program gives it.
            attach=False,
            containerReadRefreshTimeoutMilliseconds=15000,
            logs=False,
            memoryReservation=0,
            readOnly=False,
            removeVolumes=True,
            rm=False,
            start=True,
            stdinOpen=False,
            tty=False,
            wait=False,
            waitTimeout=60,
        ),
    },
    outputs=("bridge", "exitCode", "networkDatas"),
    autonamed=True,
    delete_before_replace=True,
)
