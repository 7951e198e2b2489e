"""How the loops read traces and host states. These tests need no host."""

from tests.lab.atomic.faults import WAYS, Loop
from tests.lab.atomic.look import Look
from tests.lab.atomic.programs import Recorded, Step, steps

RECORDS = (
    "mkdir -p /run/wanbound/run.1.aa",
    "mv /etc/wanbound/armed.next /etc/wanbound/armed",
    "sed s/a/b/",
    "mv /etc/wanbound/armed.next /etc/wanbound/armed",
    "ln -sfn 0123456789abcdef /etc/wanbound/current.next",
    "ip -o addr show",
    "ip -batch /run/wanbound/run.1.aa/batch",
)
TRACE = "".join(f"{words}\037" for words in RECORDS)

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
etc/wanbound
etc/wanbound/current
etc/wanbound/0123456789abcdef
etc/wanbound/0123456789abcdef/ipv4.rules
run/wanbound/bridges
== generation
{generation}
== armed
"""
UNIT = "etc/systemd/system/multi-user.target.wants/wanbound.service"
WHOLE = SEEN.replace("{generation}", "0123456789abcdef").replace(
    "{file}", f"aa  ipv4.rules\n{UNIT} l 777 root root"
)


def test_steps_are_calls_in_their_order() -> None:
    """A step is a call's words, less what differs between runs, and its number of that kind."""
    found = steps(TRACE)
    assert [each.step.call for each in found] == [1, 1, 1, 2, 1, 1, 1]
    assert found[0].step.words == "mkdir -p *"
    assert found[4].step.words == "ln -sfn * /etc/wanbound/current.next"
    assert [each.changes for each in found] == [False, True, False, True, True, False, True]


def test_a_pattern_is_for_the_shell() -> None:
    """Special characters in a word mean nothing to `case`; asterisks stand for what differs."""
    assert Step("sed 's/[a]/b/' *x", 1).pattern == """'sed '"'"'s/[a]/b/'"'"' '*x"""
    assert Step("*", 1).pattern == "*"


def test_the_loop_kills_before_what_changes_something() -> None:
    """The ways alternate; with `every`, each step has all of them."""
    recorded = [Recorded(Step(str(n), 1), n != 1) for n in range(4)]
    short = list(Loop("kill before", "update", first=1).steps(recorded))
    assert [place for place, _, _ in short] == [0, 2, 3]
    assert [way for _, _, way in short] == [WAYS[1], WAYS[2], WAYS[0]]
    every = list(Loop("kill before", "update", every=True).steps(recorded))
    assert len(every) == 4 * len(WAYS)
    halves = [
        [place for place, _, _ in Loop("kill before", "update", part=(n, 2)).steps(recorded)]
        for n in (0, 1)
    ]
    assert halves == [[0, 3], [2]]


def test_two_looks_differ_in_what_is_in_force() -> None:
    """They do not differ in litter, in counters and tentative states, or in a generation's name."""
    one = Look.parse(WHOLE)
    assert one.litter == "run/wanbound/bridges\n"
    same = Look.parse(WHOLE.replace(" tentative", "").replace("0123456789abcdef", "f" * 16))
    assert one == same
    more = Look.parse(WHOLE.replace("/bridges", "/bridges\nrun/wanbound/run.7.cc"))
    assert one.same(more)
    assert one != more
    other = Look.parse(WHOLE.replace("aa  ", "bb  "))
    assert not one.same(other)
    assert "bb  ipv4.rules" in one.differences(other)


def test_script_and_units_without_a_generation_are_litter() -> None:
    """They have no effect, and the next run removes them."""
    bare = Look.parse(SEEN.replace("{file}\n", "").replace("{generation}\n", ""))
    left = Look.parse(
        SEEN.replace("{file}", "aa  usr/local/sbin/wanbound").replace("{generation}\n", "")
    )
    assert left.same(bare)
    assert "usr/local/sbin/wanbound" in left.litter
    assert dict(left.force)["files"] == ""
