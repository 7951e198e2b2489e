"""A change that is ended at each of its steps: old or new, and then new without help.

The short plan: the rest is `python -m tests.lab.atomic`, which docs/atomicity.md tells about.
"""

from collections import Counter
from collections.abc import Sequence

import pytest

from lab.api import Host, Lab
from tests.lab.atomic.drill import Outcome
from tests.lab.atomic.plan import SHORT, on_all

pytestmark = pytest.mark.lab

NAMES = ("test-1", "test-2")


@pytest.mark.timeout(1800)
def test_old_or_new_whatever_happens(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of create, update and delete in turn; each host has its loops, both at once."""
    monkeypatch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
    hosts = {name: lab.host(name) for name in NAMES}
    outcomes = on_all(dict(zip(NAMES, SHORT, strict=True)), hosts, _told)
    report(outcomes)


def _told(host: Host, outcome: Outcome) -> None:
    if outcome.problems:
        print(f"{host.name}: {outcome}", flush=True)


def report(outcomes: Sequence[Outcome]) -> None:
    """Print how many of each kind there were and how they ended; fails with all that went wrong."""
    for (kind, mode, ended), number in sorted(
        Counter((each.kind, each.mode, each.ended) for each in outcomes).items()
    ):
        print(f"{kind:7} {mode:28} {number:4} ended {ended}")
    wrong = [str(outcome) for outcome in outcomes if outcome.problems]
    assert not wrong, "\n".join(wrong)
