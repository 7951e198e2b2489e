"""Derived values that overlap something: one error each, which offers a free value."""

import time
from typing import Any

import pytest

from planner.config import Stack
from planner.errors import ConfigError
from planner.plan import plan
from tests.planner.samples import (
    ABSENT,
    EDGE_2_WEB,
    HOST,
    MAIL,
    WEB,
    Edits,
    edited,
    offers,
    only_problem,
    parsed,
    settled,
)

_SUBNET = "wanbound:hosts[1].networks[0].subnet_ipv4"
_INNER = "wanbound:hosts[1].networks[0].inner_subnet"
_SOCKET = "wanbound:hosts[1].networks[0].load_balancer.socket_subnet"
_ONE_PLACE = ("ipv4_pool", "10.7.1.0/24")
"""A pool of one /24, so that the derived subnet of edge-2's network is known."""
_SIX = (f"{EDGE_2_WEB}.public_ipv4", ABSENT), (f"{EDGE_2_WEB}.public_ipv6", "2001:db8::110")


def _second(**keys: object) -> tuple[str, object]:
    """Return the edit that adds a second network to edge-2."""
    web = {"name": "web", "public_ipv4": "203.0.113.110"}
    other = {"name": "other", "public_ipv4": "203.0.113.120", "load_balancer": False, **keys}
    return "hosts.1.networks", [web, other]


# Edits of the sample, the key of the one error, the overlap, and the offered value.
_CASES: dict[str, tuple[Edits, str, str, str]] = {
    "a derived one": (
        [_ONE_PLACE, _second()],
        "wanbound:hosts[1].networks[1].subnet_ipv4",
        "overlaps 10.7.1.0/24, the subnet of network web",
        "subnet_ipv4: 10.7.2.0/24",
    ),
    "a written one, although it is behind it": (
        [_ONE_PLACE, _second(subnet_ipv4="10.7.1.128/25")],
        _SUBNET,
        "overlaps 10.7.1.128/25, the subnet of network other",
        "subnet_ipv4: 10.7.2.0/24",
    ),
    "a written one that has the whole pool in it": (
        [_ONE_PLACE, _second(subnet_ipv4="10.0.0.0/10")],
        _SUBNET,
        "overlaps 10.0.0.0/10, the subnet of network other",
        "subnet_ipv4: 10.64.0.0/24",
    ),
    "the host's SSH": (
        [_ONE_PLACE, ("hosts.1.ssh.address", "10.7.1.9")],
        _SUBNET,
        "contains 10.7.1.9, the host's ssh.address",
        "subnet_ipv4: 10.7.2.0/24",
    ),
    "the jump host": (
        [_ONE_PLACE, ("hosts.1.ssh.jump", {"address": "10.7.1.9"})],
        _SUBNET,
        "contains 10.7.1.9, the host's ssh.jump.address",
        "subnet_ipv4: 10.7.2.0/24",
    ),
    "the router": (
        [_ONE_PLACE, ("hosts.1.wan.gateway_ipv4", "10.7.1.9")],
        _SUBNET,
        "contains 10.7.1.9, the host's wan.gateway_ipv4",
        "subnet_ipv4: 10.7.2.0/24",
    ),
    "a public address of another host": (
        [_ONE_PLACE, (f"{WEB}.public_ipv4", "10.7.1.9")],
        _SUBNET,
        "contains 10.7.1.9, a public address of network web on host edge-1",
        "subnet_ipv4: 10.7.2.0/24",
    ),
    "what Docker may give to others": (
        [
            _ONE_PLACE,
            (
                "hosts.1.engine.settings",
                {"default-address-pools": [{"base": "10.7.0.0/16", "size": 24}]},
            ),
        ],
        _SUBNET,
        "overlaps 10.7.0.0/16, default-address-pools in the host's engine settings",
        "subnet_ipv4: 10.8.0.0/24",
    ),
    "the echo": (
        [_ONE_PLACE, ("echo", {"ipv4": "http://10.7.1.9/"})],
        _SUBNET,
        "contains 10.7.1.9, wanbound:echo.ipv4",
        "subnet_ipv4: 10.7.2.0/24",
    ),
    "the IPv4 inside a network without public IPv4": (
        [_ONE_PLACE, *_SIX, ("hosts.1.ssh.address", "10.7.1.9")],
        _INNER,
        "contains 10.7.1.9, the host's ssh.address",
        "inner_subnet: 10.7.2.0/24",
    ),
    "a load balancer's subnet in its own network": (
        [_ONE_PLACE, ("socket_pool", "10.7.1.0/24")],
        _SOCKET,
        "overlaps 10.7.1.0/24, the subnet of network web",
        "socket_subnet: 10.7.2.",
    ),
    "a written subnet of a load balancer": (
        [(f"{EDGE_2_WEB}.load_balancer.socket_subnet", "192.0.2.16/29"),
         (f"{EDGE_2_WEB}.allow_public_subnet", True)],
        _SOCKET,
        "192.0.2.16/29 contains 192.0.2.20, the host's ssh.address",
        "socket_subnet: 10.",
    ),
    "an IPv6 subnet": (
        [(f"{MAIL}.subnet_ipv6", ABSENT), (f"{MAIL}.containers", ABSENT),
         (f"{WEB}.subnet_ipv6", "fd94::/16")],
        "wanbound:hosts[0].networks[1].subnet_ipv6",
        "overlaps fd94::/16, the subnet of network web",
        'subnet_ipv6: "fd95::/64"',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("edits", "key", "what", "offer"), _CASES.values(), ids=_CASES)
def test_an_overlap_of_a_subnet_is_one_error(edits: Edits, key: str, what: str, offer: str) -> None:
    """The error names the other side of the overlap; the offered value is accepted at its key."""
    problem = only_problem(*edits)
    assert problem.key == key
    assert what in problem.what
    assert problem.remedy.startswith(f"write {offer}")
    settled(edited(*edits))


def test_the_places_of_an_error() -> None:
    """The error names host and network, as every error does."""
    problem = only_problem(_ONE_PLACE, _second())
    assert problem.where == "host edge-2, network other"
    assert problem.what.startswith("is missing, and the derived subnet 10.7.1.0/24 overlaps ")
    assert "never moved" in problem.why


def test_a_subnet_offered_twice_would_be_no_help() -> None:
    """More networks than the pool has room for: each is offered a different subnet."""
    networks = [
        {"name": f"n{each}", "public_ipv4": f"203.0.113.{each + 120}"} for each in range(40)
    ]
    raw = edited(_ONE_PLACE, ("socket_pool", "10.7.2.0/24"), ("hosts.1.networks", networks))
    with pytest.raises(ConfigError) as caught:
        Stack.parse(raw, "any")
    found = offers(caught.value)
    assert len(found) == len(caught.value.problems) >= 39 + 8
    assert len(set(found.values())) == len(found)
    settled(raw)


def test_all_private_space_in_use() -> None:
    """The error offers no subnet."""
    spaces = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
    networks: list[dict[str, Any]] = [
        {
            "name": f"n{place}",
            "public_ipv4": f"203.0.113.{place + 120}",
            "subnet_ipv4": space,
            "load_balancer": False,
        }
        for place, space in enumerate(spaces)
    ]
    networks.append({**networks[0], "name": "last", "public_ipv4": "203.0.113.129"})
    del networks[-1]["subnet_ipv4"]
    problem = only_problem(("hosts.1.networks", networks))
    assert problem.key == "wanbound:hosts[1].networks[3].subnet_ipv4"
    assert "make the other one smaller" in problem.remedy


def test_two_hundred_networks_beside_a_large_one_take_no_time() -> None:
    """The time is the same if the large network covers half of the pool or all of it."""
    networks: list[dict[str, Any]] = [
        {"name": f"n{i}", "public_ipv4": f"198.51.100.{i}", "public_ipv6": f"2001:db8::{i:x}"}
        for i in range(1, 201)
    ]
    for large in ("10.128.0.0/10", "10.128.0.0/9"):
        host = {"name": "large", "public_ipv4": "198.51.101.1", "subnet_ipv4": large}
        raw = edited((f"{HOST}.networks", [*networks, host]))
        started = time.process_time()
        with pytest.raises(ConfigError) as caught:
            Stack.parse(raw, "any")
        Stack.parse(settled(raw), "any")
        assert time.process_time() - started < 10.0
        assert len(offers(caught.value)) == len(caught.value.problems) > 50


# --- keys for writing down an offered value ------------------------------------------------------


def test_written_values_are_used() -> None:
    """Both subnets may have another size than the default."""
    six = (f"{WEB}.public_ipv4", ABSENT), (f"{WEB}.subnet_ipv4", ABSENT)
    network = parsed(
        *six,
        (f"{WEB}.inner_subnet", "172.20.9.0/25"),
        (f"{WEB}.load_balancer.socket_subnet", "172.20.9.128/28"),
    ).hosts[0].networks[0]  # fmt: skip
    assert str(network.inner_subnet) == "172.20.9.0/25"
    assert network.load_balancer is not None
    assert str(network.load_balancer.socket_subnet) == "172.20.9.128/28"


@pytest.mark.parametrize(
    ("edits", "key", "what", "remedy"),
    [
        (
            [(f"{WEB}.inner_subnet", "172.20.9.0/24")],
            "networks[0].inner_subnet",
            "is set, and so is public_ipv4",
            "write subnet_ipv4 instead",
        ),
        (
            [(f"{WEB}.public_ipv4", ABSENT), (f"{WEB}.subnet_ipv4", ABSENT),
             (f"{WEB}.inner_subnet", "8.8.8.0/24")],
            "networks[0].inner_subnet",
            "8.8.8.0/24 is not private space",
            "allow_public_subnet",
        ),
        (
            [(f"{WEB}.load_balancer.socket_subnet", "8.8.8.0/29")],
            "networks[0].load_balancer.socket_subnet",
            "8.8.8.0/29 is not private space",
            "allow_public_subnet",
        ),
        (
            [(f"{WEB}.load_balancer.socket_subnet", "172.20.9.0/30")],
            "networks[0].load_balancer.socket_subnet",
            "too small",
            "172.20.0.0/24",
        ),
        (
            [(f"{WEB}.load_balancer", {"docker_socket": "direct",
                                       "socket_subnet": "172.20.9.0/29"})],
            "networks[0].load_balancer.socket_subnet",
            "is set with docker_socket: direct",
            "remove it",
        ),
        (
            [(f"{WEB}.load_balancer.socket_subnet", "172.20.1.0/29")],
            "networks[0].load_balancer.socket_subnet",
            "172.20.1.0/29 overlaps 172.20.1.0/24, the subnet of network web",
            "write socket_subnet: 10.",
        ),
    ],
)  # fmt: skip
def test_written_values_that_cannot_be(edits: Edits, key: str, what: str, remedy: str) -> None:
    """Each error is at the key of the value."""
    problem = only_problem(*edits)
    assert problem.key == f"wanbound:hosts[0].{key}"
    assert what in problem.what
    assert remedy in problem.remedy


# --- addresses of containers ---------------------------------------------------------------------


def _containers(*names: str, subnet: str = "172.20.2.0/28", **keys: object) -> Edits:
    four = [(f"{MAIL}.public_ipv6", ABSENT), (f"{MAIL}.subnet_ipv6", ABSENT)]
    found = [{"name": name, "image": "a/b:1"} for name in names]
    return [
        *four,
        (f"{MAIL}.subnet_ipv4", subnet),
        *((f"{MAIL}.{key}", value) for key, value in keys.items()),
        (f"{MAIL}.containers", found),
    ]


def test_containers_at_one_address_are_an_error_each() -> None:
    """A /28 has room for four of the derived addresses; offers come from the whole subnet."""
    raw = edited(*_containers("c0", "c1", "c2", "c3", "c4", "c5", "c6"))
    with pytest.raises(ConfigError) as caught:
        Stack.parse(raw, "any")
    found = offers(caught.value)
    assert len(found) == len(caught.value.problems) >= 3
    assert len(set(found.values())) == len(found)
    problem = caught.value.problems[0]
    assert "is missing, and the derived address 172.20.2." in problem.what
    assert "is the address of container c" in problem.what
    settled(raw)


def test_a_derived_address_gives_way_to_a_written_one() -> None:
    """The order of the containers does not matter."""
    edits = _containers("turn", "worker", subnet="172.20.2.0/24")
    from_name = {c.name: c.ipv4 for c in _planned(edits) if c.name in ("turn", "worker")}
    edits += [(f"{MAIL}.containers.1.ipv4", from_name["turn"])]
    problem = only_problem(*edits)
    assert problem.key == "wanbound:hosts[0].networks[1].containers[0].ipv4"
    assert f"{from_name['turn']} is the address of container worker" in problem.what
    settled(edited(*edits))


def test_the_address_of_whoami_is_its_own() -> None:
    """No written address may be equal to it, because whoami has no key to move it."""
    edits = _containers("turn", subnet="172.20.2.0/24", whoami={"domain": "w.example.com"})
    edits += [(f"{MAIL}.containers.0.ipv4", "172.20.2.252"),
              ("echo", {"ipv4": "http://198.51.100.1/"})]  # fmt: skip
    problem = only_problem(*edits)
    assert problem.what == "172.20.2.252 is the address of whoami"
    assert problem.remedy.endswith("from 172.20.2.2 to 172.20.2.254, like 172.20.2.128")


def _planned(edits: Edits) -> Any:  # noqa: ANN401 - container plans
    return plan(parsed(*edits))[0].networks[1].containers
