"""The program without its dynamic resource: the same components, providers and networks.

Part (e) compares the real program with this one; the difference is the cost of HostNetworking.
Pulumi runs it in a separate folder, where `components` and `planner` are the checkout's.
"""

import pulumi
import pulumi_docker as docker

from components.isolated_network import network_args
from components.names import resource_name
from components.settings import raw_settings
from components.ssh import docker_host, ssh_options
from planner.config import Stack
from planner.plan import HostPlan, NetworkPlan, plan


class IsolatedNetwork(pulumi.ComponentResource):
    """components.isolated_network.IsolatedNetwork, of a network without containers."""

    def __init__(self, host: HostPlan, network: NetworkPlan, opts: pulumi.ResourceOptions) -> None:
        name = resource_name(host.name, "network", network.name)
        super().__init__("wanbound:index:IsolatedNetwork", name, {}, opts)
        args = network_args(network, f"{host.name}/{network.name}")
        docker.Network(name, args, pulumi.ResourceOptions(parent=self))
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
            IsolatedNetwork(host, network, pulumi.ResourceOptions(parent=self, providers=[engine]))
        self.register_outputs({})


for each in plan(Stack.parse(raw_settings(), pulumi.get_stack())):
    if any(network.containers or network.check for network in each.networks):
        raise pulumi.RunError("the peer has networks alone: no containers, no verify")
    Host(each)
