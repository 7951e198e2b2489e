"""Counts what the fuzz tests of this folder really tried, and says it at the end of the run."""

import re
from collections.abc import Iterator

import pytest

CASES = pytest.StashKey[dict[str, int]]()
"""How many cases each test ran, by the test's id."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note the cases of a test that has just ended, from hypothesis' own statistics."""
    report = yield
    said = getattr(item, "hypothesis_statistics", "")
    # "300 passing, 0 failing, and 12 invalid test cases", for each phase.
    found = re.findall(r"(\d+) passing\D*, (\d+) failing", said)
    if found:
        counts = item.config.stash.setdefault(CASES, {})
        counts[item.nodeid] = sum(int(passed) + int(failed) for passed, failed in found)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print one line: what was not counted was not tried."""
    counts = config.stash.get(CASES, {})
    if counts:
        terminalreporter.write_line(f"fuzz: {sum(counts.values())} cases in {len(counts)} tests")
