"""Whether the subnets of a host meet each other, or addresses that must not be in one.

A derived subnet depends on names alone (planner/addresses.py), so it may overlap something else. It
is then refused, and the error offers a free one to write. It is never moved, because a moved
network is recreated with all of its containers.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network

from planner.addresses import LOCAL_ULA, RFC1918
from planner.config.report import Loc, Problems
from planner.config.resolve import Draft, HostDraft, NetworkDraft
from planner.config.schema import Root
from planner.config.types import VERSIONS, Address, Subnet, Version, echo_address

Use = tuple[Subnet, str]
"""A subnet or a single address, and what it is."""


@dataclass(frozen=True)
class _Claim:
    """A subnet of a network: `key` is where it is, or would be, written; `owner` says what has it.

    `pool` is where a free one is looked for first.
    """

    key: Loc
    subnet: Subnet
    owner: str
    derived: bool
    pool: Subnet


class _Taken:
    """Subnets of one family that are in use. Two subnets are nested or disjoint."""

    def __init__(self) -> None:
        self._uses: dict[tuple[int, int], Use] = {}
        self._lengths: set[int] = set()
        self._starts: list[tuple[int, int]] = []

    def add(self, subnet: Subnet, owner: str) -> None:
        """Note that a subnet is in use."""
        start, length = int(subnet.network_address), subnet.prefixlen
        if (start, length) not in self._uses:
            self._uses[start, length] = subnet, owner
            self._lengths.add(length)
            insort(self._starts, (start, length))

    def use(self, subnet: Subnet) -> Use | None:
        """Return something that is in use and overlaps `subnet`, None where it is free."""
        start = int(subnet.network_address)
        for length in self._lengths:
            if length <= subnet.prefixlen:
                bits = subnet.max_prefixlen - length
                if (found := self._uses.get((start >> bits << bits, length))) is not None:
                    return found
        place = bisect_left(self._starts, (start, 0))
        if place < len(self._starts) and self._starts[place][0] <= int(subnet.broadcast_address):
            return self._uses[self._starts[place]]
        return None

    def free(self, space: Subnet, like: Subnet) -> Subnet | None:
        """Return the next free subnet of `space` after the place of `like`, and as large."""
        bits = like.max_prefixlen - like.prefixlen
        base, count = int(space.network_address), space.num_addresses >> bits
        start = (int(like.network_address) >> bits) % count if count else 0
        for place, end in ((start, count), (0, start)):
            while place < end:
                found = type(like)((base + (place << bits), like.prefixlen))
                if (other := self.use(found)) is None:
                    return found
                # Skip all of it: a /9 has 32,768 places.
                place = ((int(other[0].broadcast_address) - base) >> bits) + 1
        return None


def check(draft: Draft) -> Problems:
    """Refuse each derived subnet that meets something, and further written ones that do.

    Written subnets of the networks themselves are checked in checks.py: there the other value is as
    likely to be the wrong one.
    """
    root = draft.root or Root.model_construct()
    publics = list(_publics(draft))
    for host in draft.hosts:
        if host.host is not None:
            yield from _host(host, _elsewhere(host, root, publics), root)


def doors(host: HostDraft) -> Iterator[tuple[str, Address]]:
    """Yield the addresses of an SSH connection to a host, each with its key."""
    if host.host is None:
        return
    ssh = host.host.ssh
    if ssh.ip is not None:
        yield "ssh.address", ssh.ip
    if ssh.jump is not None and ssh.jump.ip is not None:
        yield "ssh.jump.address", ssh.jump.ip


def engine_ranges(host: HostDraft) -> Iterator[tuple[str, Subnet]]:
    """Yield the ranges that the host's daemon.json gives to Docker, each with its key there."""
    engine = None if host.host is None else host.host.engine
    if engine is None:
        return
    found = [(key, engine.settings[key]) for key in _RANGES if key in engine.settings]
    pools = engine.settings.get(POOLS, ())
    found += [(POOLS, pool.get("base")) for pool in pools]
    for key, text in found:
        try:
            yield key, ip_interface(text).network
        except ValueError:
            continue  # Docker itself reports it when it checks the file.


POOLS = "default-address-pools"
_RANGES = ("bip", "bip6", "fixed-cidr", "fixed-cidr-v6")
"""Keys of daemon.json that give docker0 addresses."""


def _host(host: HostDraft, elsewhere: Iterable[Use], root: Root) -> Problems:
    taken: Mapping[int, _Taken] = {version: _Taken() for version in VERSIONS}
    for subnet, owner in elsewhere:
        taken[subnet.version].add(subnet, owner)
    claims: list[_Claim] = []
    names: set[str] = set()
    for network in host.networks:
        for claim in _claims(network, root):
            if not claim.derived and claim.key[-1] in _OWN:
                taken[claim.subnet.version].add(claim.subnet, claim.owner)
            elif network.network.name not in names:
                claims.append(claim)
        # A second network of one name has been reported, and derives the same.
        names.add(network.network.name)
    met: list[tuple[_Claim, Use]] = []
    # Written ones first, so that the error is at the derived one.
    for claim in sorted(claims, key=lambda each: each.derived):
        uses = taken[claim.subnet.version]
        if (other := uses.use(claim.subnet)) is not None:
            met.append((claim, other))
        else:
            uses.add(claim.subnet, claim.owner)
    for claim, other in met:
        yield _problem(claim, other, taken[claim.subnet.version])


def _problem(claim: _Claim, other: Use, taken: _Taken) -> tuple[Loc, str, str, str]:
    """Return the error for a claim. The subnet that it offers is taken from then on."""
    subnet, owner = other
    what = f"{claim.subnet} overlaps {subnet}, {owner}"
    if subnet.prefixlen == subnet.max_prefixlen:
        what = f"{claim.subnet} contains {subnet.network_address}, {owner}"
    why = "Packets to an address can be routed to one place only."
    if claim.derived:
        what = f"is missing, and the derived subnet {what}"
        why += " A derived subnet is never moved: that would recreate the network."
    free = _free(claim, taken)
    if free is None:
        return claim.key, what, why, "make the other one smaller: no private space is free"
    taken.add(free, claim.owner)
    text = f'"{free}"' if free.version == 6 else str(free)
    return claim.key, what, why, f"write {claim.key[-1]}: {text}"


def _free(claim: _Claim, taken: _Taken) -> Subnet | None:
    spaces = RFC1918 if claim.subnet.version == 4 else ()
    for space in (claim.pool, *spaces):
        if (found := taken.free(space, claim.subnet)) is not None:
            return found
    return None


_OWN = ("subnet_ipv4", "subnet_ipv6")


def _claims(draft: NetworkDraft, root: Root) -> Iterator[_Claim]:
    """Yield all subnets of a network, of which each has a key of its own."""
    network, written = draft.network, draft.written
    owner = f"the subnet of network {network.name}"
    pools: dict[Version, Subnet] = {4: root.ipv4_pool, 6: LOCAL_ULA}
    for family in network.families:
        key: Loc = (*draft.loc, f"subnet_ipv{family.version}")
        yield _Claim(key, family.subnet, owner, family.derived, pools[family.version])
    if (inner := network.inner_subnet) is not None:
        key = (*draft.loc, "inner_subnet")
        yield _Claim(key, inner, owner, written.inner_subnet is None, root.ipv4_pool)
    balancer = network.load_balancer
    if balancer is not None and balancer.socket_subnet is not None:
        key = (*draft.loc, "load_balancer", "socket_subnet")
        derived = written.load_balancer is None or written.load_balancer.socket_subnet is None
        owner = f"the subnet between network {network.name}'s load balancer and Docker"
        yield _Claim(key, balancer.socket_subnet, owner, derived, root.socket_pool)


def _elsewhere(host: HostDraft, root: Root, publics: Iterable[Use]) -> Iterator[Use]:
    """Yield everything besides the networks' own subnets that no subnet of a host may meet."""
    if host.host is None:
        return
    for key, door in doors(host):
        yield _single(door), f"the host's {key}"
    for version in VERSIONS:
        if (gateway := host.host.wan.gateway(version)) is not None:
            yield _single(gateway), f"the host's wan.gateway_ipv{version}"
    for key, subnet in engine_ranges(host):
        yield subnet, f"{key} in the host's engine settings"
    for version in VERSIONS:
        url = None if root.echo is None else root.echo.url(version)
        if url is not None and (address := echo_address(url)) is not None:
            yield _single(address), f"wanbound:echo.ipv{version}"
    for server in host.host.dns:
        yield _single(server), "a server in the host's dns"
    for network in (each.written for each in host.networks):
        for server in network.dns:
            yield _single(server), f"a server in dns of network {network.name}"
    yield from publics


def _publics(draft: Draft) -> Iterator[Use]:
    for host, network in draft.networks():
        on = "" if host.host is None else f" on host {host.host.name}"
        found = [address for _, address in network.written.publics]
        found += [each for version in VERSIONS for each in network.network.extras(version)]
        for address in found:
            yield _single(address), f"a public address of network {network.network.name}{on}"


def _single(address: Address) -> Subnet:
    return ip_network(address)
