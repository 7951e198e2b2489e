"""Golden files for reviewers: everything that a host loads, for each case of the planner."""

from difflib import unified_diff

import pytest

from tests.providers.host import golden


@pytest.mark.parametrize("name", golden.cases())
def test_the_generation_is_the_golden_one(name: str) -> None:
    """Every difference is shown; `python -m tests.providers.host.golden` accepts it."""
    expected, now = golden.expected(name).splitlines(), golden.composed(name).splitlines()
    difference = unified_diff(expected, now, f"{name}.generation", "composed", lineterm="")
    assert not (text := "\n".join(difference)), text
