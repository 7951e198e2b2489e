"""Derived subnets are stable, do not overlap, and are in the range of their RFC."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.addresses import (
    LOCAL_ULA,
    common_subnet,
    container_address,
    default_load_balancer,
    default_whoami,
    gateway,
    ipv4_subnet,
    last_usable,
    overlaps,
    ula_subnet,
)
from planner.config import schema

POOL = IPv4Network("10.200.0.0/14")


def test_ula_subnet_never_changes() -> None:
    """The text is pinned: another derivation would move every network in use."""
    assert str(ula_subnet("3f1c9a5e77d0", "edge-1", "web")) == "fd77:dcfa:729:f85e::/64"


def test_ula_subnet_is_a_64_in_fd00() -> None:
    """RFC 4193: fd00::/8, then 40 bits of Global ID and 16 of Subnet ID."""
    subnet = ula_subnet("seed", "edge-1", "mail")
    assert subnet.prefixlen == 64
    assert subnet.subnet_of(LOCAL_ULA)


def test_ula_subnets_have_their_own_global_ids() -> None:
    """Another seed, host or network changes the /48, and concatenated parts do not collide."""
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
    """Pinned, because another derivation would move every network in use."""
    assert str(ipv4_subnet(POOL, "edge-1", "web")) == "10.201.136.0/24"
    assert str(ipv4_subnet(POOL, "edge-1", "web", 29)) == "10.202.236.64/29"


@given(st.integers(8, 24), st.integers(0, 5), st.text("ab", max_size=3))
@settings(deadline=None, derandomize=True)
def test_ipv4_subnet_is_one_of_the_pool(prefix: int, longer: int, name: str) -> None:
    """Pool and subnet may have any size, also the same."""
    pool = IPv4Network(f"10.0.0.0/{prefix}")
    subnet = ipv4_subnet(pool, "h", name, prefix + longer)
    assert subnet.prefixlen == prefix + longer
    assert subnet.subnet_of(pool)


def test_subnets_of_a_host_seldom_meet() -> None:
    """20 networks on each of 2,000 hosts: 0.58 % and 0.04 % of them are expected."""
    for pool, length, most in ((schema.POOL, 24, 20), (schema.SOCKET_POOL, 29, 4)):
        met = 0
        for host in range(2000):
            found = {ipv4_subnet(pool, f"edge-{host}", f"n{n}", length) for n in range(20)}
            met += len(found) < 20
        assert met <= most


@pytest.mark.parametrize(
    ("text", "whoami", "first", "last"),
    [
        ("172.20.0.0/24", "172.20.0.252", "172.20.0.128", "172.20.0.251"),
        ("172.20.0.0/23", "172.20.0.252", "172.20.1.0", "172.20.1.251"),
        ("172.20.0.0/28", "172.20.0.12", "172.20.0.8", "172.20.0.11"),
        ("172.20.0.0/29", "172.20.0.4", None, None),
        ("172.20.0.0/30", None, None, None),
        ("fd00:20:10::/64", "fd00:20:10::fffc", "fd00:20:10::8000", "fd00:20:10::fffb"),
        ("fd00:20:10::/120", "fd00:20:10::fc", "fd00:20:10::80", "fd00:20:10::fb"),
        ("fd00:20:10::/126", None, None, None),
    ],
)
def test_derived_addresses_keep_apart(
    text: str, whoami: str | None, first: str | None, last: str | None
) -> None:
    """A container never has the address of whoami or of a load balancer."""
    subnet = ip_network(text)
    assert str(default_whoami(subnet)) == str(whoami)
    found = {container_address(subnet, f"c{number}") for number in range(200)}
    if first is None or last is None:
        assert found == {None}
    else:
        assert all(ip_address(first) <= each <= ip_address(last) for each in found if each)  # type: ignore[operator]  # of one family
        assert None not in found


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
    """The gateway is first, the load balancer at the recipe's place or the nearest to it."""
    network = ip_network(subnet)
    found = gateway(network), default_load_balancer(network), last_usable(network)
    assert tuple(map(str, found)) == (first, balancer, last)


def test_overlaps() -> None:
    """A subnet overlaps those that it contains, not its neighbours and not the other family."""
    wide, inner = IPv4Network("172.20.0.0/16"), IPv4Network("172.20.3.0/24")
    assert overlaps(wide, inner)
    assert overlaps(inner, wide)
    assert not overlaps(inner, IPv4Network("172.20.4.0/24"))
    assert not overlaps(IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


@pytest.mark.parametrize(
    ("subnets", "common"),
    [
        (["172.20.0.0/24"], "172.20.0.0/24"),
        (["172.20.3.0/24", "172.20.0.0/24"], "172.20.0.0/22"),
        (["172.20.0.0/16", "172.20.7.0/24"], "172.20.0.0/16"),
        (["10.0.0.0/24", "192.168.0.0/24"], "0.0.0.0/0"),
        (["fd00::/64", "fdff::/64"], "fd00::/8"),
    ],
)
def test_common_subnet(subnets: list[str], common: str) -> None:
    """The smallest one that has all of them in it."""
    assert str(common_subnet([ip_network(each) for each in subnets])) == common
