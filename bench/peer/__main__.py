"""The program without its dynamic resources: the same components, providers and networks.

What part (e) holds the real program against; the difference is what HostNat costs. Pulumi runs it
in a folder of the benchmark's own, where `components` and `planner` are the checkout's.
"""

import pulumi
import pulumi_docker as docker

from components.settings import raw_settings
from components.ssh import docker_host, ssh_options
from planner.config import Stack
from planner.plan import HostPlan, NetworkPlan, plan


class IsolatedNetwork(pulumi.ComponentResource):
    """components.isolated_network.IsolatedNetwork, less its HostNat."""

    def __init__(self, name: str, network: NetworkPlan, opts: pulumi.ResourceOptions) -> None:
        super().__init__("wanbound:index:IsolatedNetwork", name, {}, opts)
        docker.Network(
            name,
            name=network.docker.name,
            driver="bridge",
            attachable=True,
            ipv6=network.docker.ipv6,
            ipam_configs=[
                docker.NetworkIpamConfigArgs(subnet=ipam.subnet, gateway=ipam.gateway)
                for ipam in network.docker.ipam
            ],
            options=dict(network.docker.options),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


class Host(pulumi.ComponentResource):
    """components.host.Host."""

    def __init__(self, host: HostPlan) -> None:
        super().__init__("wanbound:index:Host", host.name)
        engine = docker.Provider(
            host.name,
            host=docker_host(host.ssh),
            ssh_opts=ssh_options(host.ssh),
            opts=pulumi.ResourceOptions(parent=self),
        )
        for network in host.networks:
            options = pulumi.ResourceOptions(parent=self, providers=[engine])
            IsolatedNetwork(f"{host.name}-{network.name}", network, options)
        self.register_outputs({})


for each in plan(Stack.parse(raw_settings(), pulumi.get_stack())):
    if any(network.containers or network.check for network in each.networks):
        raise pulumi.RunError("the peer has networks alone: no containers, no verify")
    Host(each)
