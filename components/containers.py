"""The containers of one network."""

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from planner.config import SecretRef, Volume
from planner.plan import ContainerPlan
from planner.takeover import LABEL

Secrets = Mapping[str, pulumi.Output[str]]


def container(
    name: str,
    plan: ContainerPlan,
    network: docker.Network,
    owner: str,
    secrets: Secrets,
    opts: pulumi.ResourceOptions,
) -> docker.Container:
    """Return the container that `plan` describes, in `network` alone and at its fixed addresses.

    `owner` is its label `wanbound`: by it the host knows whom a network may be taken from.
    """
    return docker.Container(
        name,
        name=plan.name,
        image=plan.image,
        command=list(plan.command) or None,
        labels=[
            docker.ContainerLabelArgs(label=label, value=value)
            for label, value in sorted({**plan.labels, LABEL: owner}.items())
        ],
        envs=[_env(key, value, secrets) for key, value in sorted(plan.environment.items())],
        volumes=[_volume(volume) for volume in plan.volumes],
        # What the provider would write here anyway. It disconnects the container from it before the
        # start; were it the network's own name, Docker would take the container for connected and
        # ignore the fixed addresses below.
        network_mode="bridge",
        networks_advanced=[
            docker.ContainerNetworksAdvancedArgs(
                # Its id and not its name: in a network that was made anew under the same name this
                # container is not, so it is made anew too. Docker takes either where the provider
                # sends this (POST /networks/{id or name}/connect), and it is never read back.
                name=network.id,
                ipv4_address=plan.ipv4,
                ipv6_address=plan.ipv6,
            )
        ],
        ports=[
            docker.ContainerPortArgs(
                internal=port.number, external=port.number, ip=port.address, protocol=port.protocol
            )
            for port in plan.ports
        ]
        or None,
        restart=plan.restart,
        # Before: two containers cannot have one name, nor two one address.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
    )


def _env(key: str, value: str | SecretRef, secrets: Secrets) -> pulumi.Input[str]:
    if isinstance(value, SecretRef):
        return pulumi.Output.concat(key, "=", secrets[value.secret])
    return f"{key}={value}"


def _volume(volume: Volume) -> docker.ContainerVolumeArgs:
    return docker.ContainerVolumeArgs(
        container_path=volume.target,
        host_path=volume.source if volume.is_path else None,
        volume_name=None if volume.is_path else volume.source,
        read_only=volume.read_only,
    )
