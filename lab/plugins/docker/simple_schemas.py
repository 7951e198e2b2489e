"""The inputs of networks, volumes and images: pulumi-docker 5.2.0.

The underlying provider, terraform-provider-docker 4.6.0, defines what replaces and what is computed
(internal/provider/resource_docker_{network,volume,image}.go).
"""

from __future__ import annotations

from lab.plugins import fields as f
from lab.plugins.schema import Schema

NETWORK = Schema(
    token="docker:index/network:Network",  # noqa: S106 (a type's token, no secret)
    fields={
        "attachable": f.flag(replace=True),
        "driver": f.text(replace=True, computed=True),
        "ingress": f.flag(replace=True),
        "internal": f.flag(replace=True, computed=True),
        "ipamConfigs": f.objects_of(
            {
                "auxAddress": f.strings(),
                "gateway": f.text(),
                "ipRange": f.text(),
                "subnet": f.text(),
            },
            replace=True,
            computed=True,
        ),
        "ipamDriver": f.text(replace=True, default="default"),
        "ipamOptions": f.strings(replace=True),
        "ipv6": f.flag(replace=True),
        "labels": f.labels(replace=True),
        "name": f.text(replace=True),
        "options": f.strings(replace=True, computed=True),
    },
    outputs=("scope",),
    autonamed=True,
)

VOLUME = Schema(
    token="docker:index/volume:Volume",  # noqa: S106
    fields={
        "name": f.text(replace=True, computed=True),
        **f.unused("cluster driver driverOpts labels"),
    },
    outputs=("mountpoint",),
    autonamed=True,
)

REMOTE_IMAGE = Schema(
    token="docker:index/remoteImage:RemoteImage",  # noqa: S106
    fields={
        "keepLocally": f.flag(),
        "name": f.text(replace=True, required=True),
        **f.unused("build forceRemove pullTriggers triggers", platform=""),
    },
    outputs=("imageId", "repoDigest"),
)
