"""For every folder of tests: how many cases hypothesis tries where a test leaves it open.

pytest tests/security --hypothesis-profile=long     # hours of chance: new cases in each run
"""

import pytest
from hypothesis import HealthCheck, settings

# Its asserts then say what was there, as those of a test's own file do.
pytest.register_assert_rewrite("tests.planner.samples")

settings.register_profile(
    "long",
    max_examples=20_000,
    deadline=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
