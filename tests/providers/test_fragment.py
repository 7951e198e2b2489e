"""The file that a host keeps for a network."""

import json
import re

import pytest

from providers.fragment import SECTIONS, claims, fragment, subnets
from tests.providers.samples import HOSTS, Sample, captured, samples

RULES = {
    "addresses": {
        "wan0 ipv6": "inet6 2001:db8::20/128 scope global deprecated",
        "wan0 ipv4": "inet 203.0.113.20/32 scope global wan0",
    },
    "nat_ipv4": {
        "ingress tcp": "-A WANBOUND-DNAT -d 203.0.113.20/32 -p tcp -j DNAT"
        " --to-destination 172.20.0.254",
        "egress": "-A WANBOUND-SNAT -s 172.20.0.0/24 ! -o br-mail -j SNAT --to-source 203.0.113.20",
    },
    "forward_ipv4": {"strangers": "-A WANBOUND-FORWARD ! -i br-mail -o br-mail -j DROP"},
    "nat_ipv6": {
        "egress": "-A WANBOUND-SNAT -s fd5c::/64 ! -o br-mail -j SNAT --to-source 2001:db8::20"
    },
    "forward_ipv6": {"replies": "-A WANBOUND-FORWARD -o br-mail -j ACCEPT"},
    "guard": {"from bridge": 'add element inet wanbound from { "br-mail" : jump from-br-mail }'},
}

TEXT = """\
# wanbound, network mail: written by `pulumi up`, loaded by `wanbound apply`.
# Changes made here by hand are drift: the next `pulumi up --refresh` undoes them.
claim bridge br-mail
claim subnet 172.20.0.0/24
claim address 203.0.113.20
claim subnet fd5c::/64
claim address 2001:db8::20
address wan0 203.0.113.20/32
address wan0 2001:db8::20/128
ipv4 nat -A WANBOUND-SNAT -s 172.20.0.0/24 ! -o br-mail -j SNAT --to-source 203.0.113.20
ipv4 nat -A WANBOUND-DNAT -d 203.0.113.20/32 -p tcp -j DNAT --to-destination 172.20.0.254
ipv4 filter -A WANBOUND-FORWARD ! -i br-mail -o br-mail -j DROP
ipv6 nat -A WANBOUND-SNAT -s fd5c::/64 ! -o br-mail -j SNAT --to-source 2001:db8::20
ipv6 filter -A WANBOUND-FORWARD -o br-mail -j ACCEPT
guard add element inet wanbound from { "br-mail" : jump from-br-mail }
"""


def test_the_text_is_exactly_this() -> None:
    """Claims first, then each section in the order of its roles' names."""
    assert fragment("mail", "br-mail", RULES) == TEXT


def test_a_network_with_no_rules_still_claims_its_bridge() -> None:
    """Sections that are missing are as good as empty ones."""
    empty: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    assert fragment("mail", "br-mail", {}) == fragment("mail", "br-mail", empty)
    assert fragment("mail", "br-mail", {}).splitlines()[2:] == ["claim bridge br-mail"]


def _all_samples() -> list[Sample]:
    return [sample for host in HOSTS for sample in samples(host).values()]


@pytest.mark.parametrize("sample", _all_samples(), ids=lambda s: f"{s.host} {s.network}")
def test_the_text_does_not_depend_on_the_order_of_keys(sample: Sample) -> None:
    """State keeps maps with sorted keys: the file is the same before and after."""
    rules = json.loads(json.dumps(sample.rules, sort_keys=True))
    assert fragment(sample.network, sample.bridge, rules) == sample.fragment
    backwards = {name: dict(reversed(rules[name].items())) for name in reversed(rules)}
    assert fragment(sample.network, sample.bridge, backwards) == sample.fragment


@pytest.mark.parametrize("sample", _all_samples(), ids=lambda s: f"{s.host} {s.network}")
def test_every_line_is_of_a_kind_that_the_host_script_reads(sample: Sample) -> None:
    """A line of no known kind would be passed over in silence there."""
    kinds = r"(# |claim |address |ipv[46] (nat|filter) -A WANBOUND-|guard add (rule|element) inet )"
    for line in sample.fragment.splitlines():
        assert re.match(kinds, line), line
    assert sum(len(lines) for lines in sample.rules.values()) == sum(
        not line.startswith(("# ", "claim ")) for line in sample.fragment.splitlines()
    )


@pytest.mark.parametrize("host", HOSTS)
def test_a_real_host_keeps_it_to_the_letter(host: str) -> None:
    """What was put there is what it printed."""
    for sample in samples(host).values():
        assert f"== fragment {sample.network}.rules\n{sample.fragment}==" in captured(host)


def test_claims_are_what_no_second_network_may_have() -> None:
    """Bridge, subnets and public addresses; of those the addresses may change later."""
    assert set(claims("br-mail", RULES)) == {
        ("bridge", "br-mail"),
        ("subnet", "172.20.0.0/24"),
        ("subnet", "fd5c::/64"),
        ("address", "203.0.113.20"),
        ("address", "2001:db8::20"),
    }
    assert subnets(RULES) == ["172.20.0.0/24", "fd5c::/64"]


def test_an_address_that_is_the_hosts_own_is_claimed_too() -> None:
    """Also where wanbound does not put it on the interface."""
    rules = {**RULES, "addresses": {}}
    assert ("address", "203.0.113.20") in set(claims("br-mail", rules))
