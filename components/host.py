"""One Docker host."""

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from components.containers import Secrets
from components.isolated_network import IsolatedNetwork
from components.ssh import docker_host, ssh_options
from planner.plan import HostPlan


class Host(pulumi.ComponentResource):
    """A host with its Docker provider and its isolated networks."""

    def __init__(
        self,
        plan: HostPlan,
        secrets: Secrets,
        taken_over: Mapping[str, str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare everything that `plan` has for the host.

        `taken_over` has the ids of Docker networks that are there already, by their names.
        """
        super().__init__("wanbound:index:Host", plan.name, {}, opts)
        engine = docker.Provider(
            plan.name,
            host=docker_host(plan.ssh),
            ssh_opts=ssh_options(plan.ssh),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.networks = [
            IsolatedNetwork(
                f"{plan.name}-{network.name}",
                plan,
                network,
                secrets,
                (taken_over or {}).get(network.docker.name),
                pulumi.ResourceOptions(parent=self, providers=[engine]),
            )
            for network in plan.networks
        ]
        self.register_outputs({})
