"""The schemas against the SDKs' own classes: an input missing in ours is a gap."""

from __future__ import annotations

import inspect

import pulumi_command as command
import pulumi_docker as docker
import pytest

from lab.plugins.command import LOCAL
from lab.plugins.docker.container_schema import CONTAINER
from lab.plugins.docker.simple_schemas import NETWORK, REMOTE_IMAGE, VOLUME
from lab.plugins.schema import Field, Schema

NESTED = {
    "capabilities": docker.ContainerCapabilitiesArgs,
    "healthcheck": docker.ContainerHealthcheckArgs,
    "labels": docker.ContainerLabelArgs,
    "networksAdvanced": docker.ContainerNetworksAdvancedArgs,
    "ports": docker.ContainerPortArgs,
    "uploads": docker.ContainerUploadArgs,
    "volumes": docker.ContainerVolumeArgs,
}


def inputs_of(arguments: type) -> set[str]:
    """Return the inputs of the SDK's class, by the engine's names."""
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
        (LOCAL, command.local.CommandArgs),
    ],
    ids=lambda value: value.token if isinstance(value, Schema) else "",
)
def test_every_input_of_the_sdk_is_known(schema: Schema, arguments: type) -> None:
    """An input is either implemented, or refused by name."""
    assert set(schema.fields) == inputs_of(arguments)


@pytest.mark.parametrize("key", NESTED)
def test_every_nested_input_of_a_container_is_known(key: str) -> None:
    """The objects in a container's inputs are known too."""
    spec: Field = CONTAINER.fields[key]
    known = spec.fields or (spec.item.fields if spec.item is not None else {})
    assert set(known) == inputs_of(NESTED[key])
