"""The schemas against the SDKs' own classes: an input of theirs that we do not know is a gap."""

from __future__ import annotations

import inspect

import pulumi_command as command
import pulumi_docker as docker
import pytest

from lab.plugins.command.schemas import COPY, LOCAL, REMOTE
from lab.plugins.docker.container_schema import CONTAINER
from lab.plugins.docker.simple_schemas import NETWORK, REMOTE_IMAGE, VOLUME
from lab.plugins.schema import Field, Schema

NESTED = {
    "capabilities": docker.ContainerCapabilitiesArgs,
    "deviceReadBps": docker.ContainerDeviceReadBpArgs,
    "deviceRequests": docker.ContainerDeviceRequestArgs,
    "devices": docker.ContainerDeviceArgs,
    "healthcheck": docker.ContainerHealthcheckArgs,
    "hosts": docker.ContainerHostArgs,
    "labels": docker.ContainerLabelArgs,
    "mounts": docker.ContainerMountArgs,
    "networksAdvanced": docker.ContainerNetworksAdvancedArgs,
    "ports": docker.ContainerPortArgs,
    "ulimits": docker.ContainerUlimitArgs,
    "uploads": docker.ContainerUploadArgs,
    "volumes": docker.ContainerVolumeArgs,
}


def inputs_of(arguments: type) -> set[str]:
    """Return the inputs that the SDK's class takes, as the engine names them."""
    names = set(inspect.signature(arguments).parameters)
    return {
        first + "".join(word.capitalize() for word in rest)
        for first, *rest in (name.split("_") for name in names)
    }


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        (NETWORK, docker.NetworkArgs),
        (CONTAINER, docker.ContainerArgs),
        (VOLUME, docker.VolumeArgs),
        (REMOTE_IMAGE, docker.RemoteImageArgs),
        (REMOTE, command.remote.CommandArgs),
        (COPY, command.remote.CopyToRemoteArgs),
        (LOCAL, command.local.CommandArgs),
    ],
    ids=lambda value: value.token if isinstance(value, Schema) else "",
)
def test_every_input_of_the_sdk_is_known(schema: Schema, arguments: type) -> None:
    """Known means implemented, or refused by name."""
    assert set(schema.fields) == inputs_of(arguments)


@pytest.mark.parametrize("key", NESTED)
def test_every_nested_input_of_a_container_is_known(key: str) -> None:
    """The same for the objects in a container's inputs."""
    spec: Field = CONTAINER.fields[key]
    known = spec.fields or (spec.item.fields if spec.item is not None else {})
    assert set(known) == inputs_of(NESTED[key])


def test_every_input_of_a_connection_is_known() -> None:
    """The same for the connection, and for the proxy that it may go through."""
    connection = REMOTE.fields["connection"].fields
    assert set(connection) == inputs_of(command.remote.ConnectionArgs)
    assert set(connection["proxy"].fields) == inputs_of(command.remote.ProxyConnectionArgs)
