"""What refers to something by its name: whether it is there, and what may have been meant."""

import difflib
from collections.abc import Iterable

from planner.config.model import SecretRef
from planner.config.report import Loc, Report


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest of the known words, to stand before a remedy; "" for none."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {near[0]}? Else " if near else ""


def check_secret(
    value: object, known: frozenset[str] | None, loc: Loc, why: str, report: Report
) -> None:
    """Report a reference to a secret that is not there; `known` is None where nobody can tell."""
    if known is None or not isinstance(value, SecretRef) or value.secret in known:
        return
    what = f"refers to the secret {value.secret}, which is not in wanbound:secrets"
    hint = did_you_mean(value.secret, known)
    remedy = f"{hint}add it: pulumi config set --secret --path wanbound:secrets.NAME"
    report.add(loc, what, why, remedy)
