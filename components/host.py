"""One Docker host."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_docker as docker

from components.connection import connection
from components.containers import Secrets
from components.images import images, names_of
from components.ipv6nat import ipv6nat
from components.isolated_network import IsolatedNetwork
from components.ssh import docker_host, ssh_options
from planner.base import BasePlan
from planner.config import Engine
from planner.plan import HostPlan
from planner.takeover import Same
from providers.engine.resource import DockerEngine
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
        self.engine = None if plan.engine is None else self._engine(plan, plan.engine, secrets)
        first = [] if self.engine is None else [self.engine]
        engine = docker.Provider(
            plan.name,
            # By way of the engine, where it is ours: then it is there before anybody asks it. The
            # text is the same, or the provider would change with the key.
            host=docker_host(plan.ssh) if self.engine is None else self.engine.docker_host,
            ssh_opts=ssh_options(plan.ssh),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.base = None if plan.base is None else self._base(plan, plan.base, secrets, first)
        own = first if self.base is None else [*first, self.base]
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
        if plan.ipv6nat is not None:
            self.ipv6nat = ipv6nat(
                plan,
                plan.ipv6nat,
                [network.host_nat for network in self.networks],
                pulumi.ResourceOptions(parent=self, providers=[engine]),
            )
        self.register_outputs({})

    def _engine(self, plan: HostPlan, engine: Engine, secrets: Secrets) -> DockerEngine:
        """Return the host's Docker: there, with what rules need, before everything else."""
        return DockerEngine(
            plan.name,
            host=connection(plan, secrets),
            docker_host=docker_host(plan.ssh),
            daemon=engine.settings,
            install=engine.install,
            restart=engine.restart,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _base(
        self, plan: HostPlan, base: BasePlan, secrets: Secrets, after: Sequence[pulumi.Resource]
    ) -> HostBase:
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
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
