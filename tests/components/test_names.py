"""Names of resources are unique, whatever the names of hosts, networks and containers."""

from collections import Counter
from itertools import product
from typing import Any, get_args

import pulumi
from hypothesis import HealthCheck, given, reject, settings

from components.host import Host
from components.names import Kind, resource_name
from planner.config import Stack
from planner.errors import ConfigError
from planner.plan import plan
from tests.components.mocks import Registered, registered
from tests.planner.strategies import Raw, alike, stacks, without_one

_ECHO = {"ipv4": "http://198.51.100.1/", "ipv6": "http://[2001:db8:ffff::1]/"}
_ALIKE: dict[str, list[str]] = {
    "edge": ["1-web", "web", "1-web-1", "network", "a_lb", "image"],
    "edge-1": ["web", "web-1", "1-web", "a_socket", "socket", "volume"],
    "edge-1-web": ["1", "sock", "whoami-a", "container"],
}
"""Networks by host: joined by `-` with the host, or by `_` with a kind, many give one name."""


def _network(place: int, host: str, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "public_ipv4": f"203.0.113.{place}",
        "subnet_ipv4": f"172.20.{place}.0/24",
        "load_balancer": {"acme": {"email": "a@example.com"}},
        "whoami": {"domain": f"{place}.{host}.example.com"},
        "containers": [
            {"name": text, "image": f"{name.lower()}/x:1", "ipv4": f"172.20.{place}.{10 + number}"}
            for number, text in enumerate((f"1-{name}", f"{name}-app", f"{name}_volume"))
        ],
    }


def _stack() -> Stack:
    hosts = []
    place = 0
    for number, (host, names) in enumerate(_ALIKE.items()):
        networks = []
        for name in names:
            place += 1
            networks.append(_network(place, host, name))
        hosts.append(
            {
                "name": host,
                "ssh": {"address": f"192.0.2.{number + 1}"},
                "wan": {"interface": "wan0"},
                "ipv6nat": "container",
                "engine": {"live_restore": True},
                "networks": networks,
            }
        )
    return Stack.parse({"seed": "any", "verify": True, "echo": _ECHO, "hosts": hosts}, "test")


def _registered(stack: Stack) -> list[Registered]:
    """Return all resources, and assert that no two have one name.

    Names differ even for different parents, as if URNs had only type and name.
    """

    def program() -> None:
        for host in plan(stack):
            Host(host, dict[str, pulumi.Output[str]]())

    found = registered(program)
    assert [key for key, count in Counter(each.key for each in found).items() if count > 1] == []
    return found


def test_no_two_resources_have_one_name() -> None:
    """With resources of every kind, none of which has a rule of its own."""
    found = _registered(_stack())
    assert len(found) > 150
    kinds = {each.name.split("/")[1] for each in found if "/" in each.name}
    assert kinds == set(get_args(Kind))
    assert {each.name for each in found if "/" not in each.name} == set(_ALIKE)


@given(alike())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_two_resources_of_any_valid_configuration_have_one_name(raw: Raw) -> None:
    """Any two things may have the same name."""
    try:
        stack = Stack.parse(raw, "test")
    except ConfigError:
        reject()  # tests/planner/test_config_unique_names.py tests these.
    names = [host.name for host in stack.hosts]
    assert {each.name.split("/")[0] for each in _registered(stack)} == set(names)


@given(stacks(max_hosts=2, moded=True))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_a_network_that_goes_changes_no_resource_of_another(raw: Raw) -> None:
    """The other resources keep their names and inputs."""
    whole = _inputs(raw)
    for less, host, network in without_one(raw):
        rest = _inputs(less)
        assert whole | rest == whole
        assert f"Network {host}/network/{network}" in whole.keys() - rest.keys()


def _inputs(raw: Raw) -> dict[str, dict[str, Any]]:
    """Return the inputs of all resources except those of a whole host, by type and name."""
    found = _registered(Stack.parse(raw, "test"))
    return {each.key: each.inputs for each in found if "/" in each.name}


def test_a_name_can_be_read_back() -> None:
    """Host and kind contain no `/`, which is the reason in the docstring."""
    names = ["web", "1-web", "example.com/app/x:1", "image/web", "a::b"]
    made = {
        resource_name(host, kind, name): (host, kind, name)
        for host, kind, name in product(["edge", "edge-1"], get_args(Kind), names)
    }
    assert len(made) == 2 * len(get_args(Kind)) * len(names)
    for text, parts in made.items():
        assert tuple(text.split("/", 2)) == parts
