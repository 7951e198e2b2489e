"""Derived subnets are stable, apart from each other, and where their RFC wants them."""

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.addresses import (
    LOCAL_ULA,
    PoolExhaustedError,
    default_load_balancer,
    gateway,
    ipv4_subnet,
    last_usable,
    overlaps,
    ula_subnet,
)

POOL = IPv4Network("10.200.0.0/14")


def test_ula_subnet_never_changes() -> None:
    """The text is pinned: a change of the derivation would move every network in use."""
    assert str(ula_subnet("3f1c9a5e77d0", "edge-1", "web")) == "fd77:dcfa:729:f85e::/64"


def test_ula_subnet_is_a_64_in_fd00() -> None:
    """RFC 4193: fd00::/8, then 40 bits of Global ID and 16 of Subnet ID."""
    subnet = ula_subnet("seed", "edge-1", "mail")
    assert subnet.prefixlen == 64
    assert subnet.subnet_of(LOCAL_ULA)


def test_ula_subnets_have_their_own_global_ids() -> None:
    """Each of seed, host and network alone changes the /48, and parts do not run together."""
    parts = [
        ("seed", "edge-1", "web"),
        ("seed", "edge-1", "mail"),
        ("seed", "edge-2", "web"),
        ("deed", "edge-1", "web"),
        ("seed", "edge-", "1web"),
        ("seede", "dge-1", "web"),
    ]
    assert len({ula_subnet(*part).supernet(new_prefix=48) for part in parts}) == len(parts)


def test_ipv4_subnet_never_changes() -> None:
    """Pinned for the same reason as the ULA."""
    assert str(ipv4_subnet(POOL, "edge-1", "web", [])) == "10.201.136.0/24"


def _subnets_in(pool: IPv4Network) -> st.SearchStrategy[IPv4Network]:
    first, last = int(pool.network_address) - 4096, int(pool.broadcast_address) + 4096
    return st.builds(
        lambda address, length: IPv4Network((address, length), strict=False),
        st.integers(first, last),
        st.integers(18, 32),
    )


@given(st.lists(_subnets_in(IPv4Network("10.9.0.0/20")), max_size=12), st.text("ab", max_size=3))
@settings(deadline=None, derandomize=True)
def test_ipv4_subnet_is_the_first_free_one_from_its_place(
    taken: list[IPv4Network], name: str
) -> None:
    """Looked for place by place."""
    pool = IPv4Network("10.9.0.0/20")
    places = list(pool.subnets(new_prefix=24))
    start = places.index(ipv4_subnet(pool, "h", name, []))
    free = [
        each
        for each in places[start:] + places[:start]
        if not any(overlaps(each, other) for other in taken)
    ]
    if free:
        assert ipv4_subnet(pool, "h", name, taken) == free[0]
    else:
        with pytest.raises(PoolExhaustedError):
            ipv4_subnet(pool, "h", name, taken)


def test_ipv4_subnet_goes_on_to_the_next_free_24() -> None:
    """What is taken is passed over, however large or small it is, round the end of the pool."""
    first = ipv4_subnet(POOL, "edge-1", "web", [])
    one_address = IPv4Network((int(first.network_address) + 9, 32))
    second = ipv4_subnet(POOL, "edge-1", "web", [one_address])
    assert int(second.network_address) == int(first.network_address) + 256
    small = IPv4Network("10.9.8.0/23")
    both = {ipv4_subnet(small, "h", "n", [taken]) for taken in small.subnets(new_prefix=24)}
    assert both == set(small.subnets(new_prefix=24))
    assert ipv4_subnet(POOL, "edge-1", "web", [IPv4Network("172.16.0.0/12")]) == first


def test_ipv4_subnet_uses_the_whole_pool_and_then_says_so() -> None:
    """Sixteen networks fit a /20; the seventeenth gets an error, not somebody's subnet."""
    pool, taken = IPv4Network("192.168.16.0/20"), list[IPv4Network]()
    for place in range(16):
        taken.append(ipv4_subnet(pool, "edge-1", f"n{place}", taken))
    assert sorted(taken) == list(pool.subnets(new_prefix=24))
    with pytest.raises(PoolExhaustedError, match=r"192\.168\.16\.0/20"):
        ipv4_subnet(pool, "edge-1", "one-more", taken)
    with pytest.raises(PoolExhaustedError):
        ipv4_subnet(pool, "edge-1", "one-more", [IPv4Network("192.168.0.0/16")])


@pytest.mark.parametrize(
    ("subnet", "first", "balancer", "last"),
    [
        ("172.20.0.0/24", "172.20.0.1", "172.20.0.254", "172.20.0.254"),
        ("172.20.0.0/16", "172.20.0.1", "172.20.0.254", "172.20.255.254"),
        ("172.20.0.128/25", "172.20.0.129", "172.20.0.254", "172.20.0.254"),
        ("172.20.0.0/30", "172.20.0.1", "172.20.0.2", "172.20.0.2"),
        (
            "fd00:20:10::/64",
            "fd00:20:10::1",
            "fd00:20:10::fffe",
            "fd00:20:10:0:ffff:ffff:ffff:ffff",
        ),
        ("fd00:20:10::/112", "fd00:20:10::1", "fd00:20:10::fffe", "fd00:20:10::ffff"),
        ("fd00:20:10::/120", "fd00:20:10::1", "fd00:20:10::fe", "fd00:20:10::ff"),
        ("fd00:20:10::/126", "fd00:20:10::1", "fd00:20:10::2", "fd00:20:10::3"),
    ],
)
def test_addresses_of_a_subnet(subnet: str, first: str, balancer: str, last: str) -> None:
    """Gateway first, load balancer at the recipe's place or the nearest to it."""
    network = ip_network(subnet)
    found = gateway(network), default_load_balancer(network), last_usable(network)
    assert tuple(map(str, found)) == (first, balancer, last)


def test_overlaps() -> None:
    """Containment in either direction, neighbours do not, nor do two families."""
    wide, inner = IPv4Network("172.20.0.0/16"), IPv4Network("172.20.3.0/24")
    assert overlaps(wide, inner)
    assert overlaps(inner, wide)
    assert not overlaps(inner, IPv4Network("172.20.4.0/24"))
    assert not overlaps(IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
