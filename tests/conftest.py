"""How many cases hypothesis tries in a test that leaves it open.

pytest tests/security --hypothesis-profile=long     # hours of random cases, new in each run

And how the lab tests are split among the workers of pytest-xdist.
"""

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# So that its asserts show their values, as those of a test file do.
pytest.register_assert_rewrite("tests.planner.samples")

# No deadline for one case: on a busy machine any of them may wait.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

settings.register_profile(
    "long",
    max_examples=20_000,
    deadline=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


LONGEST = [
    f"tests/lab/{name}"
    for name in ("stack/up", "faults", "compose", "atomic/test_commandline.py", "stack", "modes")
]
"""What takes longest begins first, so that all workers end at about the same time."""


def scope(nodeid: str) -> str:
    """Return what one worker runs whole: a folder shares hosts, stacks and a clean start.

    The files of `atomic` share nothing, and take a quarter of the whole time.
    """
    file = nodeid.partition("::")[0]
    folder = file.rpartition("/")[0]
    return file if folder == "tests/lab/atomic" else folder


class ByFolder(LoadScopeScheduling):
    """Sends each scope of lab tests to one worker, in the order in which they are collected."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first; everything else keeps its order."""
    ranks = {each: rank for rank, each in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(scope(item.nodeid), len(LONGEST)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Return how `-m lab` is split; None leaves other runs to the command line."""
    return ByFolder(config, log) if config.getoption("markexpr") == "lab" else None
