"""Runs a test's action on both hosts at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lab.api import Host, Lab

T = TypeVar("T")


def on_both(lab: Lab, act: Callable[[Host], T]) -> list[T]:
    """Return the results of `act` on each host of the lab. Raises the errors of all of them.

    All errors are raised together, which shows whether one engine failed or both.
    """

    def caught(host: Host) -> tuple[T | None, Exception | None]:
        try:
            return act(host), None
        except Exception as error:
            error.add_note(f"on {host.name}")
            return None, error

    hosts = list(lab.hosts.values())
    with ThreadPoolExecutor(len(hosts)) as pool:
        found = list(pool.map(caught, hosts))
    errors = [error for _, error in found if error is not None]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("on more than one host", errors)
    return [value for value, _ in found]  # type: ignore[misc]  # None only beside an error
