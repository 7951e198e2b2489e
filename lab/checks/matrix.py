"""The acceptance matrix: everything that must be true of a stack on the lab, as data. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.settings import CLIENT_IPV4, CLIENT_IPV6, HostSpec
from planner.config import Family, Host, Network, Stack, Version
from planner.docker import ContainerPlan
from planner.edge import SOCKET_PORT
from planner.plan import plan

NOTHING = "no answer"
"""Expected, and seen, for a request that must not get through."""

Kind = Literal[
    "egress",
    "whoami egress",
    "ingress",
    "own address",
    "other networks",
    "own private",
    "private",
    "stranger",
    "socket",
    "host source",
    "host access",
    "resolver",
]
"""What a check is about; resolver.py makes those of the resolver, from captures."""


@dataclass(frozen=True)
class Origin:
    """Where a request begins: on a host, in a container of it, or in the internet.

    Without `host` it is the outside client of the lab. A `stranger` is on the wan link and has a
    route to private addresses through `host`.
    """

    host: str = ""
    container: str = ""
    stranger: bool = False


@dataclass(frozen=True)
class Question:
    """One request to `domain`, or one ping, at a literal address; by HTTPS where `tls` is set."""

    origin: Origin
    address: str
    domain: str = ""
    ping: bool = False
    refused: bool = False
    """Whether no answer is expected, so that waiting one second is enough."""
    tls: bool = False
    port: int = 80

    @property
    def family(self) -> Version:
        """The address family of the request."""
        return 6 if ":" in self.address else 4

    @property
    def url(self) -> str:
        """The URL as a browser would use it."""
        if self.tls:
            return f"https://{self.domain}/"
        port = "" if self.port == 80 else f":{self.port}"
        host = f"[{self.address}]" if self.family == 6 else self.address
        return f"http://{host}{port}/"


@dataclass(frozen=True)
class Check:
    """One thing that must be true of `network` (of the host itself if it is empty).

    `field` is the field of whoami's JSON answer that must be `expected`; "" is the whole body.
    """

    kind: Kind
    host: str
    network: str
    family: Version
    about: str
    question: Question
    expected: str
    field: str = ""


@dataclass(frozen=True)
class Result:
    """A check and its result."""

    check: Check
    seen: str

    @property
    def ok(self) -> bool:
        """Whether the result is the expected one."""
        return self.seen == self.check.expected

    def __str__(self) -> str:
        check = self.check
        where = f"{check.host} {check.network}".strip()
        return (
            f"{where}, IPv{check.family}, {check.kind} ({check.about}):"
            f" expected {check.expected}, seen {self.seen}"
        )


@dataclass(frozen=True)
class _Member:
    """One family of one network, with what the checks need of it."""

    host: Host
    network: Network
    family: Family
    containers: Sequence[ContainerPlan]
    socket: str | None
    """Where the proxy to Docker's socket is."""

    @property
    def public(self) -> str:
        return str(self.family.public)

    @property
    def origin(self) -> Origin:
        """The container that asks for the network: whoami, if it has one."""
        best = sorted(self.containers, key=lambda each: each.role != "whoami")
        return Origin(self.host.name, best[0].name)

    def address(self, container: ContainerPlan) -> str | None:
        return container.ipv4 if self.family.version == 4 else container.ipv6

    def asked_by(self, origin: Origin, address: str = "") -> Question:
        """The question to whoami, at the network's public or another address of its balancer."""
        page, balancer = self.network.whoami, self.network.load_balancer
        tls = balancer is not None and balancer.acme is not None
        return Question(origin, address or self.public, page.domain if page else "", tls=tls)


def matrix(stack: Stack) -> tuple[Check, ...]:
    """Return every check of `stack`, whose hosts have the names of the lab's.

    Networks without containers are left out: no container can ask from there.
    """
    members = list(_members(stack))
    return (
        *(check for one in members for check in _of_member(stack, one, members)),
        *(check for host in stack.hosts for check in _of_host(stack, host)),
    )


def _members(stack: Stack) -> Iterator[_Member]:
    for host, planned in zip(stack.hosts, plan(stack), strict=True):
        for network, network_plan in zip(host.networks, planned.networks, strict=True):
            for family in network.families:
                if network_plan.containers:
                    socket = network_plan.socket
                    yield _Member(
                        host,
                        network,
                        family,
                        network_plan.containers,
                        socket.proxy.socket_ipv4 if socket is not None else None,
                    )


def _of_member(stack: Stack, one: _Member, members: Sequence[_Member]) -> Iterator[Check]:
    name, version = one.network.name, one.family.version

    def check(kind: Kind, about: str, question: Question, expected: str, field: str = "") -> Check:
        return Check(kind, one.host.name, name, version, about, question, expected, field)

    yield check("egress", "asks the echo", Question(one.origin, _echo(stack, version)), one.public)
    yield from _missing_families(stack, one)
    if one.network.whoami is not None:
        outside = one.asked_by(Origin())
        client = CLIENT_IPV4 if version == 4 else CLIENT_IPV6
        yield check("ingress", f"{client} asks {one.public}", outside, client, "x-forwarded-for")
        yield check("whoami egress", "whoami's own word", outside, one.public, f"ipv{version}")
        # The host's connection to an address of its own has that address as its source.
        yield check(
            "host access",
            f"{one.host.name} asks {one.public}",
            one.asked_by(Origin(one.host.name)),
            one.public,
            "x-forwarded-for",
        )
        yield from _own_private(one)
    for other in members:
        if other.family.version != version or other.network.whoami is None:
            continue
        same = other.host is one.host and other.network is one.network
        yield check(
            "own address" if same else "other networks",
            f"{name} of {one.host.name} asks {other.public}",
            other.asked_by(one.origin),
            one.public,
            "x-forwarded-for",
        )
    yield from _of_socket(one, members)
    for other in members:
        if other.host is not one.host or other.family.version != version:
            continue
        for container in other.containers:
            if (address := other.address(container)) is None:
                continue
            if other.network is not one.network:
                for ping in (False, True):
                    how = "pings" if ping else "asks"
                    question = Question(one.origin, address, ping=ping, refused=True)
                    yield check("private", f"{how} {address}", question, NOTHING)
            else:
                stranger = Origin(one.host.name, stranger=True)
                question = Question(stranger, address, refused=True)
                yield check("stranger", f"a neighbour asks {address}", question, NOTHING)


def _of_socket(one: _Member, members: Sequence[_Member]) -> Iterator[Check]:
    """Check that only the load balancer reaches the proxy to Docker's socket."""
    if one.socket is None or one.family.version != 4:
        return
    neighbours = [other.origin for other in members if other.host is one.host]
    for origin in dict.fromkeys([*neighbours, Origin(one.host.name, stranger=True)]):
        question = Question(origin, one.socket, refused=True, port=SOCKET_PORT)
        about = f"{origin.container or 'a neighbour'} asks {one.socket}"
        yield Check("socket", one.host.name, one.network.name, 4, about, question, NOTHING)


def _own_private(one: _Member) -> Iterator[Check]:
    """Check that the addresses that others must not reach do answer their own network."""
    asking = next((each for each in one.containers if each.name == one.origin.container), None)
    private = one.family.load_balancer
    if asking is None or private is None or (source := one.address(asking)) is None:
        return
    yield Check(
        "own private",
        one.host.name,
        one.network.name,
        one.family.version,
        f"asks {private}",
        one.asked_by(one.origin, str(private)),
        source,
        "x-forwarded-for",
    )


def _missing_families(stack: Stack, one: _Member) -> Iterator[Check]:
    """Check that a network gets no packet out in a family that it does not have."""
    version: Version = 6 if one.family.version == 4 else 4
    if any(family.version == version for family in one.network.families):
        return
    yield Check(
        "egress",
        one.host.name,
        one.network.name,
        version,
        "has no address of this family",
        Question(one.origin, _echo(stack, version), refused=True),
        NOTHING,
    )


def _of_host(stack: Stack, host: Host) -> Iterator[Check]:
    spec = HostSpec(host.name, suite="")
    families: tuple[Version, Version] = (4, 6)
    for family in families:
        yield Check(
            "host source",
            host.name,
            "",
            family,
            "the host itself asks the echo",
            Question(Origin(host.name), _echo(stack, family)),
            spec.wan_ipv4 if family == 4 else spec.wan_ipv6,
        )


def _echo(stack: Stack, version: Version) -> str:
    url = stack.echo.url(version) if stack.echo is not None else None
    if url is None:
        raise ValueError(f"stack {stack.name} has no IPv{version} echo service to ask")
    return url.removeprefix("http://").rstrip("/").strip("[]")
