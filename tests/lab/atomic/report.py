"""The outcomes of many faults, as a table."""

from collections import Counter
from collections.abc import Sequence

from tests.lab.atomic.drill import Outcome


def report(outcomes: Sequence[Outcome]) -> None:
    """Print how many of each kind there were and how they ended; fail with all problems."""
    for (kind, mode, ended), number in sorted(
        Counter((each.kind, each.mode, each.ended) for each in outcomes).items()
    ):
        print(f"{kind:7} {mode:28} {number:4} ended {ended}")
    slowest = sorted(outcomes, key=lambda each: -each.seconds)[:3]
    print(f"{sum(each.seconds for each in outcomes):.0f} s; the slowest: {[*map(str, slowest)]}")
    wrong = [str(outcome) for outcome in outcomes if outcome.problems]
    assert not wrong, "\n".join(wrong)
