"""The access of a load balancer to Docker: a proxy, in a network with only these two members."""

from collections.abc import Sequence

import pulumi
import pulumi_docker as docker

from components.containers import Secrets, attached, container
from components.names import resource_name
from planner.docker import DockerNetwork, SocketPlan
from planner.takeover import LABEL


def ignored_options(plan: DockerNetwork) -> list[str]:
    """Return the properties of a Docker network's options that do not count as a change."""
    return [f'options["{name}"]' for name in plan.ignored]


class DockerSocket(pulumi.ComponentResource):
    """A socket proxy and its network, both there before the load balancer and gone after it."""

    def __init__(
        self,
        host: str,
        network: str,
        plan: SocketPlan,
        owner: str,
        secrets: Secrets,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions,
    ) -> None:
        """Declare what `plan` describes for the isolated `network`; `owner` as in containers.

        `opts` has the Docker provider. Both depend on the resources in `after`.
        """
        name = resource_name(host, "socket", network)
        super().__init__("wanbound:index:DockerSocket", name, {}, opts)
        self.network = docker.Network(
            name,
            name=plan.docker.name,
            driver="bridge",
            internal=plan.docker.internal,
            ipam_configs=[
                docker.NetworkIpamConfigArgs(subnet=ipam.subnet, gateway=ipam.gateway)
                for ipam in plan.docker.ipam
            ],
            options=dict(plan.docker.declared),
            labels=[docker.NetworkLabelArgs(label=LABEL, value=owner)],
            # Before: two networks cannot have one name, bridge or subnet.
            opts=pulumi.ResourceOptions(
                parent=self,
                ignore_changes=ignored_options(plan.docker),
                delete_before_replace=True,
                depends_on=list(after),
            ),
        )
        self.proxy = container(
            resource_name(host, "socket_proxy", network),
            plan.proxy,
            [attached(self.network, plan.proxy.socket_ipv4)],
            owner,
            secrets,
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
