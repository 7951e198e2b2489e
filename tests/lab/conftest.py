"""The tests' lab, separate from the user's.

With several workers of pytest-xdist, each has a lab and runs whole folders of tests in it
(tests/conftest.py). A running demo is left alone.

To keep the tests' lab up from run to run, start it before:

    WANBOUND_LAB=/run/wanbound-tests WANBOUND_LAB_PREFIX=wbts WANBOUND_LAB_NETWORK=10.97.0.0/24 \\
        python -m lab up --hosts test-1=bookworm,test-2=forky+29
"""

import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab import hosts, lifecycle
from lab.api import Lab
from lab.settings import Settings, parse_hosts

HOSTS = "test-1=bookworm,test-2=forky+29"
"""Docker 20.10 and Docker 29; tests/lab/faults has 28 as well, the demo's."""


PREFIXES = "suvwxyz"
"""The last letter of a worker's prefix, so there can be as many workers."""


def worker_settings(number: int) -> Settings:
    """Return where the lab of a worker is; hosts have the same names and addresses in each."""
    return Settings(
        state=Path(f"/run/wanbound-tests{number or ''}"),
        prefix=f"wbt{PREFIXES[number]}",
        management=IPv4Network(f"10.97.{number}.0/24"),
    )


SETTINGS = worker_settings(int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")))


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Two hosts without wanbound; removed afterwards, unless they were up before.

    Fails if the lab cannot start: a skipped lab test would prove nothing.
    """
    with _alone(SETTINGS, request.session):
        was_up = bool(lifecycle.specs(SETTINGS))
        if was_up and (not _are_the_hosts(SETTINGS) or _left(SETTINGS)):
            # Left by killed tests. Nothing else uses this lab.
            lifecycle.down(SETTINGS)
        yield Lab.up(HOSTS, SETTINGS)
        if not was_up:
            lifecycle.down(SETTINGS)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Each folder's tests begin on bare hosts; if an earlier folder left anything, on new ones.

    Failed tests leave things behind. A warning in the run's summary lists them.
    """
    if nextitem is not None and nextitem.path.parent == item.path.parent:
        return
    if item.get_closest_marker("lab") is None or not lifecycle.specs(SETTINGS):
        return
    if left := _left(SETTINGS):
        lifecycle.down(SETTINGS)
        Lab.up(HOSTS, SETTINGS)
        warnings.warn(f"left on the hosts, which were recreated:\n{left}", stacklevel=1)


@contextmanager
def _alone(settings: Settings, session: pytest.Session) -> Iterator[None]:
    """Keep out a second run, which would change and remove the hosts under the first."""
    settings.cache.mkdir(parents=True, exist_ok=True)
    with (settings.cache / f"lab-tests.{settings.prefix}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Not pytest.exit: a worker does not pass its message on.
            session.shouldfail = "another run of the lab tests is under way on this machine"
            pytest.fail(session.shouldfail, pytrace=False)
        yield


def _are_the_hosts(settings: Settings) -> bool:
    """Whether it has exactly the two: a test may add a host and be killed."""
    return lifecycle.specs(settings) == parse_hosts(HOSTS)


def _left(settings: Settings) -> str:
    """Return what tests left on the hosts, with the host's name; "" if the hosts are bare."""
    asked = (
        "docker network ls -q --filter type=custom; docker ps -aq; ls -d /etc/wanbound 2>/dev/null;"
        " ip addr show dev wan0 | grep -e /32 -e /128; nft list tables | grep inet;"
        " ls -d /usr/local/sbin/* /usr/sbin/*.gone 2>/dev/null;"
        " grep ' /etc/wanbound ' /proc/mounts; true"
    )
    lines = []
    for spec in lifecycle.specs(settings):
        answer = hosts.answer(settings, spec.name, asked)
        found = ["it does not answer"] if answer is None else answer.splitlines()
        lines += [f"{spec.name}: {line}" for line in found]
    return "\n".join(lines)
