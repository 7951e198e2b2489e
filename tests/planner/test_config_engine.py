"""`engine` of a host: keys of Docker's daemon.json, checked before Docker sees them."""

from collections.abc import Mapping
from typing import Any

import pytest

from planner.config import Stack
from planner.errors import ConfigError

NETWORK = {
    "name": "mail",
    "public_ipv4": "203.0.113.20",
    "public_ipv6": "2001:db8::20",
    "subnet_ipv4": "172.20.0.0/24",
    "subnet_ipv6": "fd20::/64",
}


def stack(engine: object, mark: int | None = None, **more: object) -> Stack:
    """Return the stack of one host with this engine, and `more` keys of the host."""
    host: dict[str, Any] = {
        "name": "edge-1",
        "ssh": {"address": "192.0.2.10"},
        "wan": {"interface": "wan0"},
        "networks": [NETWORK],
        "engine": engine,
        **more,
    }
    return Stack.parse({"hosts": [host], **({} if mark is None else {"mark": mark})}, "test")


def settings(engine: Mapping[str, object]) -> Mapping[str, object]:
    """Return what goes into daemon.json."""
    found = stack(engine).hosts[0].engine
    assert found is not None
    return found.settings


def refused(engine: object) -> str:
    """Return the text of the only error."""
    with pytest.raises(ConfigError) as caught:
        stack(engine)
    assert len(caught.value.problems) == 1, str(caught.value)
    return str(caught.value)


def test_keys_of_its_own_become_those_of_daemon_json() -> None:
    """They get Docker's names, beside the further keys; keys that are not set stay as they are."""
    assert settings(
        {
            "ipv6": True,
            "fixed_cidr_v6": "fd5c:1::/64",
            "ip6tables": False,
            "live_restore": True,
            "registry_mirrors": ["https://mirror.example.com:5000"],
            "settings": {"log-driver": "json-file", "log-opts": {"max-file": "3"}, "mtu": 1400},
        }
    ) == {
        "ipv6": True,
        "fixed-cidr-v6": "fd5c:1::/64",
        "ip6tables": False,
        "live-restore": True,
        "registry-mirrors": ["https://mirror.example.com:5000"],
        "log-driver": "json-file",
        "log-opts": {"max-file": "3"},
        "mtu": 1400,
    }


NFTABLES = {"firewall_backend": "nftables"}


def test_docker_in_nftables_lets_the_mark_of_the_guard_pass() -> None:
    """One key sets both, with the stack's own bit; with iptables no mark is needed."""
    found = stack(NFTABLES, firewall="nftables").hosts[0].engine
    assert found is not None
    assert found.settings == {
        "firewall-backend": "nftables",
        "bridge-accept-fwmark": "0x2000000/0x2000000",
    }
    found = stack(NFTABLES, mark=0x04000000, firewall="nftables").hosts[0].engine
    assert found is not None
    assert found.settings["bridge-accept-fwmark"] == "0x4000000/0x4000000"
    assert settings({"firewall_backend": "iptables"}) == {"firewall-backend": "iptables"}


CONTRADICTIONS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (NFTABLES, {}, "engine.firewall_backend ", "is nftables, and firewall of the host is iptables"),
    (
        {"install": True},
        {"firewall": "nftables", "persist": "iptables-files"},
        "persist ",
        "is iptables-files, and firewall of the host is nftables",
    ),
    (
        NFTABLES,
        {"firewall": "nftables", "ipv6nat": "container"},
        "ipv6nat ",
        "is container, and engine.firewall_backend is nftables",
    ),
    (
        {**NFTABLES, "settings": {"firewall-backend": "iptables"}},
        {"firewall": "nftables"},
        "engine.settings ",
        "sets another firewall-backend than engine.firewall_backend, nftables",
    ),
    (
        {**NFTABLES, "settings": {"bridge-accept-fwmark": "0x1/0x1"}},
        {"firewall": "nftables"},
        "engine.settings ",
        "sets another bridge-accept-fwmark than 0x2000000/0x2000000",
    ),
    ({"install": True}, {"firewall": "ufw"}, "firewall ", "not one of iptables or nftables"),
    (
        {"firewall_backend": "none"},
        {},
        "engine.firewall_backend ",
        "not one of iptables or nftables",
    ),
]


@pytest.mark.parametrize(("engine", "more", "key", "what"), CONTRADICTIONS)
def test_what_contradicts_itself_about_a_firewall_is_refused(
    engine: dict[str, Any], more: dict[str, Any], key: str, what: str
) -> None:
    """One error each, which names the key and the value to set."""
    with pytest.raises(ConfigError) as caught:
        stack(engine, **more)
    assert len(caught.value.problems) == 1, str(caught.value)
    assert f"wanbound:hosts[0].{key}" in str(caught.value)
    assert what in str(caught.value)


def test_an_engine_that_is_only_to_be_there() -> None:
    """install alone changes no file; restart and install have their defaults."""
    found = stack({"install": True}).hosts[0].engine
    assert found is not None
    assert (found.settings, found.install, found.restart) == ({}, True, True)


def test_a_key_that_only_a_newer_docker_knows_is_passed_on() -> None:
    """Docker itself refuses the keys that it does not know."""
    assert settings({"settings": {"some-new-thing": [1]}}) == {"some-new-thing": [1]}


BAD: list[tuple[object, str, str]] = [
    ({}, "engine (host edge-1)", "sets no key"),
    ([], "engine (host edge-1)", "not a mapping"),
    ({"registry_mirror": []}, "engine.registry_mirror ", "did you mean registry_mirrors"),
    ({"ipv6": "maybe"}, "engine.ipv6 ", "neither true nor false"),
    ({"ipv6": True}, "engine.fixed_cidr_v6 ", "is missing, and ipv6 is true"),
    ({"fixed_cidr_v6": "fd5c::1/64"}, "engine.fixed_cidr_v6 ", "fd5c::/64"),
    ({"settings": {"bridge": "mail"}}, "engine.settings ", "is the bridge of network mail"),
    ({"settings": {"bridge": "mail-sock"}}, "engine.settings ", "is the bridge of network mail"),
    ({"settings": {"bip": "172.20.0.9/24"}}, "engine.settings ", "overlaps 172.20.0.0/24 of"),
    ({"settings": {"bip": "203.0.113.1/24"}}, "engine.settings ", "the public address of network"),
    (
        {"settings": {"default-address-pools": [{"base": "172.20.0.0/16", "size": 24}]}},
        "engine.settings ",
        "has 172.20.0.0/16 for default-address-pools, which overlaps",
    ),
    ({"settings": {"log-opts": "token=hunter2"}}, "engine.settings ", "has text for log-opts"),
    ({"fixed_cidr_v6": "10.0.0.0/24"}, "engine.fixed_cidr_v6 ", "IPv4"),
    ({"fixed_cidr_v6": "fd20::/48"}, "engine.fixed_cidr_v6 ", "the subnet of network mail"),
    (
        {"fixed_cidr_v6": "2001:db8::/64"},
        "engine.fixed_cidr_v6 ",
        "the public address of network mail",
    ),
    ({"registry_mirrors": "https://a"}, "engine.registry_mirrors ", "not a list"),
    (
        {"registry_mirrors": ["mirror.example.com"]},
        "engine.registry_mirrors ",
        "not a registry address",
    ),
    ({"registry_mirrors": ["https://a/v2"]}, "engine.registry_mirrors ", "not a registry address"),
    ({"registry_mirrors": ["https://u:p@a"]}, "engine.registry_mirrors ", "not a registry address"),
    ({"settings": ["debug"]}, "engine.settings ", "not a mapping"),
    ({"settings": {"debug": "yes"}}, "engine.settings ", "neither true nor false"),
    ({"settings": {"mtu": "1400"}}, "engine.settings ", "not a whole number"),
    ({"settings": {"mtu": True}}, "engine.settings ", "not a whole number"),
    ({"settings": {"log-opts": {"max-file": 3}}}, "engine.settings ", "numbers in quotes"),
    ({"settings": {"dns": "9.9.9.9"}}, "engine.settings ", "not a list of text"),
    ({"settings": {"data-root": 1}}, "engine.settings ", "not text"),
    ({"settings": {"runtimes": []}}, "engine.settings ", "not a mapping"),
    ({"settings": {"default-address-pools": ["10.0.0.0/8"]}}, "engine.settings ", "mappings"),
    ({"settings": {"ipv6": True}}, "engine.settings ", "write it as engine.ipv6"),
    ({"settings": {"fixed_cidr_v6": "x"}}, "engine.settings ", "engine.fixed_cidr_v6"),
    ({"settings": {"log_driver": "x"}}, "engine.settings ", "did you mean log-driver"),
    ({"settings": {"insecure-registry": []}}, "engine.settings ", "insecure-registries"),
    ({"settings": {"firewall-backend": "nftables"}}, "engine.settings ", "firewall-backend"),
    ({"settings": {"debug": None}}, "engine.settings.debug ", "has no value"),
    ({"install": "sometimes"}, "engine.install ", "neither true nor false"),
]


@pytest.mark.parametrize(("engine", "key", "what"), BAD)
def test_what_docker_would_refuse_is_refused_before(engine: object, key: str, what: str) -> None:
    """One error each, which names the key and what is wrong, before any host is contacted."""
    said = refused(engine)
    assert f"wanbound:hosts[0].{key}" in said
    assert what in said
    assert "Fix: " in said
