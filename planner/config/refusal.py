"""How the types of single values refuse: with a reason and a remedy that pydantic carries along."""

import re
from collections.abc import Callable

from pydantic_core import PydanticCustomError

from planner.config.report import show

REFUSAL = "wanbound"
"""The error type that marks our own texts among pydantic's."""


def refusal(what: str, why: str, remedy: str) -> PydanticCustomError:
    """Return the error for a validator to raise; the texts as in `Problem`."""
    return PydanticCustomError(REFUSAL, "{what}", {"what": what, "why": why, "remedy": remedy})


def matching(pattern: str, kind: str, why: str, example: str, longest: int) -> Callable[..., str]:
    """Return a validator for text that matches `pattern` as a whole (an allow-list)."""
    compiled = re.compile(pattern)

    def validate(value: object) -> str:
        if not isinstance(value, str):
            raise refusal(f"is {show(value)}, not {kind}", why, f"write {kind} like {example}")
        if not value:
            raise refusal(f"is empty, not {kind}", why, f"write {kind} like {example}")
        if len(value) > longest:
            what = f"has {len(value)} characters"
            raise refusal(what, why, f"write {kind} of at most {longest} characters")
        if not compiled.fullmatch(value):
            raise refusal(f"{show(value)} is not {kind}", why, f"write {kind} like {example}")
        return value

    return validate


def one_of(*words: str) -> Callable[..., str]:
    """Return a validator for one of a few words."""
    listed = f"{', '.join(words[:-1])} or {words[-1]}"

    def validate(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise refusal(f"is {show(value)}, which is none of {listed}", "", f"write {listed}")

    return validate
