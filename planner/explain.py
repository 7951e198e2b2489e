"""What happens to a connection, derived only from the stack: who answers, or why it fails.

Each answer names the lines that decide it, first to last, as a preview shows them. Conditions that
only the host knows (its other rules and containers, listening programs) are in the answer's notes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal, TypeAlias, TypeVar

from planner import addresses
from planner.base import MARKED
from planner.config import (
    BALANCED,
    LOAD_BALANCER,
    Address,
    Family,
    Firewall,
    Host,
    Network,
    Protocol,
    Stack,
    Subnet,
    Version,
)
from planner.config.names import socket_bridge
from planner.docker import ContainerPlan
from planner.plan import HostPlan, NetworkPlan, plan
from planner.rule import Wanted
from planner.rules import Entrance, at_address, entrances, nft_range

_T = TypeVar("_T")

Verdict: TypeAlias = Literal["container", "host", "dropped", "leaves"]

UNLISTED = "a container that is not in the stack file"
"""In place of the name of a container that compose or a person has started."""


class QuestionError(ValueError):
    """A question that the stack cannot answer."""


@dataclass(frozen=True)
class Line:
    """A line of a host at its `path` in a preview: `networks → web → dnat_ipv4 → ingress tcp`."""

    path: str
    text: str


@dataclass(frozen=True)
class Answer:
    """What happens to a connection on one host.

    A `container` of `network` answers at `address`, or the `host` itself, or the packet is
    `dropped`; `because` says why. If it `leaves` or is answered, `sees` is the caller's address
    as the other side sees it, or nothing where that is the caller's own.
    `caller` is the caller's host, if its address is in networks of several hosts.
    """

    verdict: Verdict
    host: str
    network: str = ""
    container: str = ""
    address: str = ""
    because: str = ""
    sees: str = ""
    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    caller: str = ""


@dataclass(frozen=True)
class Target:
    """A port that is called."""

    address: Address
    port: int
    protocol: Protocol

    def __str__(self) -> str:
        address = f"[{self.address}]" if self.address.version == 6 else self.address
        return f"{address}:{self.port}/{self.protocol}"

    @property
    def version(self) -> Version:
        """The family it is called in."""
        return 6 if self.address.version == 6 else 4


@dataclass(frozen=True)
class _Member:
    """A network with its plan, and how to find its lines."""

    network: Network
    plan: NetworkPlan
    firewall: Firewall

    def dnat(self, name: str, way: Entrance) -> Line:
        """Return the line that translates incoming packets."""
        if self.firewall == "nftables":
            return self.line(f"chain dnat-{self.network.bridge}", f"ingress {name} {way.role}")
        return self.line(f"dnat_{name}", f"ingress {way.role}")

    def snat(self, name: str, role: str) -> Line:
        """Return the line that gives outgoing packets their source."""
        if self.firewall == "nftables":
            return self.line(f"chain snat-{self.network.bridge}", f"{role} {name}")
        return self.line(f"snat_{name}", role)

    def line(self, section: str, role: str) -> Line:
        return _line(self.plan.wanted, f"networks → {self.network.name}", section, role)

    def address_line(self, address: Address) -> tuple[Line, ...]:
        """Return the line that adds a public address; nothing if wanbound does not add it."""
        if not self.network.manage_addresses:
            return ()
        name = f"ipv{address.version}"
        own = str(address) == self.plan.owns.addresses.get(name)
        return (self.line("addresses", name if own else f"{name} {address}"),)

    @property
    def subnets(self) -> Iterator[tuple[Subnet, Address]]:
        """The subnets that the stack knows, each with the address of the bridge."""
        for family in self.network.families:
            yield family.subnet, family.gateway
        if (inner := self.network.inner_subnet) is not None:
            yield inner, addresses.gateway(inner)

    @property
    def lets_in(self) -> bool:
        """Whether some port of its public addresses leads to a container."""
        return bool(self.network.ingress) or self.network.mode == "masquerade"

    def owns(self, address: Address) -> bool:
        """Return whether this is a public address of the network, for either direction."""
        return str(address) in self.plan.owns.addresses.values()

    def has_inside(self, address: Address) -> bool:
        return any(address in subnet for subnet, _ in self.subnets)

    def is_gateway(self, address: Address) -> bool:
        return any(address == gateway for _, gateway in self.subnets)

    def container(self, address: Address) -> str:
        """Return the name of the container that has a private address."""
        found = (
            each.name for each in self.plan.containers if str(address) in (each.ipv4, each.ipv6)
        )
        return next(found, UNLISTED)

    @property
    def in_socket(self) -> Mapping[str, str]:
        """The containers of the network before Docker's socket, by address."""
        socket = self.plan.socket
        plans: tuple[ContainerPlan, ...] = self.plan.containers
        plans += () if socket is None else (socket.proxy,)
        return {each.socket_ipv4: each.name for each in plans if each.socket_ipv4 is not None}

    def has_in_socket(self, address: Address) -> bool:
        balancer = self.network.load_balancer
        return (
            balancer is not None
            and balancer.socket_subnet is not None
            and address in balancer.socket_subnet
        )


@dataclass(frozen=True)
class _Caller:
    """The caller: a container of `member`, the host itself, or a machine outside of the host."""

    address: Address | None
    member: _Member | None = None
    is_host: bool = False


@dataclass(frozen=True)
class _Site:
    """A host with its plan and its networks."""

    host: Host
    plan: HostPlan
    members: tuple[_Member, ...]

    def forward(self, name: str) -> tuple[Line, ...]:
        """Return the rule that accepts marked packets, nothing where Docker itself has it."""
        engine = self.host.engine
        if engine is not None and engine.firewall_backend == "nftables":
            return ()
        return (self.line(f"forward_{name}", MARKED[self.host.firewall]),)

    def line(self, section: str, role: str) -> Line:
        return _line(self.plan.wanted, "own", section, role)

    def member(self, test: Callable[[_Member], bool]) -> _Member | None:
        return next(filter(test, self.members), None)

    def is_own(self, address: Address) -> bool:
        """Return whether the host has this address for itself, as far as the stack says."""
        return str(address) == self.host.ssh.address or any(
            member.is_gateway(address) for member in self.members
        )

    def knows(self, address: Address) -> bool:
        return self.is_own(address) or any(
            member.owns(address) or member.has_inside(address) or member.has_in_socket(address)
            for member in self.members
        )

    def caller(self, source: Address | None) -> _Caller:
        if source is None:
            return _Caller(None)
        member = self.member(lambda each: each.has_inside(source) or each.has_in_socket(source))
        if self.is_own(source):
            return _Caller(source, is_host=True)
        return _Caller(source, member)


def _members(host: Host, planned: HostPlan) -> tuple[_Member, ...]:
    pairs = zip(host.networks, planned.networks, strict=True)
    return tuple(_Member(network, found, host.firewall) for network, found in pairs)


class Explainer:
    """Answers questions about one stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack.name
        self._sites = tuple(
            _Site(host, planned, _members(host, planned))
            for host, planned in zip(stack.hosts, plan(stack), strict=True)
        )

    def arriving(self, target: Target, source: Address | None = None) -> tuple[Answer, ...]:
        """Return who answers at a port, on each host that has the address.

        `source` is the caller's address: a container's private one, the host's own, or any other;
        None for the internet. Two hosts may use one private subnet: then there is an answer for
        each of them. Raises QuestionError.
        """
        if not 1 <= target.port <= 65535:
            raise QuestionError(
                f"{target.port} is not a port\n  Fix: give a number from 1 to 65535"
            )
        if source is not None and source.version != target.address.version:
            raise QuestionError(
                f"{source} cannot call {target.address}: they are of different families\n"
                "  Fix: give two IPv4 addresses, or two IPv6 addresses"
            )
        found = tuple(
            answer
            for site in self._sites
            if site.knows(target.address)
            for answer in self._on(site, target, source)
        )
        if not found:
            raise QuestionError(
                f"{target.address} belongs to no host of stack {self._stack}\n"
                "  Fix: give a public address of a network, an address in one of its subnets, or"
                " the address in a host's ssh.address"
            )
        return found

    def _on(self, here: _Site, target: Target, source: Address | None) -> Iterator[Answer]:
        """Yield what becomes of a connection on a host, for each place where the caller may be."""
        places = [
            (site, member)
            for site in self._sites
            if source is not None
            and (member := site.member(lambda each: each.has_inside(source))) is not None
        ]
        if source is None or here.is_own(source) or not places:
            yield _arriving(here, target, here.caller(source))
            return
        for site, member in places:
            if site is here:
                answer = _arriving(here, target, here.caller(source))
            else:
                answer = _from_elsewhere(site, member, here, target)
            yield replace(answer, caller=site.host.name) if len(places) > 1 else answer

    def leaving(self, host: str, network: str, to: Address) -> Answer:
        """Return how packets of a network's containers to an address leave.

        Raises QuestionError.
        """
        if to.is_loopback or to.is_multicast or to.is_unspecified or to.is_link_local:
            raise QuestionError(
                f"containers send nothing to {to}\n  Fix: give the address of another machine"
            )
        site = _named(
            self._sites, host, lambda each: each.host.name, f"host of stack {self._stack}"
        )
        member = _named(
            site.members, network, lambda each: each.network.name, f"network of host {host}"
        )
        return _leaving(site, member, to)


def _named(items: tuple[_T, ...], name: str, name_of: Callable[[_T], str], kind: str) -> _T:
    for each in items:
        if name_of(each) == name:
            return each
    names = ", ".join(map(name_of, items))
    raise QuestionError(f"{name} is not a {kind}\n  Fix: name one of {names}")


def _line(wanted: tuple[Wanted, ...], path: str, section: str, role: str) -> Line:
    for each in wanted:
        if (each.section, each.role) == (section, role):
            return Line(f"{path} → {section} → {role}", each.text)
    raise LookupError(f"{path} has no line {section} → {role}")


def _from_elsewhere(site: _Site, member: _Member, here: _Site, target: Target) -> Answer:
    """Return who answers a container of another host, which calls with its network's address."""
    public = member.network.public(target.version)
    if public is None:
        return _stopped(site, member, target.version, None)
    answer = _arriving(here, target, _Caller(public))
    return answer if answer.verdict == "dropped" else replace(answer, sees=str(public))


def _arriving(site: _Site, target: Target, caller: _Caller) -> Answer:
    address = target.address
    if (forged := _forged(site, caller)) is not None:
        return forged
    if (member := site.member(lambda each: each.owns(address))) is not None:
        return _at_public(site, member, target, caller)
    if site.is_own(address):
        return _at_host(site, target, caller)
    if (member := site.member(lambda each: each.has_in_socket(address))) is not None:
        return _at_socket(site, member, address, caller)
    if (member := site.member(lambda each: each.has_inside(address))) is not None:
        return _at_private(site, member, target, caller)
    raise LookupError(f"{address} is not on {site.host.name}")


def _forged(site: _Site, caller: _Caller) -> Answer | None:
    """Return why nothing arrives from outside with a public address of this host as source."""
    source = caller.address
    owner = None if source is None else site.member(lambda each: each.owns(source))
    if owner is None or source is None or caller.is_host:
        return None
    name = owner.network.name
    at = "" if source in dict(owner.network.publics).values() else f" at {source}"
    return Answer(
        "dropped",
        site.host.name,
        because=f"{source} is an address of network {name} on this host, so a packet from outside"
        " with this source is forged",
        lines=(owner.line(f"map arrives-ipv{source.version}", f"own{at}"),),
        notes=(f"to ask for a container of {name}, give an address of its subnet",),
    )


def _at_public(site: _Site, member: _Member, target: Target, caller: _Caller) -> Answer:
    network = member.network
    have = member.address_line(target.address)
    for family in network.families:
        for way in entrances(network, family):
            if way.address == target.address and way.leads(target.protocol, target.port):
                return _forwarded(site, member, family, way, target, caller)
    for container in member.plan.containers:
        for port in container.ports:
            if (port.address, port.number) == (str(target.address), target.port) and (
                port.protocol == target.protocol
            ):
                return _published(site, member, container, target, caller)
    answer = _at_host(site, target, caller)
    because = answer.because
    if answer.verdict == "host":
        because = f"network {network.name} forwards no {target.protocol} port {target.port}"
        if network.mode == "snat":
            because = f"network {network.name} forwards nothing (mode snat)"
    notes = answer.notes
    if network.mode == "masquerade":
        notes += ("a port that `docker run -p` publishes there is answered by its container",)
    lines = (*have, *answer.lines)
    return replace(answer, because=because, lines=lines, notes=notes)


_CALLS_ITSELF = (
    "the container calls itself: where br_netfilter is on (Docker up to 27.2 loads it), it gets no"
    ' answer unless daemon.json has `"userland-proxy": false`'
)


_MASQUERADED = (
    "a container of another Docker network of this host is dropped: Docker masquerades it with the"
    " address of the bridge"
)


def _forwarded(
    site: _Site, member: _Member, family: Family, way: Entrance, target: Target, caller: _Caller
) -> Answer:
    """Return what happens to a connection that wanbound translates to a container."""
    name, address = f"ipv{family.version}", target.address
    other = caller.member
    if other is not None and _stops(other, family.version, caller.address):
        return _stopped(site, other, family.version, caller.address)
    seen = _seen(target, caller)
    if _letting_in(way, seen) == ():
        return _kept_out(site, member, way, caller, seen)
    ranges, notes = _ranges(member, family, way, caller, seen)
    translated = (
        *member.address_line(address),
        member.dnat(name, way),
    )
    if way.to == LOAD_BALANCER and target.port not in BALANCED:
        ports = " and ".join(map(str, BALANCED))
        notes += (f"the load balancer listens only on {ports}: it refuses the connection",)
    answer = Answer(
        "container",
        site.host.name,
        member.network.name,
        member.container(way.target),
        str(replace(target, address=way.target)),
        lines=translated,
        notes=notes,
    )
    if caller.is_host:
        return replace(answer, sees=str(address), lines=(*translated, *ranges))
    if other is member and caller.address == way.target and not _reflects(site.host):
        answer = replace(answer, notes=(*notes, _CALLS_ITSELF))
    role = f"ingress {name} {way.to}{at_address(address, family)}"
    lines = (
        *translated,
        member.line(f"chain to-{member.network.bridge}", role),
        *site.forward(name),
    )
    if other is None:
        return replace(answer, lines=(*lines, *ranges))
    snat = other.snat(name, "hairpin" if other is member else "egress")
    public = str(other.network.public(family.version))
    return replace(answer, sees=public, lines=(*lines, snat, *ranges))


def _seen(target: Target, caller: _Caller) -> Address | None:
    """Return the caller's address as a container sees it, None where it is not known."""
    if caller.is_host:
        # It is chosen before the translation: the local address that is called.
        return target.address
    if caller.member is not None:
        return caller.member.network.public(target.version)
    return caller.address


def _letting_in(way: Entrance, seen: Address | None) -> tuple[Subnet, ...] | None:
    """Return the ranges of `from` that a caller is in, all of them for an unknown caller.

    None where every source gets in.
    """
    if way.sources is None:
        return None
    return tuple(each for each in way.sources if seen is None or seen in each)


def _kept_out(
    site: _Site, member: _Member, way: Entrance, caller: _Caller, seen: Address | None
) -> Answer:
    """Return why `from` does not let a caller in."""
    name = f"ipv{way.address.version}"
    because = f"from has no IPv{way.address.version} range"
    if way.sources:
        who = f"{seen}" if seen == caller.address else f"the caller's address there, {seen},"
        because = f"{who} is in no range of from: {', '.join(map(nft_range, way.sources))}"
    chain = f"chain ingress-{member.network.bridge}"
    line = member.line(chain, f"{name} {way.role} from elsewhere")
    return Answer("dropped", site.host.name, because=because, lines=(line,))


def _ranges(
    member: _Member, family: Family, way: Entrance, caller: _Caller, seen: Address | None
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """Return the lines of `from` that let a caller in, and a note for an unknown caller."""
    found = _letting_in(way, seen) or ()
    chain, name = f"chain ingress-{member.network.bridge}", f"ipv{way.address.version}"
    lines = tuple(member.line(chain, f"{name} {way.role} from {nft_range(each)}") for each in found)
    if not found:
        return lines, ()
    if seen is not None:
        unknown = seen.is_private and caller.member is None and not caller.is_host
        return lines, (_MASQUERADED,) if unknown and way.covers(family.gateway) else ()
    return lines, (f"only for {', '.join(map(nft_range, found))}: other sources are dropped",)


def _published(
    site: _Site, member: _Member, container: ContainerPlan, target: Target, caller: _Caller
) -> Answer:
    """Return what happens to a connection that Docker translates to a container (masquerade)."""
    note = "Docker publishes this port; its own rules translate it"
    if caller.member is not None or caller.is_host:
        note += ", and decide whether the host and its networks reach it"
    inside = container.ipv4 if target.version == 4 else container.ipv6
    role = f"ingress ipv{target.version}"
    return Answer(
        "container",
        site.host.name,
        member.network.name,
        container.name,
        "" if inside is None else str(replace(target, address=ip_address(inside))),
        lines=(
            *member.address_line(target.address),
            member.line(f"chain to-{member.network.bridge}", role),
        ),
        notes=(note,),
    )


def _stops(member: _Member, version: Version, source: Address | None) -> bool:
    """Return whether packets that a container sends beyond its bridge are dropped."""
    closed = source is not None and member.has_in_socket(source)
    return closed or member.network.public(version) is None


def _stopped(site: _Site, member: _Member, version: Version, source: Address | None) -> Answer:
    """Return why that is so."""
    name, bridge = member.network.name, member.network.bridge
    because, role = f"network {name} has no public IPv{version} address", f"no ipv{version}"
    if source is not None and member.has_in_socket(source):
        because = f"nothing leaves the network between {name}'s load balancer and Docker's socket"
        bridge, role = socket_bridge(bridge), "out"
    line = member.line(f"chain from-{bridge}", role)
    return Answer("dropped", site.host.name, because=because, lines=(line,))


def _reflects(host: Host) -> bool:
    """Return whether Docker sets a bridge's ports to hairpin mode."""
    return host.engine is not None and host.engine.settings.get("userland-proxy") is False


def _at_host(site: _Site, target: Target, caller: _Caller) -> Answer:
    """Return whether the host itself lets a connection in."""
    host, name = site.host, f"ipv{target.version}"
    answer = Answer(
        "host",
        host.name,
        address=str(target),
        because="it is the host's own address",
        notes=("other rules of the host, such as ufw's, are not known here",),
    )
    baseline = host.baseline
    section = "chain input" if host.firewall == "nftables" else f"input_{name}"
    if baseline is None:
        return answer
    if caller.is_host:
        return replace(answer, lines=(site.line(section, "loopback"),))
    for entry in baseline.open:
        for ports in entry.ports:
            if entry.protocol == target.protocol and target.port in ports:
                line = site.line(section, f"open {entry.protocol} {ports}")
                return replace(answer, lines=(line,))
    ranges = tuple(each for each in baseline.ssh_from if each.version == target.version)
    if (target.protocol, target.port) != ("tcp", host.ssh.port):
        ranges = ()
    if caller.address is not None:
        ranges = tuple(each for each in ranges if caller.address in each)
    if ranges:
        lines = tuple(site.line(section, f"ssh {each}") for each in ranges)
        if caller.address is not None:
            return replace(answer, lines=lines)
        note = f"only for {', '.join(map(str, ranges))}: SSH from elsewhere is dropped"
        return replace(answer, lines=lines, notes=(note, *answer.notes))
    return replace(
        answer,
        verdict="dropped",
        address="",
        because=f"the host's baseline does not open {target.protocol} port {target.port}"
        + ("" if caller.address is None else f" to {caller.address}"),
        lines=(site.line(section, "strangers"),),
        # In nftables a drop is final, even if another table accepts.
        notes=()
        if host.firewall == "nftables"
        else ("another rule in INPUT, before wanbound's, may accept it",),
    )


def _at_socket(site: _Site, member: _Member, address: Address, caller: _Caller) -> Answer:
    """Return who reaches the network between a load balancer and the proxy before Docker."""
    neighbour = caller.address is not None and member.has_in_socket(caller.address)
    if neighbour or caller.is_host:
        container = member.in_socket.get(str(address), UNLISTED)
        name = member.network.name
        return Answer("container", site.host.name, name, container, str(address))
    return Answer(
        "dropped",
        site.host.name,
        because=f"only the load balancer of {member.network.name} reaches the proxy before"
        " Docker's socket",
        lines=(member.line(f"chain to-{socket_bridge(member.network.bridge)}", "in"),),
    )


def _at_private(site: _Site, member: _Member, target: Target, caller: _Caller) -> Answer:
    """Return who reaches the private address of a container."""
    network, source = member.network, caller.address
    chain = f"chain to-{network.bridge}"
    if caller.is_host or (source is not None and member.has_inside(source)):
        lines: tuple[Line, ...] = ()
        if not caller.is_host and network.ipv6 is not None and target.version == 6:
            inside = member.line(f"chain from-{network.bridge}", "inside ipv6")
            lines = (inside, *site.forward("ipv6"))
        container = member.container(target.address)
        return Answer(
            "container", site.host.name, network.name, container, str(target), lines=lines
        )
    return Answer(
        "dropped",
        site.host.name,
        because=f"{target.address} is a private address of network {network.name}, which is"
        " reached only by its public addresses",
        lines=(member.line(chain, "strangers"),),
    )


def _leaving(site: _Site, member: _Member, to: Address) -> Answer:
    network = member.network
    version: Version = 6 if to.version == 6 else 4
    name = f"ipv{version}"
    if member.has_inside(to) and not member.is_gateway(to):
        because = f"{to} is in the network's own subnet"
        return Answer("container", site.host.name, network.name, member.container(to), str(to),
                      because=because)  # fmt: skip
    other = site.member(lambda each: each.owns(to))
    if (other is None and site.is_own(to)) or (other is not None and not other.lets_in):
        return Answer(
            "host", site.host.name, because=f"{to} is an address of the host itself",
        )  # fmt: skip
    beyond = site.member(lambda each: each.has_inside(to) or each.has_in_socket(to))
    if beyond is not None:
        probe = Target(to, 1, "tcp")
        return _arriving(site, probe, _Caller(None, member))
    if _stops(member, version, None):
        return _stopped(site, member, version, None)
    public, bridge = str(network.public(version)), network.bridge
    if other is not None:
        role = "hairpin" if other is member and network.mode == "nat" else "egress"
        return Answer(
            "leaves",
            site.host.name,
            network.name,
            because=f"{to} is an address of network {other.network.name} on this host",
            sees=public,
            lines=(member.snat(name, role),),
            notes=(
                "only where the port is forwarded: any other port is the host's own, and the host"
                " sees the container's private address",
            ),
        )
    return Answer(
        "leaves",
        site.host.name,
        network.name,
        sees=public,
        lines=(
            *member.address_line(ip_address(public)),
            member.line(f"chain from-{bridge}", f"egress {name}"),
            *site.forward(name),
            member.snat(name, "egress"),
            member.line(f"chain egress-{bridge}", name),
        ),
    )
