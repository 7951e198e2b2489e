"""One Docker host."""

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from components.connection import connection
from components.containers import Secrets
from components.images import images, names_of
from components.isolated_network import IsolatedNetwork
from components.ssh import docker_host, ssh_options
from planner.base import BasePlan
from planner.plan import HostPlan
from planner.takeover import Same
from providers.host_base import HostBase


class Host(pulumi.ComponentResource):
    """A host with its Docker provider, what it wants for itself, and its isolated networks."""

    def __init__(
        self,
        plan: HostPlan,
        secrets: Secrets,
        taken_over: Mapping[str, Same] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare everything that `plan` has for the host.

        `taken_over` has the Docker networks that are there already, by their names.
        """
        super().__init__("wanbound:index:Host", plan.name, {}, opts)
        engine = docker.Provider(
            plan.name,
            host=docker_host(plan.ssh),
            ssh_opts=ssh_options(plan.ssh),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.base = None if plan.base is None else self._base(plan, plan.base, secrets)
        own = [] if self.base is None else [self.base]
        self.images = images(plan, pulumi.ResourceOptions(parent=self, providers=[engine]))
        self.networks = [
            IsolatedNetwork(
                f"{plan.name}-{network.name}",
                plan,
                network,
                secrets,
                (taken_over or {}).get(network.docker.name),
                [*own, *(self.images[name] for name in sorted(names_of(network)))],
                pulumi.ResourceOptions(parent=self, providers=[engine]),
            )
            for network in plan.networks
        ]
        self.register_outputs({})

    def _base(self, plan: HostPlan, base: BasePlan, secrets: Secrets) -> HostBase:
        """Return what the host wants for itself: there before its networks, gone after them."""
        return HostBase(
            plan.name,
            host=connection(plan, secrets),
            rules={
                "link": base.link,
                "routes": base.routes,
                "sysctls": base.sysctls,
                "input_ipv4": base.input_ipv4,
                "forward_ipv4": base.forward_ipv4,
                "input_ipv6": base.input_ipv6,
                "forward_ipv6": base.forward_ipv6,
            },
            persist=base.persist,
            opts=pulumi.ResourceOptions(parent=self),
        )
