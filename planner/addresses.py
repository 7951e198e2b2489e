"""Derived addresses: private subnets by hash, gateways, load balancers, containers.

A derived value depends only on the seed and on the names of its host, network and container. So it
does not change when other networks or containers are added or removed. This matters because a
network whose subnet changes is recreated with all of its containers. Two derived values may be
equal by chance; the configuration is then refused (config/subnets.py, config/checks.py).
"""

import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

RFC1918 = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
"""The private IPv4 space (RFC 1918 section 3)."""

ULA = IPv6Network("fc00::/7")
"""Unique local IPv6 addresses (RFC 4193 section 3.1), both halves."""

LOCAL_ULA = IPv6Network("fd00::/8")
"""The half of `ULA` for locally chosen Global IDs (RFC 4193: L bit set)."""


def ula_subnet(seed: str, host: str, network: str) -> IPv6Network:
    """Return the /64 of a network that has no written IPv6 subnet.

    RFC 4193 section 3.2.2 builds a prefix from fd00::/8, a pseudo-random 40 bit Global ID and a
    16 bit Subnet ID. Its sample algorithm hashes the time and an EUI-64. Here `seed` replaces
    both, so that the same stack always gives the same prefix. The 56 bits are the first of a
    SHA-256: each network has its own Global ID.
    """
    identifier = int.from_bytes(_digest("ipv6", seed, host, network)[:7])
    prefix = int(LOCAL_ULA.network_address) | identifier << 64
    return IPv6Network((prefix, 64))


def ipv4_subnet(pool: IPv4Network, host: str, network: str, length: int = 24) -> IPv4Network:
    """Return the /24 (or the subnet of another `length`) of `pool` that a hash of the names gives.

    `pool` is as large as the subnet, or larger. Of a pool of N subnets, n networks take n different
    ones with a probability of about 1 - n(n - 1)/2N.
    """
    bits = 32 - length
    place = int.from_bytes(_digest("ipv4", host, network)) % (1 << (length - pool.prefixlen))
    return IPv4Network((int(pool.network_address) + (place << bits), length))


def gateway(subnet: IPv4Network | IPv6Network) -> IPv4Address | IPv6Address:
    """Return the first address after the network's own: the bridge's, as Docker would choose."""
    return subnet.network_address + 1


def default_load_balancer(subnet: IPv4Network | IPv6Network) -> IPv4Address | IPv6Address:
    """Return the default address of the load balancer of a subnet.

    The recipes' .254 and ::fffe; in a subnet too small for that, the last usable IPv4 address and
    the last IPv6 address but one (in a /112 that is ::fffe again).
    """
    offset = 254 if subnet.version == 4 else 0xFFFE
    return subnet.network_address + min(offset, subnet.num_addresses - 2)


def default_whoami(subnet: IPv4Network | IPv6Network) -> IPv4Address | IPv6Address | None:
    """Return where whoami is: .252 or ::fffc, two before the place of the load balancer.

    Between the two is room for a load balancer beside one at the usual place. None in a subnet that
    is too small.
    """
    address = default_load_balancer(subnet) - 2
    return address if int(address) > int(gateway(subnet)) else None


def container_address(
    subnet: IPv4Network | IPv6Network, name: str
) -> IPv4Address | IPv6Address | None:
    """Return the derived address of a container, None if the subnet is too small.

    Docker would count up from the gateway in the order of starting, which differs each time. This
    address is derived from the name, so a rebuilt host gives every container its old address. It is
    in the upper half (of the first 65,536 addresses), which Docker's counting reaches last. It is
    not among the last four addresses, which whoami and the load balancers use.
    """
    half = min(subnet.num_addresses, 1 << 16) // 2
    if half <= 4:
        return None
    place = int.from_bytes(_digest("container", name)[:8]) % (half - 4)
    return subnet.network_address + half + place


def last_usable(subnet: IPv4Network | IPv6Network) -> IPv4Address | IPv6Address:
    """Return the highest address a container can have: IPv4 keeps the last one for broadcasts."""
    return subnet.broadcast_address - (1 if subnet.version == 4 else 0)


def common_subnet(
    subnets: Sequence[IPv4Network | IPv6Network],
) -> IPv4Network | IPv6Network:
    """Return the smallest subnet that has all of these in it; they are of one family."""
    first = min(int(each.network_address) for each in subnets)
    last = max(int(each.broadcast_address) for each in subnets)
    found = subnets[0]
    length = found.max_prefixlen - (first ^ last).bit_length()
    start = first >> (found.max_prefixlen - length) << (found.max_prefixlen - length)
    return type(found)((start, length))


def overlaps(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    """Return whether two subnets share an address; those of two families never do."""
    if one.version != other.version:
        return False
    first, last = int(one.network_address), int(one.broadcast_address)
    return first <= int(other.broadcast_address) and int(other.network_address) <= last


def _digest(*parts: str) -> bytes:
    # Each part is hashed after its length: ("ab", "c") and ("a", "bc") must differ.
    encoded = [part.encode() for part in parts]
    return hashlib.sha256(b"".join(len(e).to_bytes(4) + e for e in encoded)).digest()
