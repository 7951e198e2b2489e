"""What a stack's configuration means, as plain data: `plan(stack)` is all that components wire."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from planner import addresses, edge
from planner.base import base
from planner.config import (
    Address,
    Container,
    Engine,
    Family,
    Firewall,
    Host,
    Network,
    Persist,
    Ssh,
    Stack,
)
from planner.config.names import socket_bridge
from planner.docker import (
    OPTION,
    ContainerPlan,
    DockerNetwork,
    Ipam,
    SocketPlan,
    VolumePlan,
    with_defaults,
)
from planner.guard import guard, logged
from planner.nftables import nat
from planner.publish import published
from planner.rule import Owns, Setting, Wanted
from planner.rules import docker_family_rules, family_rules, flows

_IFACE_PREFIX_MAX = 12
"""Characters of an interface prefix: Docker appends a number, the kernel allows 15."""


@dataclass(frozen=True)
class EgressCheck:
    """The check from inside a network, which messages call `about`.

    `expected` has a line for each family: its name, the address that the internet must see, and the
    URL of the IP-echo service. `dns` are the servers that it asks for names, as the network's other
    containers do.
    """

    about: str
    expected: str
    dns: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkPlan:
    """One isolated network: what it `owns`, and every line that is `wanted` for it on the host."""

    name: str
    bridge: str
    owns: Owns
    wanted: tuple[Wanted, ...]
    docker: DockerNetwork
    containers: tuple[ContainerPlan, ...]
    check: EgressCheck | None
    socket: SocketPlan | None = None
    volumes: tuple[VolumePlan, ...] = ()


@dataclass(frozen=True)
class HostPlan:
    """One host and its networks.

    `wan` is the interface of the public addresses, `wanted` every line that the host has besides
    its networks'; `persist` says whether all rules are written to /etc/iptables as well. For
    `confirm_seconds` a change waits on the host for its confirmation; `adopt` says that manually
    created networks and addresses are taken over.
    `ipv6nat` is the image of docker-ipv6nat where that runs there in a container, `engine`
    what its Docker Engine is to be, if the configuration says anything about it; `firewall` what
    its rules are loaded with; `metrics` the file to which it writes its counters.
    """

    name: str
    ssh: Ssh
    wan: str
    wanted: tuple[Wanted, ...]
    persist: Persist | None
    confirm_seconds: int
    adopt: bool
    ipv6nat: str | None
    networks: tuple[NetworkPlan, ...]
    engine: Engine | None = None
    firewall: Firewall = "iptables"
    metrics: str | None = None


def plan(stack: Stack) -> tuple[HostPlan, ...]:
    """Return the plan of every host of the stack, in the order of the configuration."""
    return tuple(_host_plan(stack, host) for host in stack.hosts)


def _host_plan(stack: Stack, host: Host) -> HostPlan:
    return HostPlan(
        name=host.name,
        ssh=host.ssh,
        wan=host.wan.interface,
        wanted=tuple(base(host, stack.mark)),
        persist=host.persist,
        confirm_seconds=host.confirm_seconds,
        adopt=host.adopt,
        ipv6nat=None if host.ipv6nat is None else stack.images.ipv6nat,
        networks=tuple(
            NetworkPlan(
                name=network.name,
                bridge=network.bridge,
                owns=_owns(network),
                wanted=tuple(_wanted(network, host)),
                docker=with_defaults(_docker_network(network), host.engine),
                containers=_containers(stack, network),
                check=_check(stack, host, network) if stack.verify else None,
                socket=_socket(network, host),
                volumes=edge.volumes(network),
            )
            for network in host.networks
        ),
        engine=host.engine,
        firewall=host.firewall,
        metrics=host.metrics,
    )


def _owns(network: Network) -> Owns:
    bridges = {"own": network.bridge}
    subnets = {f"ipv{family.version}": str(family.subnet) for family in network.families}
    if network.inner_subnet is not None:
        subnets["ipv4"] = str(network.inner_subnet)
    if network.load_balancer is not None and network.load_balancer.socket_subnet is not None:
        bridges["socket"] = socket_bridge(network.bridge)
        subnets["socket"] = str(network.load_balancer.socket_subnet)
    own = {}
    for version, public in network.publics:
        own[f"ipv{version}"] = str(public)
        own |= {f"ipv{version} {extra}": str(extra) for extra in network.extras(version)}
    return Owns(bridges, subnets, own, flows(network))


def _wanted(network: Network, host: Host) -> Iterator[Wanted]:
    wan = host.wan.interface
    if network.manage_addresses:
        yield from _addresses(network, wan)
    if host.firewall == "nftables":
        yield from nat(network)
    else:
        if network.docker_ipv4 is not None:
            yield from docker_family_rules(network)
        for family in network.families:
            yield from family_rules(network, family)
    rules = guard(network, wan)
    yield from logged(rules, network.name) if host.log_drops else rules


def _addresses(network: Network, wan: str) -> Iterator[Setting]:
    for version, own in network.publics:
        for address in (own, *network.extras(version)):
            role = f"ipv{version}" if address == own else f"ipv{version} {address}"
            if version == 4:
                # Of scope host: never a source of the host's own connections, in any order
                # of the interface's addresses.
                yield Setting("addresses", role, f"inet {address}/32 scope host {wan}")
                continue
            # Deprecated (preferred_lft 0): never a source of the host's own connections. During
            # duplicate address detection (a second) no program can bind to an address, and a
            # container whose port Docker cannot bind does not start at boot: hence nodad.
            nodad = " nodad" if network.mode == "masquerade" else ""
            line = f"inet6 {address}/128 scope global deprecated{nodad}"
            yield Setting("addresses", role, line)


def _docker_network(network: Network) -> DockerNetwork:
    options = {
        f"{OPTION}.bridge.name": network.bridge,
        f"{OPTION}.bridge.enable_ip_masquerade": "false",
        f"{OPTION}.container_iface_prefix": f"v{network.bridge}"[:_IFACE_PREFIX_MAX],
    }
    ipam = []
    if (inner := network.inner_subnet) is not None:
        gateway = str(addresses.gateway(inner))
        ipam.append(Ipam(str(inner), gateway))
        options[f"{OPTION}.bridge.host_binding_ipv4"] = gateway
    for family in network.families:
        ipam.append(Ipam(str(family.subnet), str(family.gateway)))
        # Published ports bind to the bridge's own address, never to another network's: public
        # traffic comes through the ingress rules, which need no bind (docs/architecture.md).
        binding = family.public if network.mode == "masquerade" else family.gateway
        options[f"{OPTION}.bridge.host_binding_ipv{family.version}"] = str(binding)
    if network.docker_ipv4 is not None:
        # The bridge's address is not known yet; without the option, ports bind to every address.
        options[f"{OPTION}.bridge.host_binding_ipv4"] = "127.0.0.1"
    return DockerNetwork(
        name=network.name,
        ipv6=network.ipv6 is not None,
        ipam=tuple(ipam),
        options=options,
        ipv4_by_docker=network.docker_ipv4 is not None,
    )


def _socket(network: Network, host: Host) -> SocketPlan | None:
    plan = edge.socket(network)
    return plan and replace(plan, docker=with_defaults(plan.docker, host.engine))


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
    return tuple(replace(each, dns=_dns(network)) for each in found)


def _dns(network: Network) -> tuple[str, ...]:
    """Return the DNS servers of a network's containers, none for Docker's own choice.

    From 28.0 on, Docker queries the servers of the host's resolv.conf from the host's own network
    namespace, and so from the host's address. It queries a container's own servers from the
    container's namespace.
    """
    return tuple(map(str, network.dns))


def _with_addresses(plans: list[ContainerPlan], family: Family) -> list[ContainerPlan]:
    """Return the same containers, with derived addresses where none are written."""
    four = family.version == 4
    found = []
    for plan in plans:
        text = plan.ipv4 if four else plan.ipv6
        if text is None and plan.role == "whoami":
            text = _text(addresses.default_whoami(family.subnet))
        elif text is None:
            text = _text(addresses.container_address(family.subnet, plan.name))
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


def _check(stack: Stack, host: Host, network: Network) -> EgressCheck:
    return EgressCheck(
        about=f"host {host.name}, network {network.name}",
        expected="".join(
            f"ipv{version} {public} {stack.echo.url(version)}\n"
            for version, public in network.publics
            if stack.echo is not None
        ),
        dns=_dns(network),
    )


def _echoes(stack: Stack, network: Network) -> dict[str, str]:
    """Return the settings that tell whoami its IP-echo service, for each family of the network."""
    if stack.echo is None:
        return {}
    urls = {version: stack.echo.url(version) for version, _ in network.publics}
    return {f"ECHO_IPV{version}": url for version, url in urls.items() if url is not None}


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)
