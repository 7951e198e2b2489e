"""One stack on both hosts for all tests of this folder: bringing it up takes half a minute."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from lab.api import Lab
from tests.lab.security.stage import Stage, staged


@pytest.fixture(scope="package")
def stage(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two networks on each engine, with an attacker in one of them."""
    with staged(lab, tmp_path_factory.mktemp("secured")) as found:
        yield found


COUNTED = "counted"
"""The property of a test's report with a line for the end of the run; xdist workers transmit it."""


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Add a line to the end of the run, where counts are seen even if the tests pass."""
    return partial(record_property, COUNTED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print these lines behind the results of all tests."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, line in report.user_properties:
                    if name == COUNTED:
                        terminalreporter.write_line(line)
