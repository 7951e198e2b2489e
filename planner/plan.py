"""What a stack's configuration means, as plain data: `plan(stack)` is all that components wire."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from planner import addresses, edge
from planner.base import BasePlan, base_plan
from planner.config import Address, Container, Engine, Family, Host, Network, Ssh, Stack
from planner.docker import ContainerPlan, DockerNetwork, Ipam, SocketPlan, VolumePlan
from planner.guard import guard_lines
from planner.publish import published
from planner.rules import FamilyRules, docker_family_rules, family_rules

_OPTION = "com.docker.network"
_IFACE_PREFIX_MAX = 12
"""Characters of an interface prefix: Docker puts a number behind it, the kernel stops at 15."""


@dataclass(frozen=True)
class Rules:
    """Everything that one network wants on its host, each a map from role to line.

    `addresses` as ``ip addr show`` prints them, `nat_*` and `forward_*` as ``iptables-save`` and
    ``ip6tables-save`` do, `guard` as nft commands. A family the network lacks has empty maps.
    """

    addresses: Mapping[str, str]
    nat_ipv4: Mapping[str, str]
    forward_ipv4: Mapping[str, str]
    nat_ipv6: Mapping[str, str]
    forward_ipv6: Mapping[str, str]
    guard: Mapping[str, str]


@dataclass(frozen=True)
class EgressCheck:
    """The check from inside a network: `image` runs ``check`` with `expected` on its input."""

    image: str
    environment: Mapping[str, str]
    expected: str


@dataclass(frozen=True)
class NetworkPlan:
    """One isolated network, complete."""

    name: str
    bridge: str
    rules: Rules
    docker: DockerNetwork
    containers: tuple[ContainerPlan, ...]
    check: EgressCheck | None
    socket: SocketPlan | None = None
    volumes: tuple[VolumePlan, ...] = ()


@dataclass(frozen=True)
class HostPlan:
    """One host and its networks.

    `base` is what the host wants for itself, if anything. For `confirm_seconds` a change waits on
    the host for its confirmation; `adopt` says that what was set up by hand is taken over.
    `ipv6nat` is the image of docker-ipv6nat where that runs there in a container, `engine`
    what its Docker Engine is to be, if the configuration says anything about it.
    """

    name: str
    ssh: Ssh
    base: BasePlan | None
    confirm_seconds: int
    adopt: bool
    ipv6nat: str | None
    networks: tuple[NetworkPlan, ...]
    engine: Engine | None = None


def plan(stack: Stack) -> tuple[HostPlan, ...]:
    """Return the plan of every host of the stack, in the order of the configuration."""
    return tuple(_host_plan(stack, host) for host in stack.hosts)


def _host_plan(stack: Stack, host: Host) -> HostPlan:
    return HostPlan(
        name=host.name,
        ssh=host.ssh,
        base=base_plan(host),
        confirm_seconds=host.confirm_seconds,
        adopt=host.adopt,
        ipv6nat=None if host.ipv6nat is None else stack.images.ipv6nat,
        networks=tuple(
            NetworkPlan(
                name=network.name,
                bridge=network.bridge,
                rules=_rules(network, host),
                docker=_docker_network(network),
                containers=_containers(stack, network),
                check=_check(stack, network) if stack.verify else None,
                socket=edge.socket(network),
                volumes=edge.volumes(network),
            )
            for network in host.networks
        ),
        engine=host.engine,
    )


def _rules(network: Network, host: Host) -> Rules:
    wan = host.wan.interface
    none = FamilyRules(nat={}, forward={})
    v4, v6 = (
        family_rules(network, family, wan, guard=host.guard) if family is not None else none
        for family in (network.ipv4, network.ipv6)
    )
    if network.docker_ipv4 is not None:
        v4 = docker_family_rules(network, wan, guard=host.guard)
    return Rules(
        addresses=_addresses(network, wan) if network.manage_addresses else {},
        nat_ipv4=v4.nat,
        forward_ipv4=v4.forward,
        nat_ipv6=v6.nat,
        forward_ipv6=v6.forward,
        guard=guard_lines(network) if host.guard else {},
    )


def _addresses(network: Network, wan: str) -> dict[str, str]:
    lines = {}
    for version, own in network.publics:
        for address in (own, *network.extras(version)):
            role = f"{wan} ipv{version}" if address == own else f"{wan} ipv{version} {address}"
            if version == 4:
                lines[role] = f"inet {address}/32 scope global {wan}"
                continue
            # Deprecated (preferred_lft 0): never a source of the host's own connections. While it
            # is being looked for on the link (for a second) nothing can bind to an address, and a
            # container whose port Docker cannot bind does not start at boot: no look then.
            nodad = " nodad" if network.mode == "masquerade" else ""
            lines[role] = f"inet6 {address}/128 scope global deprecated{nodad}"
    return lines


def _docker_network(network: Network) -> DockerNetwork:
    options = {
        f"{_OPTION}.bridge.name": network.bridge,
        f"{_OPTION}.bridge.enable_ip_masquerade": "false",
        f"{_OPTION}.container_iface_prefix": f"v{network.bridge}"[:_IFACE_PREFIX_MAX],
    }
    ipam = []
    if (inner := network.inner_ipv4) is not None:
        ipam.append(Ipam(str(inner), str(addresses.gateway(inner))))
    for family in network.families:
        ipam.append(Ipam(str(family.subnet), str(family.gateway)))
        # Published ports bind to the bridge's own address, never to another network's: public
        # traffic comes through the ingress rules, which need no bind (docs/architecture.md).
        binding = family.public if network.mode == "masquerade" else family.gateway
        options[f"{_OPTION}.bridge.host_binding_ipv{family.version}"] = str(binding)
    if network.docker_ipv4 is not None:
        # Nobody knows the bridge's address yet, and without the option it would be every address.
        options[f"{_OPTION}.bridge.host_binding_ipv4"] = "127.0.0.1"
    return DockerNetwork(
        name=network.name,
        ipv6=network.ipv6 is not None,
        ipam=tuple(ipam),
        options=options,
        ipv4_by_docker=network.docker_ipv4 is not None,
    )


def _containers(stack: Stack, network: Network) -> tuple[ContainerPlan, ...]:
    found = []
    if network.load_balancer is not None:
        found.append(edge.load_balancer(network, network.load_balancer))
    if network.whoami is not None:
        found.append(edge.whoami(network, network.whoami, _echoes(stack, network)))
    found += [_container(container) for container in network.containers]
    for family in network.families:
        found = _with_addresses(found, family)
    if network.mode == "masquerade":
        found = [replace(each, ports=published(network, each.role, each.name)) for each in found]
    return tuple(found)


def _with_addresses(plans: list[ContainerPlan], family: Family) -> list[ContainerPlan]:
    """Return the same containers, those without a written address at one that is always theirs."""
    four = family.version == 4
    written = [plan.ipv4 if four else plan.ipv6 for plan in plans]
    taken = [family.gateway, *(ip_address(text) for text in written if text is not None)]
    found = []
    for plan, text in zip(plans, written, strict=True):
        if text is None:
            address = addresses.container_address(family.subnet, plan.name, taken)
            if address is not None:
                taken.append(address)
                text = str(address)
        found.append(replace(plan, ipv4=text) if four else replace(plan, ipv6=text))
    return found


def _container(container: Container) -> ContainerPlan:
    return ContainerPlan(
        role="container",
        name=container.name,
        image=container.image,
        command=container.command,
        labels=container.labels,
        environment=container.environment,
        volumes=container.volumes,
        ipv4=_text(container.ipv4),
        ipv6=_text(container.ipv6),
        restart=container.restart,
    )


def _check(stack: Stack, network: Network) -> EgressCheck:
    return EgressCheck(
        image=stack.images.whoami,
        environment=_echoes(stack, network),
        expected="".join(f"ipv{version} {public}\n" for version, public in network.publics),
    )


def _echoes(stack: Stack, network: Network) -> dict[str, str]:
    """Return what tells the whoami image whom to ask, for each family of the network."""
    if stack.echo is None:
        return {}
    urls = {version: stack.echo.url(version) for version, _ in network.publics}
    return {f"ECHO_IPV{version}": url for version, url in urls.items() if url is not None}


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)
