"""Runs actions on several hosts at once, as most of their time is waiting."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def each(subjects: Iterable[S], call: Callable[[S], T]) -> list[T]:
    """Return the result of `call` for each subject; all run at once.

    Raises all errors as one ExceptionGroup, after the last call has ended.
    """
    given = list(subjects)
    with ThreadPoolExecutor(max_workers=len(given)) as pool:
        futures = [pool.submit(call, subject) for subject in given]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise BaseExceptionGroup(f"{len(errors)} of {len(given)} failed", errors)
    return [future.result() for future in futures]


def on_each(test: Callable[..., None]) -> Callable[..., None]:
    """Turn a test whose first argument is, say, `host` into one that takes the fixture `hosts`.

    The test is called for each of them, all at once.
    """
    signature = inspect.signature(test)
    first, *others = signature.parameters.values()
    subjects = f"{first.name}s"

    @functools.wraps(test)
    def run(**given: object) -> None:
        found = given.pop(subjects)
        assert isinstance(found, Sequence)
        each(found, lambda subject: test(subject, **given))

    fixtures = [first.replace(name=subjects, annotation=inspect.Parameter.empty), *others]
    run.__dict__["__signature__"] = signature.replace(parameters=fixtures)
    return run
