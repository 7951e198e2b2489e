"""Both hosts at once: what is tried on one engine is tried on the other in the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lab.api import Host, Lab

T = TypeVar("T")


def on_both(lab: Lab, act: Callable[[Host], T]) -> list[T]:
    """Return what `act` returns on each host of the lab. Raises what it raises on any of them.

    All errors are raised together, so that a fault of one engine can be told from one of both.
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
