"""The measured networks are planned like any others, and do not overlap foreign ones."""

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import pytest

from bench import scenario
from lab.settings import parse_hosts
from providers.host.resource import HostNetworking

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAvqQqaEStHQNtxWBTUWfaj7zxj3dqVOUPdBPKaqtbNK"
PLACE = scenario.Place("bench-2", "10.93.0.12", HOST_KEY, 2)


def test_names_sort_as_numbers_do() -> None:
    """So the first and last rules belong to the first and last network."""
    names = [scenario.network_name(number) for number in range(1, scenario.LARGEST + 1)]
    assert names == sorted(names)
    assert all(len(name) <= 15 for name in names)


@pytest.mark.parametrize("change", ["none", "one", "all"])
def test_public_addresses_are_of_the_benchmark_alone(change: scenario.Change) -> None:
    """They are from RFC 2544's and RFC 3849's ranges; no two hosts of the lab share one."""
    spaces = []
    for host in parse_hosts("edge-1=bookworm,edge-2=forky,edge-89=forky"):
        place = scenario.Place(host.name, "10.99.0.12", HOST_KEY, host.number)
        four, six = scenario.public_space(place)
        spaces.append((four, six))
        assert four.subnet_of(IPv4Network("198.18.0.0/15"))
        assert six.subnet_of(IPv6Network("2001:db8:1::/48"))
        [settings] = scenario.config(place, scenario.LARGEST, change)["hosts"]
        for network in settings["networks"]:
            assert ip_address(network["public_ipv4"]) in four
            assert ip_address(network["public_ipv6"]) in six
    assert len(set(spaces)) == 3


def test_a_change_is_one_address_of_one_network_or_of_each() -> None:
    """IPv6, subnets and bridges stay the same, so no Docker network is replaced."""
    plans = {
        change: scenario.networking(scenario.config(PLACE, 10, change)).networks
        for change in ("none", "one", "all")
    }
    for before, after, networks in (("none", "one", 1), ("one", "all", 10)):
        changed = [
            (old, new)
            for old, new in zip(plans[before].values(), plans[after].values(), strict=True)
            if old != new
        ]
        assert len(changed) == networks
        for old, new in changed:
            assert (old.bridges, old.subnets) == (new.bridges, new.subnets)
            assert {k for k in old.addresses if old.addresses[k] != new.addresses[k]} == {"ipv4"}


def test_properties_are_those_that_the_component_gives_to_its_resource(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the measurement is what a stack would do."""
    given: dict[str, Any] = {}

    def declared(
        _self: object, _provider: object, _name: str, props: scenario.Props, _opts: object
    ) -> None:
        given.update(props)

    monkeypatch.setattr("pulumi.dynamic.Resource.__init__", declared)
    settings = scenario.config(PLACE, 1)
    props = scenario.props(settings)
    HostNetworking("name", host=props["host"], plan=scenario.networking(settings))
    assert given == props
