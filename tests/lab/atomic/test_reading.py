"""What the loops read: traces and hosts. No host is needed here."""

import pytest

from tests.lab.atomic.commandline import PHASES, Phase, step_of
from tests.lab.atomic.look import Look
from tests.lab.atomic.programs import Step, steps

TRACE = """\
mkdir 1 -p /run/wanbound/run.1.aa
sh 1 /run/wanbound/run.1.aa/wanbound change /run/wanbound/run.1.aa 00 5
awk 1 
iptables-restore 1 --noflush -w 10 --test
systemctl 1 daemon-reload
iptables-restore 2 --noflush -w 10
sh 2 /run/wanbound/run.2.bb/wanbound confirm 00
mv 9 /etc/wanbound/.old/armed /etc/wanbound/.old/confirmed
systemctl 2 stop wanbound-undo-00.timer
"""  # noqa: W291 (a call without arguments)

SEEN = """\
== iptables
== ip6tables
== nft
== addresses
3: wan0    inet6 2001:db8::10/128 scope global tentative \\ valid_lft forever
== host
default via 203.0.113.1 dev wan0 linkdown
== files
{file}
== litter
run/wanbound/guard
== timers
== armed
"""


def test_steps_are_calls_in_their_order() -> None:
    """The first word is the program, the second which of its calls it is."""
    assert steps(TRACE)[:3] == [Step("mkdir", 1), Step("sh", 1), Step("awk", 1)]
    assert len(steps(TRACE)) == len(TRACE.splitlines())


@pytest.mark.parametrize(
    ("phase", "step"),
    [
        ("before", Step("sh", 1)),
        ("loading", Step("iptables-restore", 2)),
        ("unconfirmed", Step("sh", 2)),
        ("confirmed", Step("systemctl", 2)),
    ],
)
def test_a_phase_is_found_by_what_the_step_does(phase: Phase, step: Step) -> None:
    """Whatever its number is in this operation."""
    assert step_of(TRACE, phase) == step
    assert phase in PHASES


def test_two_looks_differ_in_what_is_in_force() -> None:
    """Not in litter, nor in what counts down or settles by itself."""
    one = Look.parse(SEEN.format(file="aa  etc/wanbound/one.rules"))
    settled = SEEN.format(file="aa  etc/wanbound/one.rules").replace(" tentative", "")
    more = Look.parse(settled.replace("/guard", "/guard\nrun/wanbound/run.7.cc"))
    assert one.same(more)
    assert one != more
    other = Look.parse(SEEN.format(file="bb  etc/wanbound/one.rules"))
    assert not one.same(other)
    assert "bb  etc/wanbound/one.rules" in one.differences(other)


def test_script_and_units_without_a_fragment_are_litter() -> None:
    """They do nothing, and the next run takes them away."""
    bare = Look.parse(SEEN.replace("{file}\n", ""))
    left = Look.parse(SEEN.format(file="aa  usr/local/sbin/wanbound"))
    assert left.same(bare)
    assert "usr/local/sbin/wanbound" in left.litter
    assert dict(left.force)["files"] == ""
