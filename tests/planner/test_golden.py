"""Golden files for reviewers: whole configurations and their plans."""

from difflib import unified_diff

import pytest

from tests.planner import golden


@pytest.mark.parametrize("name", golden.cases())
def test_the_plan_is_the_golden_one(name: str) -> None:
    """Every difference in any field is shown; `python -m tests.planner.golden` accepts it."""
    expected, planned = golden.expected(name).splitlines(), golden.planned(name).splitlines()
    difference = unified_diff(expected, planned, f"{name}.rules", "planned", lineterm="")
    assert not (text := "\n".join(difference)), text


def test_there_is_a_case_for_each_kind_of_network() -> None:
    """A removed case would remove its proof."""
    assert {
        "baseline",
        "baseline-ipv4",
        "containers",
        "derived-subnets",
        "dual-stack",
        "gateways",
        "host-address",
        "ipv4-only",
        "ipv6-only",
        "several-networks",
        "tcp-ports",
        "to-container",
        "udp-ports",
    } <= set(golden.cases())


def test_the_text_shows_every_field() -> None:
    """A new field of a plan is in the golden files without further work."""
    text = golden.expected("containers")
    for word in (
        "host_key",
        "snat_ipv6",
        "map from",
        " (last)",
        "iface_prefix",
        "restart",
        "- --entrypoints",
    ):
        assert word in text
