"""From a raw configuration to complete models: `read` validates pieces, `fill` completes them.

Here subnets, gateways, load balancers, names and images that the operator left out get values. An
invalid piece is reported and left out, so that the checks still see all the others.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address

from planner import addresses
from planner.addresses import LOCAL_ULA, RFC1918, ULA, PoolExhaustedError, ipv4_subnet, overlaps
from planner.config import names
from planner.config.daemonjson import OWN_KEYS
from planner.config.report import Loc, Report, show
from planner.config.schema import (
    POOL,
    SOCKET_POOL,
    Engine,
    Family,
    Host,
    Images,
    Ingress,
    LoadBalancer,
    Network,
    Root,
)
from planner.config.types import Address, PortRange, Subnet, Version

_SOCKET_LENGTH = 29
"""Of the subnet between load balancer and Docker: gateway, proxy and load balancer."""

_NOT_YOURS = (
    "Public space belongs to somebody else: containers could not reach them, and packets with"
    " such a source would look like theirs."
)


@dataclass
class NetworkDraft:
    """A valid entry of `networks`: as it was `written`, and the completed `network`."""

    loc: Loc
    written: Network
    network: Network

    def fill(self, **values: object) -> None:
        """Replace the network by a copy with these values."""
        self.network = self.network.model_copy(update=values)

    def fill_balancer(self, **values: object) -> None:
        """Replace its load balancer, if it has one, by a copy with these values."""
        if (balancer := self.network.load_balancer) is not None:
            self.fill(load_balancer=balancer.model_copy(update=values))


@dataclass
class HostDraft:
    """A host; None where its own keys are not valid. `networks` lacks those that are not."""

    loc: Loc
    host: Host | None
    networks: list[NetworkDraft]


@dataclass
class Draft:
    """A stack; `root` is None where a key beside the hosts is not valid.

    `secrets` has the values by name, None where they could not be read. Errors never quote them.
    """

    root: Root | None
    hosts: list[HostDraft]
    secrets: Mapping[str, object] | None

    def networks(self) -> Iterator[tuple[HostDraft, NetworkDraft]]:
        """Yield every network with its host, in the order of the configuration."""
        for host in self.hosts:
            for network in host.networks:
                yield host, network


def read(raw: object, report: Report) -> Draft:
    """Return all pieces of `raw` that are valid by themselves; the others are in the report."""
    if not isinstance(raw, Mapping):
        report.add((), f"is {show(raw)}, not a mapping", "", "give the stack's configuration")
        return Draft(None, [], None)
    given = raw.get("secrets", {})
    secrets = None
    if isinstance(given, Mapping):
        secrets = {name: value for name, value in given.items() if isinstance(name, str)}
    else:
        remedy = "set each by pulumi config set --secret --path wanbound:secrets.NAME"
        report.add(("secrets",), "is not a mapping of names to secrets", "", remedy)
    # Without secrets: a private key has many lines, which `plain` would refuse.
    plain = report.plain({key: value for key, value in raw.items() if key != "secrets"})
    root = report.model(Root, plain, ())
    hosts = [_host(item, loc, report) for loc, item in _entries(plain, "hosts", ())]
    return Draft(root, hosts, secrets)


def _host(value: object, loc: Loc, report: Report) -> HostDraft:
    host = report.model(Host, value, loc)
    if host is not None and host.engine is not None:
        host = host.model_copy(update={"engine": _engine(host.engine, host)})
    networks = []
    for at, item in _entries(value, "networks", loc):
        if (network := report.model(Network, item, at)) is not None:
            networks.append(NetworkDraft(at, network, network))
    return HostDraft(loc, host, networks)


def _entries(value: object, key: str, loc: Loc) -> Iterator[tuple[Loc, object]]:
    items = value.get(key) if isinstance(value, dict) else None
    for place, item in enumerate(items if isinstance(items, list) else []):
        yield (*loc, key, place), item


def _engine(engine: Engine, host: Host) -> Engine:
    """Return the same with all keys of daemon.json together, in order, by their names there."""
    settings = dict(engine.settings)
    if engine.dns and host.dns:
        settings.setdefault("dns", list(map(str, host.dns)))
    for name, key in OWN_KEYS.items():
        match getattr(engine, key):
            case None:
                pass
            case bool() as value:
                settings[name] = value
            case tuple() as value:
                settings[name] = list(value)
            case value:
                settings[name] = str(value)
    return engine.model_copy(update={"settings": dict(sorted(settings.items()))})


def fill(draft: Draft, report: Report) -> None:
    """Fill in every network in `draft`; where a subnet cannot be had, report it."""
    root = draft.root or Root.model_construct()
    for host, network in draft.networks():
        _complete(network, root.images)
        if not network.written.dns and host.host is not None:
            own = {version for version, _ in network.written.publics}
            network.fill(dns=tuple(each for each in host.host.dns if each.version in own))
    if not _is_private(root.ipv4_pool):
        what = f"{root.ipv4_pool} is not private space"
        remedy = f"write a part of 10.0.0.0/8, like {POOL}"
        report.add(("ipv4_pool",), what, _NOT_YOURS, remedy)
        return
    seedless = _Subnets(draft, root, report).give()
    if seedless and draft.root is not None and root.seed is None:
        what = f"is missing, and network {seedless[0]} has public_ipv6 but no subnet_ipv6"
        why = "An IPv6 subnet that nobody wrote is derived from the seed, so that it never changes."
        remedy = "add seed: with some random text and never change it, or write every subnet_ipv6"
        report.add(("seed",), what, why, remedy)


def _complete(draft: NetworkDraft, images: Images) -> None:
    """Fill in what follows from the network's own keys, and the images."""
    written = draft.written
    balancer, whoami = written.load_balancer, written.whoami
    if written.mode == "snat" and "load_balancer" not in written.model_fields_set:
        balancer = None  # Nothing comes in, and the operator did not ask for one.
    if whoami is not None:
        found = {"name": names.whoami_name(written.name), "image": images.whoami}
        whoami = whoami.model_copy(update=found)
    draft.fill(
        bridge=written.bridge or written.name,
        load_balancer=None if balancer is None else _balancer(written.name, balancer, images),
        whoami=whoami,
        ingress=_ingress(written, balancer),
    )


def _balancer(network: str, balancer: LoadBalancer, images: Images) -> LoadBalancer:
    acme, dashboard = balancer.acme, balancer.dashboard
    if acme is not None:
        acme = acme.model_copy(update={"volume": acme.volume or names.volume_name(network)})
    if dashboard is not None:
        dashboard = dashboard.model_copy(update={"domain": balancer.host_name})
    proxied = balancer.docker_socket == "proxy"
    return balancer.model_copy(
        update={
            "name": names.load_balancer_name(network),
            "image": balancer.image or images.traefik,
            "acme": acme,
            "dashboard": dashboard,
            "socket_name": names.socket_proxy(network) if proxied else "",
            "socket_image": images.socket_proxy if proxied else None,
        }
    )


def _ingress(network: Network, balancer: LoadBalancer | None) -> tuple[Ingress, ...]:
    """Return what is forwarded; without `ingress` all TCP to the load balancer.

    In other modes than nat wanbound forwards nothing. HTTP/3 adds its UDP port where it is not
    listed.
    """
    if network.mode != "nat":
        return ()
    found = network.ingress
    if balancer is not None and "ingress" not in network.model_fields_set:
        found = (Ingress(ports="all"),)
    found += tuple(entry for _, entry in published(network))
    if balancer is not None and balancer.http3:
        listed = {
            address
            for entry in found
            if entry.protocol == "udp" and entry.has(443)
            for address in network.all_entrances(entry)
        }
        missing = tuple(public for _, public in network.publics if public not in listed)
        http3 = Ingress(protocol="udp", ports=(PortRange(443, 443),))
        if len(missing) == len(network.publics):
            found += (http3,)
        elif missing:
            found += (http3.model_copy(update={"addresses": missing}),)
    return found


def published(network: Network) -> Iterator[tuple[int, Ingress]]:
    """Yield the ports of each container as entries of the ingress, with its place in the list."""
    for place, container in enumerate(network.containers):
        for protocol in ("tcp", "udp"):
            ports = tuple(p.ports for p in container.ports if p.protocol == protocol)
            if ports:
                yield place, Ingress(protocol=protocol, ports=ports, to=container.name)


class _Subnets:
    """Gives networks their subnets; a network added at the end does not move the others."""

    def __init__(self, draft: Draft, root: Root, report: Report) -> None:
        self._draft, self._root, self._report = draft, root, report
        self._taken: list[IPv4Network] = []
        """Addresses that no derived subnet of the host may contain."""

    def give(self) -> list[str]:
        """Give each network what it needs; return those that lack a seed to derive IPv6 from."""
        seedless: list[str] = []
        publics = [
            IPv4Network(address)
            for _, network in self._draft.networks()
            for address in (network.written.public_ipv4, *network.network.extras(4))
            if isinstance(address, IPv4Address)
        ]
        for host in self._draft.hosts:
            self._taken = [*publics, *_in_use(host)]
            for network in host.networks:
                for version, public in network.written.publics:
                    subnet = self._subnet(host, network, version)
                    if subnet is not None and self._permitted(network, subnet):
                        family = _family(network.network, version, public, subnet)
                        network.fill(**{f"ipv{version}": family})
                    elif subnet is None and version == 6:
                        seedless.append(network.written.name)
                if [version for version, _ in network.written.publics] == [6]:
                    network.fill(inner_ipv4=self._from_pool(host, network))
                balancer = network.written.load_balancer
                if balancer and balancer.acme and "trusted_ips" not in balancer.model_fields_set:
                    # The recipe's: proxies in the network itself. Plain HTTP trusts nobody.
                    inside = tuple(family.subnet for family in network.network.families)
                    network.fill_balancer(trusted_ips=inside)
            self._sockets(host)
        return seedless

    def _subnet(self, host: HostDraft, network: NetworkDraft, version: Version) -> Subnet | None:
        """Return the subnet of one family, written or derived."""
        written = network.written
        if version == 4 and written.subnet_ipv4 is None:
            return self._from_pool(host, network)
        if version == 6 and written.subnet_ipv6 is None:
            if host.host is None or self._root.seed is None:
                return None
            return addresses.ula_subnet(self._root.seed, host.host.name, written.name)
        return written.subnet(version)

    def _from_pool(self, host: HostDraft, network: NetworkDraft) -> IPv4Network | None:
        """Return the next free /24 of the pool for `network`; where there is none, report it."""
        if host.host is None:
            return None
        pool = self._root.ipv4_pool
        try:
            subnet = ipv4_subnet(pool, host.host.name, network.written.name, self._taken)
        except PoolExhaustedError:
            full = f"wanbound:ipv4_pool ({pool}) has no free /24 for this host any more"
            why = "Networks without subnet_ipv4 take a /24 of the pool each."
            remedy = "write a subnet_ipv4, or a larger wanbound:ipv4_pool"
            if network.written.public_ipv4 is None:
                why = (
                    "Docker gives each network IPv4 inside, and without public_ipv4 it is one of"
                    " those."
                )
                remedy = "write a larger wanbound:ipv4_pool"
            loc = (*network.loc, "subnet_ipv4")
            self._report.add(loc, f"is missing, and {full}", why, remedy)
            return None
        self._taken.append(subnet)
        return subnet

    def _sockets(self, host: HostDraft) -> None:
        """Give each load balancer a subnet that it has with its proxy before Docker's socket."""
        pool = self._root.socket_pool
        if not _is_private(pool):
            remedy = f"write a part of 10.0.0.0/8, like {SOCKET_POOL}, or remove the key"
            self._report.add(("socket_pool",), f"{pool} is not private space", _NOT_YOURS, remedy)
            return
        for draft in host.networks:
            balancer = draft.network.load_balancer
            if host.host is None or balancer is None or balancer.docker_socket == "direct":
                continue
            name = f"{draft.written.name}/socket"
            try:
                subnet = ipv4_subnet(pool, host.host.name, name, self._taken, _SOCKET_LENGTH)
            except PoolExhaustedError:
                self._no_socket(host, pool)
                return
            self._taken.append(subnet)
            draft.fill_balancer(socket_subnet=subnet)

    def _no_socket(self, host: HostDraft, pool: IPv4Network) -> None:
        """Report that no subnet of the pool is left, and what it is that has them."""
        why = "A load balancer and the proxy before Docker's socket have a network of their own."
        others = [*(each for each in self._taken if not each.subnet_of(pool)), self._root.ipv4_pool]
        free = _free(others, max(8, min(16, pool.prefixlen - 1)))
        example = "" if free is None else f", like {free}"
        for network in host.networks:
            subnet = network.network.subnet(4)
            if isinstance(subnet, IPv4Network) and pool.subnet_of(subnet):
                what = f"{subnet} has all of wanbound:socket_pool ({pool}) in it"
                remedy = f"write a smaller subnet, or wanbound:socket_pool outside it{example}"
                self._report.add((*network.loc, "subnet_ipv4"), what, why, remedy)
                return
        known = "?" if host.host is None else host.host.name
        what = f"({pool}) has no free /{_SOCKET_LENGTH} left for host {known}"
        self._report.add(("socket_pool",), what, why, f"write a larger socket_pool{example}")

    def _permitted(self, network: NetworkDraft, subnet: Subnet) -> bool:
        """Return whether a subnet is private or allowed; report it where it is neither."""
        if network.written.allow_public_subnet or _is_private(subnet):
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
                if subnet.prefixlen >= 8:  # fd in place of fc
                    moved = int(subnet.network_address) | int(LOCAL_ULA.network_address)
                    example = f"{ip_address(moved)}/{subnet.prefixlen}"
        elif overlaps(subnet, IPv4Network("172.0.0.0/8")):
            why = f"Of 172.0.0.0/8 only 172.16.0.0/12 is private. {_NOT_YOURS}"
        like = f", like {example}" if example else ""
        remedy = (
            f"write a subnet of {allowed}{like}; allow_public_subnet: true if it is truly yours"
        )
        self._report.add((*network.loc, f"subnet_ipv{subnet.version}"), what, why, remedy)
        return False


def _free(taken: Collection[IPv4Network], length: int) -> IPv4Network | None:
    """Return private space of that length that overlaps nothing of `taken`, None without any."""
    for space in RFC1918:
        if space.prefixlen <= length:
            for found in space.subnets(new_prefix=length):
                if not any(overlaps(found, each) for each in taken):
                    return found
    return None


def _in_use(host: HostDraft) -> Iterator[IPv4Network]:
    """Yield the written subnets of a host, and the addresses that it must still reach."""
    for network in host.networks:
        if isinstance(subnet := network.written.subnet(4), IPv4Network):
            yield subnet
    if host.host is not None:
        jump = host.host.ssh.jump
        for address in (
            host.host.ssh.ip,
            None if jump is None else jump.ip,
            host.host.wan.gateway_ipv4,
        ):
            if isinstance(address, IPv4Address):
                yield IPv4Network(address)


def _family(network: Network, version: Version, public: Address, subnet: Subnet) -> Family:
    balancer = None
    if network.load_balancer is not None:
        written = network.load_balancer.address(version)
        balancer = written or addresses.default_load_balancer(subnet)
    derived = network.subnet(version) is None
    return Family(version, public, subnet, addresses.gateway(subnet), balancer, derived)


def _is_private(subnet: Subnet) -> bool:
    if isinstance(subnet, IPv4Network):
        return any(subnet.subnet_of(space) for space in RFC1918)
    return subnet.subnet_of(LOCAL_ULA)
