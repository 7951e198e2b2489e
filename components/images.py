"""The images of a host's containers: there before anything of a network is touched.

A container is deleted before it is made anew. Were its image first looked for then, one that cannot
be pulled would leave the host without the container; like this the update ends before.
"""

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from planner.plan import HostPlan, NetworkPlan


def images(plan: HostPlan, opts: pulumi.ResourceOptions) -> Mapping[str, docker.RemoteImage]:
    """Return every image that the host's networks need, by its name; `opts` has the provider.

    One that the host has already is left as it is, also one that was built there; none is removed.
    """
    names = sorted({name for network in plan.networks for name in names_of(network)})
    return {
        name: docker.RemoteImage(f"{plan.name}-{name}", name=name, keep_locally=True, opts=opts)
        for name in names
    }


def names_of(network: NetworkPlan) -> set[str]:
    """Return the names of the images of a network's containers and of its check."""
    names = {each.image for each in network.containers}
    if network.socket is not None:
        names.add(network.socket.proxy.image)
    if network.check is not None:
        names.add(network.check.image)
    return names
