"""Which rule comes first, in both possible orders of docker-ipv6nat's jumps."""

import pytest

from tests.lab.ipv6nat.order import first_rule, first_verdict

_ISOLATION = """\
-A DOCKER-ISOLATION-STAGE-1 -i web ! -o web -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o web -j DROP
"""
_OURS, _USER = "-A FORWARD -j WANBOUND-FORWARD\n", "-A FORWARD -j DOCKER-USER\n"
_STAGE_1 = "-A FORWARD -j DOCKER-ISOLATION-STAGE-1\n"
_IN_USER = "-A DOCKER-USER -j WANBOUND-FORWARD\n"
_ISOLATED = "-A DOCKER-ISOLATION-STAGE-2 -o web -j DROP"


def _saved(rules: str) -> str:
    nat = "*nat\n-A PREROUTING -j WANBOUND-DNAT\n-A PREROUTING -j DOCKER\nCOMMIT\n"
    return f"# Generated\n*filter\n:FORWARD DROP [0:0]\n{rules}COMMIT\n{nat}"


@pytest.mark.parametrize(
    ("rules", "first"),
    [
        (_USER + _STAGE_1 + _ISOLATION + _IN_USER, _IN_USER.strip()),
        (_OURS + _STAGE_1 + _USER + _ISOLATION, _OURS.strip()),
        # An accept that comes too late.
        (_STAGE_1 + _USER + _ISOLATION + _IN_USER, _ISOLATED),
        (_STAGE_1 + _OURS + _USER + _ISOLATION, _ISOLATED),
        (_USER + _STAGE_1 + _ISOLATION, _ISOLATED),
        ("-A FORWARD -i web -j REJECT --reject-with x\n" + _OURS, "-A FORWARD -i web -j REJECT"),
        # Accepts of other programs before ours are harmless.
        ("-A FORWARD -i tun0 -j ACCEPT\n" + _OURS, _OURS.strip()),
        (_USER, ""),
        ("", ""),
    ],
)
def test_our_jump_or_a_drop(rules: str, first: str) -> None:
    """It is the first that a packet meets, through all jumps."""
    found = first_verdict(_saved(rules), "FORWARD")
    assert found.startswith(first) if first else found == ""


def test_the_first_rule_of_a_chain() -> None:
    """It is the first of that table."""
    saved = _saved(_USER + _STAGE_1)
    assert first_rule(saved, "nat", "PREROUTING") == "-A PREROUTING -j WANBOUND-DNAT"
    assert first_rule(saved, "filter", "FORWARD") == _USER.strip()
    assert first_rule(saved, "nat", "OUTPUT") == ""
