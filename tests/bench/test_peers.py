"""The peers get our rules in their own parameters."""

import pytest

from bench import floor, peers, scenario
from bench.peers import ansible_rule, pyinfra_rule
from tests.bench.test_scenario import PLACE

EGRESS = "-A X-SNAT -s fd62::/64 ! -o web -j SNAT --to-source 2001:db8::1"
INGRESS = "-A X-DNAT -d 192.0.2.1/32 -p tcp -j DNAT --to-destination 10.0.0.254"
PORT = "-A X-DNAT -d 192.0.2.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.0.254"
HAIRPIN = (
    "-A X-SNAT -s fd62::/64 -o web -m conntrack --ctstate DNAT -j SNAT --to-source 2001:db8::1"
)
FORWARD = "-A X-FORWARD -m mark --mark 0x2000000/0x2000000 -j ACCEPT"


def test_pyinfra_has_a_parameter_for_each_option_and_extras_for_the_others() -> None:
    """A negation is part of the parameter's name."""
    assert pyinfra_rule(EGRESS, "ipv6", "nat") == {
        "chain": "X-SNAT",
        "table": "nat",
        "version": 6,
        "source": "fd62::/64",
        "not_out_interface": "web",
        "jump": "SNAT",
        "to_source": "2001:db8::1",
        "extras": "",
    }
    assert pyinfra_rule(FORWARD, "ipv4", "filter")["extras"] == (
        "-m mark --mark 0x2000000/0x2000000"
    )


def test_pyinfra_is_given_the_match_by_which_it_knows_a_rule_again() -> None:
    """Without it a second run would add the rule again."""
    assert pyinfra_rule(INGRESS, "ipv4", "nat")["extras"] == "-m tcp"
    assert peers.FORMS["pyinfra"](INGRESS) == INGRESS.replace("-p tcp", "-p tcp -m tcp")
    assert pyinfra_rule(PORT, "ipv4", "nat")["extras"] == "-m udp --dport 53"
    assert peers.FORMS["pyinfra"](PORT) == PORT


def test_ansible_has_a_parameter_for_each_option_but_one() -> None:
    """A negation is part of the value; Ansible cannot match a packet's mark."""
    assert ansible_rule(EGRESS, "ipv6", "nat") == {
        "chain": "X-SNAT",
        "table": "nat",
        "ip_version": "ipv6",
        "source": "fd62::/64",
        "out_interface": "!web",
        "jump": "SNAT",
        "to_source": "2001:db8::1",
    }
    hairpin = ansible_rule(HAIRPIN, "ipv6", "nat")
    assert (hairpin["match"], hairpin["ctstate"]) == (["conntrack"], ["DNAT"])
    assert set(ansible_rule(FORWARD, "ipv4", "filter")) == {"chain", "table", "ip_version", "jump"}
    assert peers.FORMS["ansible"](FORWARD) == "-A X-FORWARD -j ACCEPT"


@pytest.mark.parametrize("form", [pyinfra_rule, ansible_rule])
def test_what_a_peer_cannot_say_is_not_left_out_in_silence(form: object) -> None:
    """A rule of a new form raises an error."""
    assert callable(form)
    with pytest.raises(ValueError, match="has no form of"):
        form("-A X-FORWARD ! --frobnicate 7 -j DROP", "ipv4", "filter")


def test_both_get_every_rule_chain_and_jump() -> None:
    """As many as the floor loads."""
    plan = scenario.networking(scenario.config(PLACE, 3))
    text = "".join(floor.load(plan, family) for family in floor.FAMILIES)
    rules = sum(line.startswith("-A ") for line in text.splitlines())
    chains = sum(line.startswith(":") for line in text.splitlines())
    for found in (peers.for_pyinfra(plan), peers.for_ansible(plan)):
        assert (len(found.rules), len(found.chains)) == (rules, chains)
