"""What a refresh makes of the guard: captured from real hosts, then changed in one place."""

import re

from tests.providers.drift import (
    MAIL,
    OLD,
    WEB,
    drift_of,
    in_guard,
    on_both,
    only_in,
    public_of,
)
from tests.providers.samples import captured, samples


@on_both
def test_a_guard_line_that_is_gone(host: str) -> None:
    """A rule or an element: its role is gone."""
    public = public_of(host, 4)
    rule = f'\t\toifname != "tst-web" ip saddr != {public} counter drop\n'
    assert only_in(WEB, host, in_guard(rule)) == {("guard", "egress ipv4"): None}
    drift = only_in(OLD, host, in_guard('\t\tiifname != "tst-old.0" counter drop\n'))
    assert drift == {("guard", "strangers"): None}


@on_both
def test_a_guard_element_that_is_gone(host: str) -> None:
    """The map is long enough to be printed on several lines."""
    element = '"tst-mail" : jump from-tst-mail'
    drift = only_in(
        MAIL,
        host,
        in_guard(f"{element},") if f"{element}," in captured(host) else in_guard(element),
    )
    assert drift == {("guard", "from bridge"): None}


@on_both
def test_a_guard_line_that_was_edited(host: str) -> None:
    """Its role holds what is there."""
    old = f'oifname != "tst-web" ip saddr != {public_of(host, 4)} counter drop'
    new = old.replace("counter drop", "counter accept")
    drift = only_in(WEB, host, in_guard(old, new))
    chain = "add rule inet wanbound egress-tst-web"
    assert drift == {("guard", "egress ipv4"): f"{chain} {new}"}


@on_both
def test_a_guard_line_that_nobody_applied(host: str) -> None:
    """An accept in the network's own chain."""
    first = "\tchain from-tst-web {\n"
    drift = only_in(WEB, host, in_guard(first, f"{first}\t\taccept\n"))
    assert drift == {("guard", "drift 1"): "add rule inet wanbound from-tst-web accept"}


@on_both
def test_the_guard_is_gone(host: str) -> None:
    """Somebody deleted the table: every line of it, and that it is all of it."""
    text = re.sub(r"== guard\n.*?== fragment", "== guard\n== fragment", captured(host), flags=re.S)
    for sample in samples(host).values():
        drift = drift_of(sample, text)
        assert drift.pop(("guard", "drift base")) == "the table inet wanbound is gone"
        assert drift == {("guard", role): None for role in sample.rules["guard"]}


@on_both
def test_a_line_of_the_guards_base_is_gone(host: str) -> None:
    """Without it the networks' lines are never asked."""
    text = in_guard("\t\toifname vmap @to\n")(captured(host))
    for sample in samples(host).values():
        assert drift_of(sample, text) == {
            ("guard", "drift base 1"): "add rule inet wanbound forward oifname vmap @to is gone"
        }


@on_both
def test_a_line_in_front_of_the_guards_base(host: str) -> None:
    """An accept before everything turns the guard off: it is every network's drift."""
    first = "\t\tiifname vmap @from\n"
    text = in_guard(first, f"\t\taccept\n{first}")(captured(host))
    for sample in samples(host).values():
        assert drift_of(sample, text) == {
            ("guard", "drift 1"): "add rule inet wanbound forward accept"
        }


@on_both
def test_lines_in_another_order(host: str) -> None:
    """An accept behind the drop of strangers is none, though both are there."""
    last = '\t\tiifname != "tst-web" counter drop\n'
    accept = f"\t\tct status dnat ct original ip daddr {public_of(host, 4)} accept\n"

    def edit(text: str) -> str:
        return in_guard(accept, last + accept)(in_guard(last)(text))

    assert only_in(WEB, host, edit) == {
        ("guard", "drift order to-tst-web"): (
            'too early: add rule inet wanbound to-tst-web iifname != "tst-web" counter drop'
        )
    }
