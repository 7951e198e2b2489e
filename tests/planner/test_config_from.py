"""Invalid ranges in `from` of an ingress entry; one error each, with its host and network."""

import pytest

from planner.config import Stack
from planner.plan import plan
from tests.planner.samples import EDGE_2_WEB, MAIL, WEB, Edits, only_problem, parsed, problems

_FROM = "wanbound:hosts[0].networks[0].ingress[0].from"
_EDGE_2 = "wanbound:hosts[1].networks[0].ingress[0].from"


def _entry(*ranges: str, **more: object) -> dict[str, object]:
    return {"ports": [5432], "from": list(ranges), **more}


def _web(*entries: dict[str, object]) -> Edits:
    return [(f"{WEB}.ingress", list(entries))]


def _acme(**keys: object) -> tuple[str, object]:
    return f"{WEB}.load_balancer", {"acme": {"email": "bob@example.com", **keys}}


# Edits of the sample, the key of the one error, words of what is wrong, words of the remedy.
_CASES: dict[str, tuple[Edits, str, str, str]] = {
    "empty": (_web(_entry()), _FROM, "lists no range", "remove the key to let in every source"),
    "no range": (_web(_entry("office")), _FROM, "not a range of addresses", "198.51.100.0/24"),
    "host bits": (
        _web(_entry("198.51.100.7/24")),
        _FROM,
        "has host bits set",
        "write 198.51.100.0/24",
    ),
    "a source that no packet has": (
        _web(_entry("127.0.0.0/8")),
        _FROM,
        "is not a range of source addresses",
        "198.51.100.0/24",
    ),
    "one in another": (
        _web(_entry("198.51.100.0/24", "198.51.100.7")),
        _FROM,
        "has 198.51.100.7/32, which lies in 198.51.100.0/24",
        "list 198.51.100.0/24 alone",
    ),
    "twice": (
        _web(_entry("2001:db8:aa::/48", "2001:db8:aa::/48")),
        _FROM,
        "lies in 2001:db8:aa::/48",
        "alone",
    ),
    "a family that the network lacks": (
        [(f"{EDGE_2_WEB}.ingress", [_entry("2001:db8:aa::/48")])],
        _EDGE_2,
        "has 2001:db8:aa::/48, and these ports have no public IPv6 address",
        "add public_ipv6 to the network",
    ),
    "a family that the entry lacks": (
        _web(_entry("2001:db8:aa::/48", addresses=["203.0.113.11"])),
        _FROM,
        "these ports have no public IPv6 address",
        "add an IPv6 address to addresses",
    ),
    "a private subnet": (
        [(f"{MAIL}.ingress", [_entry("172.20.1.0/25", to="turn")])],
        "wanbound:hosts[0].networks[1].ingress[0].from",
        "has 172.20.1.0/25, in 172.20.1.0/24, the subnet of network web",
        "write 203.0.113.10 instead",
    ),
    "two entries for one port": (
        _web(_entry("198.51.100.0/24"), _entry("192.0.2.0/24", ports=["5000-6000"])),
        "wanbound:hosts[0].networks[0].ingress[0].ports",
        "tcp port 5432 is forwarded twice",
        "list 5432 once, with all ranges in its from",
    ),
    "mode masquerade": (
        [*_web(_entry("198.51.100.0/24")), (f"{WEB}.mode", "masquerade")],
        "wanbound:hosts[0].networks[0].ingress",
        "the network's mode is masquerade",
        "or mode: nat",
    ),
    "by its name in Python": (
        _web({"ports": [5432], "sources": ["198.51.100.0/24"]}),
        "wanbound:hosts[0].networks[0].ingress[0].sources",
        "unknown key",
        "protocol, ports, to, addresses, from",
    ),
    "http3 for everybody": (
        [
            _acme(ca_server="https://ca.example.com/dir"),
            (f"{WEB}.load_balancer.http3", True),
            *_web(_entry("198.51.100.0/24", ports=[443])),
        ],
        "wanbound:hosts[0].networks[0].load_balancer.http3",
        "limits TCP port 443 but not UDP port 443",
        "add {protocol: udp, ports: [443], from: …} with the same ranges",
    ),
    "Let's Encrypt is kept out": (
        [_acme(), *_web(_entry("198.51.100.0/24", ports=[443]))],
        "wanbound:hosts[0].networks[0].load_balancer.acme",
        "`from` in ingress limits TCP port 443",
        "challenge: http",
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_one_error_names_key_and_remedy(name: str) -> None:
    """The error also names host and network."""
    edits, key, what, remedy = _CASES[name]
    problem = only_problem(*edits)
    assert problem.key == key
    assert what in problem.what
    assert remedy in problem.remedy
    assert problem.where.startswith("host edge-")
    assert "network " in problem.where


_VALID: dict[str, Edits] = {
    "one range without a list": _web({"ports": [5432], "from": "198.51.100.7"}),
    "one family of two": _web(_entry("2001:db8:aa::/48")),
    "one family of everybody": _web(_entry("0.0.0.0/0", "2001:db8:aa::/48")),
    "wider than a subnet": _web(_entry("172.16.0.0/12")),
    "all TCP": _web(_entry("198.51.100.0/24", ports="all")),
    "the same port of another address": _web(
        _entry("198.51.100.0/24"), {"ports": [5432], "addresses": ["203.0.113.11"]}
    ),
    "a CA of one's own": [
        _acme(ca_server="https://ca.example.com/dir"),
        *_web(_entry("198.51.100.0/24", ports=[443])),
    ],
    "another port is validated": [
        _acme(challenge="http"),
        *_web(_entry("198.51.100.0/24", ports=[443]), {"ports": [80]}),
    ],
    "http3 with ranges": [
        _acme(ca_server="https://ca.example.com/dir"),
        (f"{WEB}.load_balancer.http3", True),
        *_web(
            _entry("198.51.100.0/24", ports=[443]),
            _entry("198.51.100.0/24", ports=[443], protocol="udp"),
        ),
    ],
}


@pytest.mark.parametrize("name", _VALID)
def test_what_is_allowed(name: str) -> None:
    """Each is similar to one that is refused."""
    assert problems(*_VALID[name]) == ()


def _lines(stack: Stack, network: str) -> list[str]:
    (found,) = (each for each in plan(stack)[0].networks if each.name == network)
    return [each.text for each in found.wanted]


def test_ranges_change_no_rule_of_nat_and_nothing_of_other_networks() -> None:
    """An untranslated packet would reach the host's own port."""
    with_from, without = _web(_entry("203.0.113.20")), _web({"ports": [5432]})
    limited, open_ = parsed(*with_from), parsed(*without)
    more = set(_lines(limited, "web")) - set(_lines(open_, "web"))
    assert len(more) == 5
    assert all("ingress-web" in text or " proto-dst 5432" in text for text in more)
    assert set(_lines(open_, "web")) < set(_lines(limited, "web"))
    assert _lines(limited, "mail") == _lines(open_, "mail")


def test_a_range_with_the_bridge_in_it_does_not_let_in_what_docker_masquerades() -> None:
    """Its source is the bridge's address. Only a range for everybody lets it in."""
    drop = "meta l4proto tcp ct original proto-dst 5432 ct reply ip daddr 172.20.1.1 counter drop"
    wide, everybody = parsed(*_web(_entry("172.16.0.0/12"))), parsed(*_web(_entry("0.0.0.0/0")))
    assert f"ct original ip daddr 203.0.113.10 {drop}" in _lines(wide, "web")
    assert not any(drop in text for text in _lines(everybody, "web"))
