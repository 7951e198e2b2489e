"""The containers of one network."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_docker as docker

from planner.config import SecretRef, Volume
from planner.docker import ContainerPlan, HealthCheck, Upload
from planner.takeover import LABEL

Secrets = Mapping[str, pulumi.Output[str]]

GIVEN = ["logOpts", "ulimits"]
"""What Docker gives a container by daemon.json. The provider reads it back, and would replace the
container because the program has none."""


def container(
    name: str,
    plan: ContainerPlan,
    networks: Sequence[docker.ContainerNetworksAdvancedArgs],
    owner: str,
    secrets: Secrets,
    opts: pulumi.ResourceOptions,
) -> docker.Container:
    """Return the container that `plan` describes; it joins only `networks`.

    `owner` is its label `wanbound`: the host may take a network away only from such containers.
    """
    return docker.Container(
        name,
        name=plan.name,
        image=plan.image,
        command=list(plan.command) or None,
        user=plan.user,
        labels=[
            docker.ContainerLabelArgs(label=label, value=value)
            for label, value in sorted({**plan.labels, LABEL: owner}.items())
        ],
        envs=[_env(key, value, secrets) for key, value in sorted(plan.environment.items())],
        volumes=[_volume(volume) for volume in plan.volumes],
        uploads=[_upload(upload, secrets) for upload in plan.uploads] or None,
        healthcheck=None if plan.health is None else _health(plan.health),
        capabilities=None if plan.capabilities is None else _capabilities(plan.capabilities),
        # The provider's default. The provider disconnects the container from this network before
        # the start. With the network's own name, Docker would consider the container connected
        # and ignore the fixed addresses below.
        network_mode="bridge",
        networks_advanced=list(networks),
        ports=[
            docker.ContainerPortArgs(
                internal=port.number, external=port.number, ip=port.address, protocol=port.protocol
            )
            for port in plan.ports
        ]
        or None,
        dns=list(plan.dns) or None,
        restart=plan.restart,
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                ignore_changes=GIVEN,
                # Delete first: two containers cannot have the same name or the same address.
                delete_before_replace=True,
            ),
        ),
    )


def attached(
    network: docker.Network, ipv4: str | None, ipv6: str | None = None
) -> docker.ContainerNetworksAdvancedArgs:
    """Return a container's connection to a network, with its fixed addresses."""
    return docker.ContainerNetworksAdvancedArgs(
        # The id and not the name: a recreated network has the same name, but the container is
        # not connected to it. A new id recreates the container, too. Docker accepts both in the
        # provider's request (POST /networks/{id or name}/connect), and it is never read back.
        name=network.id,
        ipv4_address=ipv4,
        ipv6_address=ipv6,
    )


def _env(key: str, value: str | SecretRef, secrets: Secrets) -> pulumi.Input[str]:
    if isinstance(value, SecretRef):
        return pulumi.Output.concat(key, "=", secrets[value.secret])
    return f"{key}={value}"


def _upload(upload: Upload, secrets: Secrets) -> docker.ContainerUploadArgs:
    """Return a file; a secret in it makes its content one, in the preview and in the state."""
    private = any(isinstance(part, SecretRef) for part in upload.content)
    parts = [
        secrets[part.secret] if isinstance(part, SecretRef) else part for part in upload.content
    ]
    return docker.ContainerUploadArgs(
        file=upload.path,
        content=pulumi.Output.concat(*parts),
        permissions="0400" if private else "0444",
    )


def _health(check: HealthCheck) -> docker.ContainerHealthcheckArgs:
    return docker.ContainerHealthcheckArgs(
        tests=list(check.test),
        interval=check.interval,
        timeout=check.timeout,
        retries=check.retries,
        start_period=check.start_period,
    )


def _capabilities(kept: Sequence[str]) -> docker.ContainerCapabilitiesArgs:
    return docker.ContainerCapabilitiesArgs(adds=list(kept) or None, drops=["ALL"])


def _volume(volume: Volume) -> docker.ContainerVolumeArgs:
    return docker.ContainerVolumeArgs(
        container_path=volume.target,
        host_path=volume.source if volume.is_path else None,
        volume_name=None if volume.is_path else volume.source,
        read_only=volume.read_only,
    )
