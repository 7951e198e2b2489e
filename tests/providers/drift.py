"""Edits of what a real host printed, and the drift that a refresh makes of them."""

import re
from collections.abc import Callable

import pytest

from providers.live import parse
from providers.live_rules import live_rules
from tests.providers.samples import HOSTS, RuleMaps, Sample, captured, samples

Edit = Callable[[str], str]

WEB, MAIL, OLD = "tst-web", "tst-mail", "tst-old"

on_both = pytest.mark.parametrize("host", HOSTS)


def found_in(sample: Sample, text: str) -> RuleMaps | None:
    """Return what a refresh finds of a network in a state."""
    return live_rules(sample.network, sample.bridge, sample.rules, parse(text))


def drift_of(sample: Sample, text: str) -> dict[tuple[str, str], str | None]:
    """Return what differs from the rules: (section, role) → the line that is there, or None."""
    found = found_in(sample, text)
    assert found is not None
    assert found.keys() == sample.rules.keys()
    # A refresh keeps what it found, and the next one begins with that: it must not stumble on it.
    again = live_rules(sample.network, sample.bridge, found, parse(text))
    assert again is not None
    assert not any(role.count("drift") > 1 for lines in again.values() for role in lines)
    return {
        (section, role): found[section].get(role)
        for section, wanted in sample.rules.items()
        for role in sorted(wanted.keys() | found[section].keys())
        if found[section].get(role) != wanted.get(role)
    }


def only_in(network: str, host: str, edit: Edit) -> dict[tuple[str, str], str | None]:
    """Return the drift of one network after `edit`; no other network of the host may have any."""
    text = edit(captured(host))
    assert text != captured(host), "the edit changed nothing"
    for name, sample in samples(host).items():
        if name != network:
            assert drift_of(sample, text) == {}, name
    return drift_of(samples(host)[network], text)


def replacing(old: str, new: str, times: int = 1) -> Edit:
    """Return the edit that puts `new` in place of `old`, which must be there so many times."""

    def edit(text: str) -> str:
        assert text.count(old) == times, f"{text.count(old)} times {old!r}"
        return text.replace(old, new)

    return edit


def in_section(section: str, edit: Edit) -> Edit:
    """Edit one section alone: the same line may stand in others, too."""

    def edit_section(text: str) -> str:
        head, mark, rest = text.partition(f"== {section}\n")
        inside, other_mark, tail = rest.partition("\n== ")
        return head + mark + edit(f"\n{inside}\n")[1:-1] + other_mark + tail

    return edit_section


def table_of(section: str) -> str:
    """Return the section of the state that has the lines of a section of the rules."""
    return f"{section[-4:]} {'nat' if section.startswith('nat') else 'filter'}"


def without(*lines: str) -> Edit:
    """Return the edit that removes lines, each of which must be there once."""

    def edit(text: str) -> str:
        for line in lines:
            text = replacing(f"\n{line}\n", "\n")(text)
        return text

    return edit


def in_guard(old: str, new: str = "") -> Edit:
    """Edit the guard alone: the same words stand in the fragment, too."""

    def edit(text: str) -> str:
        head, mark, rest = text.partition("== guard\n")
        guard, other_mark, tail = rest.partition("== fragment")
        assert guard.count(old) == 1, f"{guard.count(old)} times {old!r}"
        return head + mark + guard.replace(old, new) + other_mark + tail

    return edit


def address_line(host: str, address: str) -> str:
    """Return the line of ``ip -o addr show`` that has an address of wan0."""
    (line,) = re.findall(rf"\n(\d+: wan0 +inet6? {re.escape(address)}/\d+ .*)\n", captured(host))
    return str(line)


def public_of(host: str, version: int) -> str:
    """Return the first network's public address."""
    line = samples(host)[WEB].rules["addresses"][f"wan0 ipv{version}"]
    return line.split()[1].partition("/")[0]
