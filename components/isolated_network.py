"""One isolated network with everything that belongs to it."""

from collections.abc import Sequence

import pulumi
import pulumi_docker as docker

from components.containers import Secrets, attached, container
from components.egress_check import egress_check
from components.names import resource_name
from components.socket import DockerSocket, ignored_options
from planner.docker import ContainerPlan, VolumePlan
from planner.plan import HostPlan, NetworkPlan
from planner.takeover import LABEL, Same


def network_args(plan: NetworkPlan, owner: str) -> docker.NetworkArgs:
    """Return what the Docker network is made of; `owner` is `HOST/NETWORK`, for its label."""
    return docker.NetworkArgs(
        name=plan.docker.name,
        driver="bridge",
        attachable=True,
        ipv6=plan.docker.ipv6,
        # None where Docker chooses: the provider then records what it has chosen.
        ipam_configs=[
            docker.NetworkIpamConfigArgs(subnet=ipam.subnet, gateway=ipam.gateway)
            for ipam in plan.docker.ipam
        ]
        or None,
        options=dict(plan.docker.declared),
        labels=[docker.NetworkLabelArgs(label=LABEL, value=owner)],
    )


class IsolatedNetwork(pulumi.ComponentResource):
    """A Docker network that comes from and goes to its own public addresses only."""

    def __init__(
        self,
        host: HostPlan,
        plan: NetworkPlan,
        secrets: Secrets,
        taken_over: Same | None = None,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the network that `plan` describes on `host`; `opts` has the Docker provider.

        `taken_over` is the existing Docker network with the same definition. The network depends
        on the resources in `after`.
        """
        name = resource_name(host.name, "network", plan.name)
        super().__init__("wanbound:index:IsolatedNetwork", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        owner = f"{host.name}/{plan.name}"
        self.network = docker.Network(
            name,
            network_args(plan, owner),
            opts=pulumi.ResourceOptions(
                parent=self,
                # Imported only if it is not in the state yet.
                import_=taken_over.id if taken_over else None,
                # Docker cannot change any: one taken over would be replaced for the label that it
                # lacks, for a flag that only means something in a swarm, or for options that no
                # guarantee needs. Nor may values that Docker chose count as a change. Also without
                # `adopt`: a network that was taken over stays so.
                ignore_changes=[
                    "labels",
                    "attachable",
                    *ignored_options(plan.docker),
                    *_chosen(plan),
                ],
                # Delete first: two networks cannot have the same name, bridge or subnet.
                delete_before_replace=True,
                depends_on=list(after),
            ),
        )
        self.socket = None
        if plan.socket is not None:
            self.socket = DockerSocket(
                host.name,
                plan.name,
                plan.socket,
                owner,
                secrets,
                # The guard closes its bridge, too.
                after,
                child,
            )
        self.volumes = [
            self._volume(resource_name(host.name, "volume", each.name), each)
            for each in plan.volumes
        ]
        self.containers = [
            container(
                resource_name(host.name, each.role, _whose(each, plan)),
                each,
                self._places(each),
                owner,
                secrets,
                pulumi.ResourceOptions(parent=self, depends_on=[*after, *self._before(each)]),
            )
            for each in plan.containers
        ]
        if plan.check is not None:
            egress_check(
                resource_name(host.name, "egress_check", plan.name),
                plan.check,
                host.ssh,
                self.network.name,
                [*after, *self.containers],
                child,
            )
        self.register_outputs({})

    def _volume(self, name: str, plan: VolumePlan) -> docker.Volume:
        return docker.Volume(
            name,
            name=plan.name,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=plan.keep),
        )

    def _places(self, plan: ContainerPlan) -> list[docker.ContainerNetworksAdvancedArgs]:
        """Return the networks that a container is in; only the load balancer is in two."""
        places = [attached(self.network, plan.ipv4, plan.ipv6)]
        if self.socket is not None and plan.socket_ipv4 is not None:
            places.append(attached(self.socket.network, plan.socket_ipv4))
        return places

    def _before(self, plan: ContainerPlan) -> list[pulumi.Resource]:
        """Return what has to be there while a container is."""
        before: list[pulumi.Resource] = []
        if plan.role == "load_balancer":
            before += self.volumes
            if self.socket is not None:
                before.append(self.socket.proxy)
        return before


def _whose(container: ContainerPlan, network: NetworkPlan) -> str:
    """Return by which name a container is known: wanbound brings one of a role to a network."""
    return container.name if container.role == "container" else network.name


def _chosen(plan: NetworkPlan) -> list[str]:
    return ["ipamConfigs"] if plan.docker.ipv4_by_docker else []
