"""Counts the cases that the fuzz tests of this folder tried, and prints the sum after the run."""

import re
from collections.abc import Generator

import pytest

CASES = "fuzz cases"
"""The property of a test's report with its number of cases; xdist workers transfer it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record the cases of a finished test, from hypothesis' own statistics."""
    report = yield
    said = getattr(item, "hypothesis_statistics", "")
    # "300 passing, 0 failing, and 12 invalid test cases", for each phase.
    found = re.findall(r"(\d+) passing\D*, (\d+) failing", said)
    if found and report.when == "call":
        tried = sum(int(passed) + int(failed) for passed, failed in found)
        report.user_properties.append((CASES, tried))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line, because cases that are not counted may not have run."""
    counts = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == CASES
    ]
    if counts:
        terminalreporter.write_line(f"fuzz: {sum(counts)} cases in {len(counts)} tests")
