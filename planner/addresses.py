"""Addresses that follow from others: private subnets derived by hash, gateways, load balancers."""

import hashlib
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

RFC1918 = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
"""The private IPv4 space (RFC 1918 section 3)."""

ULA = IPv6Network("fc00::/7")
"""Unique local IPv6 addresses (RFC 4193 section 3.1), both halves."""

LOCAL_ULA = IPv6Network("fd00::/8")
"""The half of `ULA` whose Global IDs everybody may choose (RFC 4193: L bit set)."""


class PoolExhaustedError(LookupError):
    """Every subnet of an IPv4 pool overlaps a subnet that is taken."""


def ula_subnet(seed: str, host: str, network: str) -> IPv6Network:
    """Return the /64 of a network that has no written IPv6 subnet.

    RFC 4193 section 3.2.2 builds a prefix from fd00::/8, a pseudo-random 40 bit Global ID and a
    16 bit Subnet ID. Its sample algorithm hashes the time and an EUI-64; here `seed` stands for
    both, so that the same stack gives the same prefix for ever. The 56 bits are the first of a
    SHA-256: each network has a Global ID of its own, thus adding a network never moves another.
    """
    identifier = int.from_bytes(_digest("ipv6", seed, host, network)[:7])
    prefix = int(LOCAL_ULA.network_address) | identifier << 64
    return IPv6Network((prefix, 64))


def ipv4_subnet(
    pool: IPv4Network, host: str, network: str, taken: Iterable[IPv4Network], length: int = 24
) -> IPv4Network:
    """Return a /24 (or one of another `length`) of `pool`, which is as large or larger.

    It overlaps nothing in `taken`.

    The search begins at a place derived from the names and goes up, round the end of the pool:
    a network keeps its subnet as long as nothing before it in `taken` claims the same place.
    Raises PoolExhaustedError when there is none left.
    """
    bits = 32 - length
    base, count = int(pool.network_address) >> bits, 1 << (length - pool.prefixlen)
    start = int.from_bytes(_digest("ipv4", host, network)) % count
    # As ranges and not place by place: one taken subnet may have a million places in it.
    blocked = sorted(
        (
            (int(subnet.network_address) >> bits) - base,
            (int(subnet.broadcast_address) >> bits) - base,
        )
        for subnet in taken
    )
    for place, end in ((start, count), (0, start)):
        for first, last in blocked:
            if first <= place <= last:
                place = last + 1
        if place < end:
            return IPv4Network(((base + place) << bits, length))
    raise PoolExhaustedError(f"no /{length} of {pool} is left for network {network} of host {host}")


def gateway(subnet: IPv4Network | IPv6Network) -> IPv4Address | IPv6Address:
    """Return the first address after the network's own: the bridge's, as Docker would choose."""
    return subnet.network_address + 1


def default_load_balancer(subnet: IPv4Network | IPv6Network) -> IPv4Address | IPv6Address:
    """Return where the load balancer of a subnet is when nobody says otherwise.

    The recipes' .254 and ::fffe; in a subnet too small for that, the last usable IPv4 address and
    the last IPv6 address but one (in a /112 that is ::fffe again).
    """
    offset = 254 if subnet.version == 4 else 0xFFFE
    return subnet.network_address + min(offset, subnet.num_addresses - 2)


def container_address(
    subnet: IPv4Network | IPv6Network, name: str, taken: Iterable[IPv4Address | IPv6Address]
) -> IPv4Address | IPv6Address | None:
    """Return the address of a container that has none written, None where the subnet is too small.

    Docker would count up from the gateway in the order of starting, which is another one each
    time. This one lies in the upper half (of the first 65,536 addresses), where Docker's counting
    comes last, at a place derived from the name, and goes up past what is `taken`: containers
    earlier in the list keep theirs, and a rebuilt host gives every container its old address.
    """
    size = min(subnet.num_addresses, 1 << 16)
    first, count = size // 2, size // 2 - 3
    blocked = {int(address) for address in taken}
    start = int.from_bytes(_digest("container", name)[:8])
    for step in range(count):
        address = subnet.network_address + first + (start + step) % count
        if int(address) not in blocked:
            return address
    return None


def last_usable(subnet: IPv4Network | IPv6Network) -> IPv4Address | IPv6Address:
    """Return the highest address a container can have: IPv4 keeps the last one for broadcasts."""
    return subnet.broadcast_address - (1 if subnet.version == 4 else 0)


def overlaps(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    """Return whether two subnets share an address; those of two families never do."""
    if one.version != other.version:
        return False
    first, last = int(one.network_address), int(one.broadcast_address)
    return first <= int(other.broadcast_address) and int(other.network_address) <= last


def _digest(*parts: str) -> bytes:
    # Each part goes in behind its length: ("ab", "c") and ("a", "bc") must not be the same.
    encoded = [part.encode() for part in parts]
    return hashlib.sha256(b"".join(len(e).to_bytes(4) + e for e in encoded)).digest()
