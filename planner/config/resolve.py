"""From a raw configuration to complete models: `read` validates pieces, `fill` completes them.

Here subnets, gateways, load balancers, names and images that the operator left out get values. An
invalid piece is reported and left out, so that the checks still see all the others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address

from planner import addresses
from planner.addresses import LOCAL_ULA, RFC1918, ULA, ipv4_subnet, overlaps
from planner.config import names
from planner.config.daemonjson import ACCEPT_MARK, OWN_KEYS, fwmark
from planner.config.report import Loc, Report, show
from planner.config.schema import (
    MARK,
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
from planner.config.types import (
    LOAD_BALANCER,
    SET_COMMAND,
    Address,
    PortRange,
    Subnet,
    Version,
)

SOCKET_LENGTH = 29
"""Of the subnet between load balancer and Docker: gateway, proxy and load balancer."""

_NOT_YOURS = (
    "Public addresses belong to other machines: containers could not reach those, and packets"
    " with such a source would look like theirs."
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
    mark: int = MARK

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
        for name, value in secrets.items():
            _secret(name, value, report)
    else:
        remedy = f"set each: {SET_COMMAND}"
        report.add(("secrets",), "is not a mapping of names to secrets", "", remedy)
    # Without secrets: a private key has many lines, which `plain` would refuse.
    plain = report.plain({key: value for key, value in raw.items() if key != "secrets"})
    root = report.model(Root, plain, ())
    mark = MARK if root is None else root.mark
    hosts = [_host(item, loc, mark, report) for loc, item in _entries(plain, "hosts", ())]
    return Draft(root, hosts, secrets, mark)


def _secret(name: str, value: object, report: Report) -> None:
    """Report a secret that is no text. It is not shown: a part of it may be secret."""
    if isinstance(value, str | int | float) or (
        # Encrypted: without a passphrase its text is not known.
        isinstance(value, Mapping) and value.keys() == {"secure"}
    ):
        return
    why = "Whoever refers to it would get another text."
    if isinstance(value, Mapping):
        why = "With --path, a dot in a name without quotes begins a level of its own."
    what = "has no value" if value is None else "is not text"
    report.add(("secrets", name), what, why, f"set it: {SET_COMMAND}")


def _host(value: object, loc: Loc, mark: int, report: Report) -> HostDraft:
    host = report.model(Host, value, loc)
    if host is not None and host.engine is not None:
        host = host.model_copy(update={"engine": _engine(host.engine, host, mark)})
    networks = []
    for at, item in _entries(value, "networks", loc):
        if (network := report.model(Network, item, at)) is not None:
            networks.append(NetworkDraft(at, network, network))
    return HostDraft(loc, host, networks)


def _entries(value: object, key: str, loc: Loc) -> Iterator[tuple[Loc, object]]:
    items = value.get(key) if isinstance(value, dict) else None
    for place, item in enumerate(items if isinstance(items, list) else []):
        yield (*loc, key, place), item


def _engine(engine: Engine, host: Host, mark: int) -> Engine:
    """Return the same with all keys of daemon.json together, in order, by their names there."""
    settings = dict(engine.settings)
    if engine.dns and host.dns:
        settings.setdefault("dns", list(map(str, host.dns)))
    if engine.firewall_backend is not None:
        settings.setdefault("firewall-backend", engine.firewall_backend)
    if engine.firewall_backend == "nftables":
        # Docker's nftables chains have no place for our accept. Docker accepts this mark instead.
        settings.setdefault(ACCEPT_MARK, fwmark(mark))
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
    """Fill in every network in `draft`; report a subnet or pool that is not private."""
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
        why = "An IPv6 subnet that is not in the file is derived from the seed and never changes."
        remedy = "add wanbound:seed: with some random text, and never change it"
        remedy += ", or write every subnet_ipv6"
        report.add(("seed",), what, why, remedy)


def _complete(draft: NetworkDraft, images: Images) -> None:
    """Fill in what follows from the network's own keys, and the images."""
    written = draft.written
    balancer, whoami = written.load_balancer, written.whoami
    if written.mode == "snat" and "load_balancer" not in written.model_fields_set:
        balancer = None  # No traffic comes in, and no load balancer is written.
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
        listed = {address for address, _ in network.forwarding(found, "udp", 443)}
        # HTTP/3 is asked for where HTTPS has answered.
        to_balancer = [entry for entry in found if entry.to == LOAD_BALANCER]
        served = dict.fromkeys(each for each, _ in network.forwarding(to_balancer, "tcp", 443))
        missing = tuple(address for address in served if address not in listed)
        http3 = Ingress(protocol="udp", ports=(PortRange(443, 443),))
        if set(missing) == {public for _, public in network.publics}:
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
    """Gives networks their subnets. Whether these meet something else is checked in subnets.py."""

    def __init__(self, draft: Draft, root: Root, report: Report) -> None:
        self._draft, self._root, self._report = draft, root, report

    def give(self) -> list[str]:
        """Give each network what it needs; return those that lack a seed to derive IPv6 from."""
        seedless: list[str] = []
        for host, network in self._draft.networks():
            for version, public in network.written.publics:
                subnet = self._subnet(host, network, version)
                key = f"subnet_ipv{version}"
                if subnet is not None and self._permitted(network, subnet, (key,)):
                    family = _family(network.network, version, public, subnet)
                    network.fill(**{f"ipv{version}": family})
                elif subnet is None and version == 6:
                    seedless.append(network.written.name)
            if [version for version, _ in network.written.publics] == [6]:
                self._inner(host, network)
            balancer = network.written.load_balancer
            if balancer and balancer.acme and "trusted_ips" not in balancer.model_fields_set:
                # As in the recipe: proxies in the network itself. Plain HTTP trusts no source.
                inside = tuple(family.subnet for family in network.network.families)
                network.fill_balancer(trusted_ips=inside)
        self._sockets()
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
        if host.host is None:
            return None
        return ipv4_subnet(self._root.ipv4_pool, host.host.name, network.written.name)

    def _inner(self, host: HostDraft, network: NetworkDraft) -> None:
        """Give a network without public IPv4 the IPv4 subnet that Docker wants for it."""
        written = network.written.inner_subnet
        if written is None:
            network.fill(inner_subnet=self._from_pool(host, network))
        elif not self._permitted(network, written, ("inner_subnet",)):
            network.fill(inner_subnet=None)

    def _sockets(self) -> None:
        """Give each load balancer a subnet that it has with its proxy before Docker's socket."""
        pool = self._root.socket_pool
        if not _is_private(pool):
            remedy = f"write a part of 10.0.0.0/8, like {SOCKET_POOL}, or remove the key"
            self._report.add(("socket_pool",), f"{pool} is not private space", _NOT_YOURS, remedy)
            return
        for host, draft in self._draft.networks():
            balancer = draft.network.load_balancer
            if host.host is None or balancer is None or balancer.docker_socket == "direct":
                continue
            subnet = balancer.socket_subnet
            if subnet is None:
                name = f"{draft.written.name}/socket"
                subnet = ipv4_subnet(pool, host.host.name, name, SOCKET_LENGTH)
            elif not self._permitted(draft, subnet, ("load_balancer", "socket_subnet")):
                subnet = None
            draft.fill_balancer(socket_subnet=subnet)

    def _permitted(self, network: NetworkDraft, subnet: Subnet, key: Loc) -> bool:
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
                    "RFC 4193 keeps fc00::/8 for prefixes that a registry would assign; only"
                    " fd00::/8 is free for local use."
                )
                if subnet.prefixlen >= 8:  # fd in place of fc
                    moved = int(subnet.network_address) | int(LOCAL_ULA.network_address)
                    example = f"{ip_address(moved)}/{subnet.prefixlen}"
        elif overlaps(subnet, IPv4Network("172.0.0.0/8")):
            why = f"Of 172.0.0.0/8 only 172.16.0.0/12 is private. {_NOT_YOURS}"
        like = f", like {example}" if example else ""
        remedy = (
            f"write a subnet of {allowed}{like}; allow_public_subnet: true if it belongs to you"
        )
        self._report.add((*network.loc, *key), what, why, remedy)
        return False


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
