"""A host's status as data, or ParseError."""

import pytest

from providers.host.facts import ParseError
from providers.host.status import Attached, Bridge, Drop, Status, parse

ANSWER = """\
== generation
current a1
confirmed a1
owner organization/wanbound/any
loaded 2026-01-31T12:00:09Z
changed 2026-01-31T12:00:07Z
== pending
b2 loaded 17 s until it rolls back
== rolled back
c3 2026-01-30T12:00:00Z was not confirmed in time
== watcher
active
== owned table
held
== repairs
2026-01-31T12:30:00Z host, ipv4
== duplicates
2001:db8::10 wan0
== networks
mail missing
web out 12 1200 in 34 3400 as 203.0.113.10 2001:db8::10
== drops
egress-web 3 180 oifname != "web" ip saddr != 203.0.113.10 counter drop
forged 1 60 fib saddr . iif oif missing counter drop
== containers
web shop 172.20.1.9 ipv4 web ipv6 web
web trapped 172.20.1.8,fd5c::8 ipv4 br-0123456789ab
web silent none
== end
"""


def test_everything_that_it_says_is_read() -> None:
    """Each part is read into its field."""
    assert parse(ANSWER) == Status(
        current="a1",
        owner="organization/wanbound/any",
        loaded="2026-01-31T12:00:09Z",
        changed="2026-01-31T12:00:07Z",
        differs=(),
        pending="loaded 17 s until it rolls back",
        rolled_back=("2026-01-30T12:00:00Z was not confirmed in time",),
        watcher="active",
        owned_table="held",
        repairs=(("2026-01-31T12:30:00Z", "host, ipv4"),),
        duplicates=(("2001:db8::10", "wan0"),),
        bridges=(
            Bridge("mail", there=False),
            Bridge("web", True, 12, 34, ("203.0.113.10", "2001:db8::10")),
        ),
        drops=(
            Drop("egress-web", 3, 180, 'oifname != "web" ip saddr != 203.0.113.10 counter drop'),
            Drop("forged", 1, 60, "fib saddr . iif oif missing counter drop"),
        ),
        containers=(
            Attached("web", "shop", ("172.20.1.9",), (("ipv4", "web"), ("ipv6", "web"))),
            Attached("web", "trapped", ("172.20.1.8", "fd5c::8"), (("ipv4", "br-0123456789ab"),)),
            Attached("web", "silent", (), ()),
        ),
    )


def test_a_default_route_elsewhere_in_one_family_is_found() -> None:
    """A container without any default route is not affected."""
    assert [each.elsewhere for each in parse(ANSWER).containers or ()] == [
        (),
        ("br-0123456789ab",),
        (),
    ]


def test_what_differs_is_read_by_its_parts() -> None:
    """A host that cannot compare its state reports that instead."""
    for said, parts in (("guard, ipv4", ("guard", "ipv4")), ("unreadable", ("unreadable",))):
        assert parse(ANSWER.replace("changed", f"differs {said}\nchanged", 1)).differs == parts


def test_a_guard_that_cannot_be_read_has_not_dropped_nothing() -> None:
    """A guard without drops gives another answer."""
    head, _, tail = ANSWER.partition("egress-web")
    containers = tail[tail.index("== containers") :]
    assert parse(f"{head}{containers}").drops == ()
    assert parse(f"{head}unreadable\n{containers}").drops is None


@pytest.mark.parametrize("cut", range(0, len(ANSWER) - 1, 13))
def test_a_cut_answer_is_refused(cut: int) -> None:
    """It must not be read as a host that has less."""
    with pytest.raises(ParseError):
        parse(ANSWER[:cut])


WRONG = {
    "a counter that is none": ("web out 12", "web out -12"),
    "a drop without a rule": (
        "forged 1 60 fib saddr . iif oif missing counter drop",
        "forged 1 60",
    ),
    "no generation": ("current a1\n", ""),
    "a container without a name": ("web silent none", "web"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_invented_line_is_refused(name: str) -> None:
    """No invalid line is accepted."""
    with pytest.raises(ParseError):
        parse(ANSWER.replace(*WRONG[name]))


def test_an_endless_number_costs_nothing() -> None:
    """Python refuses one of more than 4,300 digits with another error."""
    assert parse(ANSWER.replace("egress-web 3", "egress-web " + "9" * 9000)).drops
