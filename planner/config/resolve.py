"""From valid pieces to the models: every subnet, gateway and load balancer gets its address."""

from ipaddress import IPv4Address, IPv4Network, ip_address

from planner.addresses import (
    LOCAL_ULA,
    RFC1918,
    ULA,
    PoolExhaustedError,
    default_load_balancer,
    gateway,
    ipv4_subnet,
    overlaps,
    ula_subnet,
)
from planner.config.edge_spec import AcmeSpec, LoadBalancerSpec
from planner.config.engine import engine
from planner.config.model import (
    Acme,
    Address,
    Baseline,
    Container,
    Dashboard,
    Family,
    Host,
    Images,
    Ingress,
    Jump,
    LoadBalancer,
    Network,
    Open,
    PortRange,
    Ssh,
    Subnet,
    Version,
    Wan,
    Whoami,
)
from planner.config.names import load_balancer_name, socket_proxy, volume_name, whoami_name
from planner.config.report import Report
from planner.config.shape import HostDraft, NetworkDraft, StackDraft
from planner.config.spec import BaselineSpec, ContainerSpec, HostSpec, SshSpec

POOL = IPv4Network("10.200.0.0/14")
"""Where IPv4 subnets come from unless `ipv4_pool` says otherwise."""

SOCKET_POOL = IPv4Network("10.204.0.0/20")
"""Where the subnets between load balancers and Docker's socket come from: 512 of them.

A pool of their own, so that no network's subnet depends on whether another has a load balancer.
"""

_SOCKET_LENGTH = 29
"""Gateway, proxy and load balancer."""


def families(draft: StackDraft, report: Report) -> None:
    """Give each network in `draft` its families; where a subnet cannot be had, report it."""
    pool = POOL
    if draft.spec is not None and draft.spec.ipv4_pool is not None:
        pool = draft.spec.ipv4_pool
        if not _is_private(pool):
            what, why = f"{pool} is not private space", _NOT_YOURS
            report.add(("ipv4_pool",), what, why, "write a part of 10.0.0.0/8, like 10.200.0.0/14")
            return
    public = [
        IPv4Network(address)
        for _, network in draft.networks()
        for address in (network.spec.public_ipv4, *network.extras)
        if isinstance(address, IPv4Address)
    ]
    seedless: list[NetworkDraft] = []
    for host in draft.hosts:
        written = [s for n in host.networks if isinstance(s := n.subnet(4), IPv4Network)]
        taken = [*written, *public, *_ssh_address(host), *_gateway(host)]
        for network in host.networks:
            for version in network.versions:
                subnet = network.subnet(version)
                if subnet is not None:
                    if _permitted(network, subnet, report):
                        _give(network, version, subnet)
                elif version == 4 and network.by_docker:
                    continue
                elif version == 4:
                    if (found := _from_pool(host, network, pool, taken, report)) is not None:
                        _give(network, 4, found)
                elif draft.spec is not None and draft.spec.seed is not None and host.spec:
                    subnet = ula_subnet(draft.spec.seed, host.spec.name, network.spec.name)
                    _give(network, 6, subnet)
                else:
                    seedless.append(network)
            if network.versions == (6,):
                network.inner_ipv4 = _from_pool(host, network, pool, taken, report)
        _give_sockets(draft, host, taken, report)
    if seedless and draft.spec is not None and draft.spec.seed is None:
        first = seedless[0].spec.name
        what = f"is missing, and network {first} has public_ipv6 but no subnet_ipv6"
        why = "An IPv6 subnet that nobody wrote is derived from the seed, so that it never changes."
        remedy = "add seed: with some random text and never change it, or write every subnet_ipv6"
        report.add(("seed",), what, why, remedy)


_NOT_YOURS = (
    "Public space belongs to somebody else: containers could not reach them, and packets with"
    " such a source would look like theirs."
)


def _permitted(network: NetworkDraft, subnet: Subnet, report: Report) -> bool:
    """Return whether the subnet is private or allowed not to be; report it where it is neither."""
    if network.spec.allow_public_subnet or _is_private(subnet):
        return True
    what, why = f"{subnet} is not private space", _NOT_YOURS
    allowed = "10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 (RFC 1918)"
    example = "172.20.0.0/24"
    if subnet.version == 6:
        allowed, example = "fd00::/8 (RFC 4193), or remove the key to get one derived", ""
        if overlaps(subnet, ULA):
            what = f"{subnet} is in the half of fc00::/7 that is not for local use"
            why = (
                "RFC 4193 keeps fc00::/8 for prefixes that a registry would give out; only"
                " fd00::/8 is for everybody's own."
            )
            example = _as_local(subnet)
    elif overlaps(subnet, IPv4Network("172.0.0.0/8")):
        why = f"Of 172.0.0.0/8 only 172.16.0.0/12 is private. {_NOT_YOURS}"
    like = f", like {example}" if example else ""
    remedy = f"write a subnet of {allowed}{like}; allow_public_subnet: true if it is truly yours"
    report.add((*network.loc, f"subnet_ipv{subnet.version}"), what, why, remedy)
    return False


def _as_local(subnet: Subnet) -> str:
    """Return an fcXX: subnet with fd in place of fc, empty where it is wider than that."""
    if subnet.prefixlen < 8:
        return ""
    moved = int(subnet.network_address) | int(LOCAL_ULA.network_address)
    return f"{ip_address(moved)}/{subnet.prefixlen}"


def _is_private(subnet: Subnet) -> bool:
    if isinstance(subnet, IPv4Network):
        return any(subnet.subnet_of(space) for space in RFC1918)
    return subnet.subnet_of(LOCAL_ULA)


def _ssh_address(host: HostDraft) -> list[IPv4Network]:
    """Return the host's SSH address, so that no bridge takes the way to it."""
    address = ssh_address(host)
    return [IPv4Network(address)] if isinstance(address, IPv4Address) else []


def _gateway(host: HostDraft) -> list[IPv4Network]:
    """Return the host's gateway, for the same reason."""
    gateway_ipv4 = host.spec.wan.gateway_ipv4 if host.spec is not None else None
    return [IPv4Network(gateway_ipv4)] if gateway_ipv4 is not None else []


def ssh_address(host: HostDraft) -> Address | None:
    """Return the address that SSH uses, None where it is a DNS name or not known."""
    try:
        return ip_address(host.spec.ssh.address) if host.spec is not None else None
    except ValueError:
        return None


def _from_pool(
    host: HostDraft,
    network: NetworkDraft,
    pool: IPv4Network,
    taken: list[IPv4Network],
    report: Report,
) -> IPv4Network | None:
    """Return the next free /24 of the pool for `network`; where there is none, report it."""
    if host.spec is None:
        return None
    try:
        subnet = ipv4_subnet(pool, host.spec.name, network.spec.name, taken)
    except PoolExhaustedError:
        what = f"is missing, and wanbound:ipv4_pool ({pool}) has no free /24 for this host any more"
        why = "Networks without subnet_ipv4 take a /24 of the pool each."
        remedy = "write a subnet_ipv4, or a larger wanbound:ipv4_pool"
        if network.public(4) is None:
            why = (
                "Docker gives each network IPv4 inside, and without public_ipv4 it is one of those."
            )
            remedy = "write a larger wanbound:ipv4_pool"
        report.add((*network.loc, "subnet_ipv4"), what, why, remedy)
        return None
    taken.append(subnet)
    return subnet


def _give_sockets(
    draft: StackDraft, host: HostDraft, taken: list[IPv4Network], report: Report
) -> None:
    """Give each load balancer a subnet that it has with its proxy before Docker's socket."""
    pool = draft.spec.socket_pool if draft.spec is not None else None
    if pool is not None and not _is_private(pool):
        remedy = f"write a part of 10.0.0.0/8, like {SOCKET_POOL}, or remove the key"
        report.add(("socket_pool",), f"{pool} is not private space", _NOT_YOURS, remedy)
        return
    for network in host.networks:
        balancer = network.spec.load_balancer
        if host.spec is None or balancer is None or balancer.docker_socket == "direct":
            continue
        try:
            network.socket_subnet = ipv4_subnet(
                pool or SOCKET_POOL,
                host.spec.name,
                f"{network.spec.name}/socket",
                taken,
                _SOCKET_LENGTH,
            )
        except PoolExhaustedError:
            what = f"({pool or SOCKET_POOL}) has no free /{_SOCKET_LENGTH} for this network"
            why = (
                "A load balancer and the proxy before Docker's socket have a network of their own."
            )
            remedy = (
                "write a larger socket_pool that no network's subnet covers, like 10.204.0.0/20"
            )
            report.add(("socket_pool",), what, why, remedy)
            return
        taken.append(network.socket_subnet)


def _give(network: NetworkDraft, version: Version, subnet: Subnet) -> None:
    """Give the network the family that it has a public address for, in `subnet`."""
    public, balancer = network.public(version), network.spec.load_balancer
    if public is None:
        return
    address: Address | None = None
    if balancer is not None:
        address = balancer.of(version) or default_load_balancer(subnet)
    network.families[version] = Family(
        version=version,
        public=public,
        subnet=subnet,
        gateway=gateway(subnet),
        load_balancer=address,
        derived=network.subnet(version) is None,
    )


def host(spec: HostSpec, networks: list[NetworkDraft], images: Images) -> Host:
    """Return the model of a host whose networks all have their families."""
    return Host(
        name=spec.name,
        ssh=_ssh(spec.ssh),
        wan=Wan(**dict(spec.wan)),
        guard=spec.guard,
        baseline=_baseline(spec.baseline) if spec.baseline is not None else None,
        confirm_seconds=spec.confirm_seconds,
        persist=spec.persist,
        adopt=spec.adopt,
        ipv6nat=spec.ipv6nat,
        networks=tuple(_network(draft, images) for draft in networks),
        engine=engine(spec.engine) if spec.engine is not None else None,
    )


def _ssh(spec: SshSpec) -> Ssh:
    jump = Jump(**dict(spec.jump)) if spec.jump is not None else None
    return Ssh(**{**dict(spec), "jump": jump})


def _baseline(spec: BaselineSpec) -> Baseline:
    return Baseline(
        ssh_from=spec.ssh_from,
        open=tuple(Open(protocol=each.protocol, ports=_sorted(each.ports)) for each in spec.open),
    )


def _sorted(ports: tuple[PortRange, ...]) -> tuple[PortRange, ...]:
    return tuple(sorted(ports, key=lambda each: each.first))


def _network(draft: NetworkDraft, images: Images) -> Network:
    spec = draft.spec
    balancer = whoami = None
    if spec.load_balancer is not None:
        balancer = _load_balancer(draft, spec.load_balancer, images)
    if spec.whoami is not None:
        name = whoami_name(spec.name)
        whoami = Whoami(name=name, domain=spec.whoami.domain, image=images.whoami)
    return Network(
        name=spec.name,
        bridge=draft.bridge,
        mode=spec.mode,
        docker_ipv4=spec.public_ipv4 if draft.by_docker else None,
        ipv4=draft.families.get(4),
        ipv6=draft.families.get(6),
        inner_ipv4=draft.inner_ipv4,
        allow_public_subnet=spec.allow_public_subnet,
        manage_addresses=spec.manage_addresses,
        load_balancer=balancer,
        whoami=whoami,
        ingress=tuple(
            Ingress(
                protocol=entry.protocol,
                ports=entry.ports if entry.ports == "all" else _sorted(entry.ports),
                to=entry.to,
                addresses=entry.addresses or (),
            )
            for entry in draft.ingress
        ),
        containers=tuple(_container(container) for container in spec.containers),
    )


def _load_balancer(draft: NetworkDraft, spec: LoadBalancerSpec, images: Images) -> LoadBalancer:
    name = draft.spec.name
    trusted = spec.trusted_ips
    if trusted is None:
        # The recipe's: proxies in the network itself. Plain HTTP stays as it always was.
        subnets = tuple(family.subnet for family in draft.families.values())
        trusted = subnets if spec.acme is not None else ()
    proxied = spec.docker_socket == "proxy"
    dashboard = None
    if spec.dashboard is not None and spec.host_name is not None:
        dashboard = Dashboard(**{**dict(spec.dashboard), "domain": spec.host_name})
    return LoadBalancer(
        name=load_balancer_name(name),
        image=spec.image or images.traefik,
        acme=_acme(name, spec.acme) if spec.acme is not None else None,
        dashboard=dashboard,
        http3=spec.http3,
        trusted_ips=trusted,
        socket_name=socket_proxy(name) if proxied else "",
        socket_image=images.socket_proxy if proxied else None,
        socket_subnet=draft.socket_subnet,
    )


def _acme(network: str, spec: AcmeSpec) -> Acme:
    return Acme(**{**dict(spec), "volume": spec.volume or volume_name(network)})


def _container(spec: ContainerSpec) -> Container:
    return Container(**dict(spec))
