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


class ByFolder(LoadScopeScheduling):
    """Sends each folder of lab tests to one worker: they share hosts, stacks and a clean start.

    The files of `atomic` share nothing, and take a quarter of the whole time.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return file if folder == "tests/lab/atomic" else folder


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Return how `-m lab` is split; None leaves other runs to the command line."""
    return ByFolder(config, log) if config.getoption("markexpr") == "lab" else None
