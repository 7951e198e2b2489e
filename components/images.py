"""The images of a host's containers, pulled before anything of a network is changed.

A container is deleted before its replacement is created. If its image were pulled only then, a
failed pull would leave the host without the container. This way the update fails earlier.
"""

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from components.names import resource_name
from planner.plan import HostPlan, NetworkPlan


def images(plan: HostPlan, opts: pulumi.ResourceOptions) -> Mapping[str, docker.RemoteImage]:
    """Return every image that the host's networks need, by its name; `opts` has the provider.

    An image that the host already has, pulled or built there, is not pulled again. None is removed.
    """
    names = sorted({name for network in plan.networks for name in names_of(network)})
    return {
        name: docker.RemoteImage(
            resource_name(plan.name, "image", name), name=name, keep_locally=True, opts=opts
        )
        for name in names
    }


def names_of(network: NetworkPlan) -> set[str]:
    """Return the names of the images of a network's containers."""
    names = {each.image for each in network.containers}
    if network.socket is not None:
        names.add(network.socket.proxy.image)
    return names
