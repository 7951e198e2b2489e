"""For every folder of tests: how many cases hypothesis tries where a test leaves it open.

pytest tests/security --hypothesis-profile=long     # hours of chance: new cases in each run
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "long",
    max_examples=20_000,
    deadline=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
