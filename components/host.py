"""One Docker host."""

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from components.connection import connection
from components.containers import Secrets
from components.images import images
from components.ipv6nat import ipv6nat
from components.isolated_network import IsolatedNetwork
from components.ssh import docker_host, ssh_options
from planner.config import Engine
from planner.plan import HostPlan
from planner.rule import order, sections
from planner.takeover import Same
from providers.engine.resource import DockerEngine
from providers.host.plan import Network, Plan
from providers.host.resource import HostNetworking


class Host(pulumi.ComponentResource):
    """A host with its Docker provider, its networking, and its isolated networks.

    The rules and the guard are in force before any network exists. The host removes those of a
    network only after its bridge is gone. So no container in it, started by wanbound or manually,
    can ever send without them.
    """

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
            # With `engine`, an output of that resource: the provider then waits for Docker to be
            # installed. The text is the same, so adding the key does not change the provider.
            host=docker_host(plan.ssh) if self.engine is None else self.engine.docker_host,
            ssh_opts=ssh_options(plan.ssh),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.images = images(plan, pulumi.ResourceOptions(parent=self, providers=[engine]))
        self.networking = HostNetworking(
            plan.name,
            host=connection(plan, secrets),
            plan=wanted_plan(plan, _stack(), taken_over or {}),
            # An image that cannot be pulled ends the update before anything is touched.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*first, *self.images.values()]),
        )
        self.networks = [
            IsolatedNetwork(
                plan,
                network,
                secrets,
                (taken_over or {}).get(network.docker.name),
                [self.networking],
                pulumi.ResourceOptions(parent=self, providers=[engine]),
            )
            for network in plan.networks
        ]
        if plan.ipv6nat is not None:
            self.ipv6nat = ipv6nat(
                plan,
                plan.ipv6nat,
                [self.networking],
                pulumi.ResourceOptions(parent=self, providers=[engine]),
            )
        self.register_outputs({})

    def _engine(self, plan: HostPlan, engine: Engine, secrets: Secrets) -> DockerEngine:
        """Return the resource of the host's Docker, on which everything else depends."""
        return DockerEngine(
            plan.name,
            host=connection(plan, secrets),
            docker_host=docker_host(plan.ssh),
            daemon=engine.settings,
            install=engine.install,
            restart=engine.restart,
            firewall=plan.firewall,
            forwarding=_forwarding(plan, engine),
            opts=pulumi.ResourceOptions(parent=self),
        )


def _forwarding(plan: HostPlan, engine: Engine) -> list[str]:
    """Return the kernel's settings without which Docker with nftables does not start."""
    if engine.firewall_backend != "nftables":
        return []
    settings = [each for each in plan.wanted if each.section == "sysctls"]
    return [each.text for each in sorted(settings, key=lambda each: each.order)]


def _stack() -> str:
    return f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"


def wanted_plan(host: HostPlan, stack: str, taken_over: Mapping[str, Same]) -> Plan:
    """Return all of the host's lines as its resource wants them; `stack` owns the host."""
    return Plan(
        stack=stack,
        wan=host.wan,
        networks={
            network.name: Network(
                network.name,
                network.owns.bridges,
                network.owns.subnets,
                network.owns.addresses,
                sections(network.wanted),
                order(network.wanted),
                network.owns.flows,
            )
            for network in host.networks
        },
        lines=sections(host.wanted),
        order=order(host.wanted),
        persist=host.persist,
        metrics=host.metrics,
        taken_over={
            network.name: same.id
            for network in host.networks
            if (same := taken_over.get(network.docker.name)) is not None and same.by_hand
        },
    )
