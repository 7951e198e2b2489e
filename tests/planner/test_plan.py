"""Whole plans: what holds for every configuration, and what each part becomes."""

import json
from dataclasses import asdict
from ipaddress import ip_address, ip_network
from itertools import combinations
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.addresses import overlaps
from planner.config import Stack
from planner.plan import HostPlan, NetworkPlan, plan
from planner.rule import sections
from tests.planner import golden
from tests.planner.strategies import Raw, stacks

SETTINGS = settings(
    max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def _plan(raw: Raw) -> tuple[HostPlan, ...]:
    return plan(Stack.parse(raw, "any"))


def _words(network: NetworkPlan) -> set[str]:
    return {word.partition("/")[0] for each in network.wanted for word in each.text.split()}


@given(stacks())
@SETTINGS
def test_each_public_address_stands_in_one_network(raw: Raw) -> None:
    """No line of another network, on any host, mentions it."""
    stack = Stack.parse(raw, "any")
    planned = [network for host in plan(stack) for network in host.networks]
    configured = [network for host in stack.hosts for network in host.networks]
    words = [_words(network) for network in planned]
    for network in configured:
        for family in network.families:
            holders = [
                p.name
                for p, found in zip(planned, words, strict=True)
                if str(family.public) in found
            ]
            assert holders == [network.name]


@given(stacks())
@SETTINGS
def test_addresses_are_managed_or_left_alone(raw: Raw) -> None:
    """One line per family on the wan interface; none if the address is the host's own."""
    stack = Stack.parse(raw, "any")
    for host, host_plan in zip(stack.hosts, plan(stack), strict=True):
        wan = host.wan.interface
        for network, planned in zip(host.networks, host_plan.networks, strict=True):
            wanted = {}
            if network.ipv4 is not None:
                wanted["ipv4"] = f"inet {network.ipv4.public}/32 scope host {wan}"
            if network.ipv6 is not None:
                text = f"inet6 {network.ipv6.public}/128 scope global deprecated"
                wanted["ipv6"] = text
            found = sections(planned.wanted)
            assert found.get("addresses", {}) == (wanted if network.manage_addresses else {})
            assert any(section.startswith("chain ") for section in found)
            assert any(section.startswith("map ") for section in found)


@given(stacks(moded=True))
@SETTINGS
def test_every_line_is_one_line_and_has_a_role_of_its_own(raw: Raw) -> None:
    """A line is spelled as the host prints it; of two lines with one role, one would be lost."""
    for host in _plan(raw):
        for wanted in (host.wanted, *(network.wanted for network in host.networks)):
            for lines in sections(wanted).values():
                assert len(set(lines.values())) == len(lines)
                for line in lines.values():
                    assert line.isascii()
                    assert line == " ".join(line.split())


@given(stacks(moded=True))
@SETTINGS
def test_nothing_belongs_to_two_networks(raw: Raw) -> None:
    """A bridge or public address belongs to one network; subnets do not overlap."""
    for host in _plan(raw):
        owns = [network.owns for network in host.networks]
        for part in ("bridges", "addresses"):
            found = [value for each in owns for value in getattr(each, part).values()]
            assert len(set(found)) == len(found)
        subnets = [ip_network(value) for each in owns for value in each.subnets.values()]
        for one, other in combinations(subnets, 2):
            assert not overlaps(one, other)


SUBNETS = "inside-ipv4", "inside-ipv6", "subnet-ipv4", "subnet-ipv6"
ADDRESSES = "arrives-ipv4", "arrives-ipv6", "public-ipv4", "public-ipv6"
"""Maps of the guard, by the kind of their keys."""


@given(stacks(moded=True))
@SETTINGS
def test_a_network_owns_what_its_lines_name(raw: Raw) -> None:
    """A later plan finds conflicts by comparing what each network owns."""
    for host in _plan(raw):
        for network in host.networks:
            lines = sections(network.wanted)
            keys = {
                kind: {line.split()[0].strip('"') for line in lines.get(f"map {kind}", {}).values()}
                for kind in ("source", "from", "to", *SUBNETS, *ADDRESSES)
            }
            bridges, subnets = network.owns.bridges.values(), network.owns.subnets.values()
            assert keys["source"] in ({*bridges}, set())
            assert keys["to"] == keys["source"]
            assert keys["from"] <= keys["to"]
            for kind in SUBNETS:
                assert keys[kind] <= {*subnets}
            for kind in ADDRESSES:
                assert keys[kind] <= {*network.owns.addresses.values()}
            added = {line.split()[1] for line in lines.get("addresses", {}).values()}
            assert {each.partition("/")[0] for each in added} <= {*network.owns.addresses.values()}
            for ipam in network.docker.ipam:
                assert ipam.subnet in subnets
            if network.socket is not None:
                assert {ipam.subnet for ipam in network.socket.docker.ipam} <= {*subnets}


def _shuffled(value: Any, random: Random) -> Any:  # noqa: ANN401 - YAML is anything
    """Return the same configuration with the keys of every mapping in another order."""
    if isinstance(value, dict):
        items = [(key, _shuffled(part, random)) for key, part in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [_shuffled(part, random) for part in value]
    return value


@given(stacks(), st.randoms(use_true_random=False))
@SETTINGS
def test_the_order_of_keys_changes_nothing(raw: Raw, random: Random) -> None:
    """The same configuration always gives the same plan, in whatever order its keys are."""
    once = json.dumps([asdict(host) for host in _plan(raw)], sort_keys=True, default=repr)
    again = json.dumps([asdict(host) for host in _plan(raw)], sort_keys=True, default=repr)
    other = _plan(_shuffled(raw, random))
    assert once == again
    assert once == json.dumps([asdict(host) for host in other], sort_keys=True, default=repr)


@given(stacks())
@SETTINGS
def test_docker_is_told_everything_it_would_choose(raw: Raw) -> None:
    """Subnets and gateways of all families that Docker assigns; a host's subnets do not overlap."""
    for host in _plan(raw):
        subnets = []
        for network in host.networks:
            docker = network.docker
            versions = [ip_network(ipam.subnet).version for ipam in docker.ipam]
            assert versions == ([4, 6] if docker.ipv6 else [4])
            for ipam in docker.ipam:
                assert ip_address(ipam.gateway) in ip_network(ipam.subnet)
                subnets.append(ip_network(ipam.subnet))
            assert docker.options["com.docker.network.bridge.name"] == network.bridge
            assert docker.options["com.docker.network.bridge.enable_ip_masquerade"] == "false"
            # Docker appends a number to the prefix, and the kernel allows 15 characters.
            assert len(docker.options["com.docker.network.container_iface_prefix"]) <= 12
        for one, other in combinations(subnets, 2):
            assert not overlaps(one, other)


@given(stacks())
@SETTINGS
def test_every_container_has_its_own_addresses(raw: Raw) -> None:
    """Per family, it is inside the subnet and different from the gateway and from all others."""
    stack = Stack.parse(raw, "any")
    for host, host_plan in zip(stack.hosts, plan(stack), strict=True):
        for network, planned in zip(host.networks, host_plan.networks, strict=True):
            for family in network.families:
                texts = [c.ipv4 if family.version == 4 else c.ipv6 for c in planned.containers]
                found = [ip_address(text) for text in texts if text is not None]
                assert len(found) == len(planned.containers)
                assert len(set(found)) == len(found)
                assert all(address in family.subnet for address in found)
                assert family.gateway not in found
            names = [container.name for container in planned.containers]
            assert len(set(names)) == len(names)


def test_the_check_asks_for_the_declared_addresses() -> None:
    """A preview shows what the check expects; without `verify` there is no check."""
    raw = golden.config("containers")
    (host,) = _plan(raw)
    assert host.networks[0].check is not None
    assert host.networks[0].check.expected.splitlines() == [
        "ipv4 203.0.113.10 http://198.51.100.1/",
        "ipv6 2001:db8::10 http://[2001:db8:ffff::1]/",
    ]
    (host,) = _plan({**raw, "verify": False})
    assert host.networks[0].check is None


def test_a_secret_is_named_and_not_known() -> None:
    """The planner only has names of secrets, so no value can appear in a plan."""
    raw = golden.config("containers")
    raw["secrets"] = {"DB_PASSWORD": "do-not-print"}
    assert "do-not-print" not in golden.text(_plan(raw))
