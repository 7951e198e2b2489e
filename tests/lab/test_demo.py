"""What the demo shows of Pulumi's output."""

import pytest

from lab.demo import short, summary
from lab.stacks import Run

NOTHING_DONE = """Updating (demo):
@ updating....
Resources:
    41 unchanged

Duration: 3s
"""

MUCH_DONE = """Resources:
    + 24 created
    ~ 2 updated
    +-12 replaced
    38 changes. 15 unchanged
"""


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            " +  pulumi-python:dynamic/wanbound:HostNetworking edge-2 created (0.35s) ",
            "  +  HostNetworking   edge-2                         created [dim](0.35s)[/]",
        ),
        (
            " ++ docker:index:Container edge-1/whoami/web created replacement (2s) [diff: ~image]",
            "  ++ Container        edge-1/whoami/web              created replacement [dim](2s)[/]",
        ),
        (
            " +  docker:index:Network edge-2/network/mail **creating failed** error: no",
            "  [red]!! Network          edge-2/network/mail            failed[/]",
        ),
        (" +  docker:index:Network edge-2/network/mail creating (0s) ", None),
        ("@ updating....", None),
        ("    pulumi:pulumi:Stack wanbound-demo  warning: using pulumi-resource-docker", None),
    ],
)
def test_a_line_for_each_step_that_ended(line: str, shown: str | None) -> None:
    """No other line of the output is shown."""
    assert short(line) == shown


def test_a_second_run_says_that_nothing_changes() -> None:
    """The summary has the number of resources that were checked."""
    assert summary(Run(0, NOTHING_DONE, 3.2)) == "nothing to change: 41 resources unchanged"


def test_a_first_run_is_summed_up() -> None:
    """In each form in which Pulumi writes its counts."""
    run = Run(0, MUCH_DONE, 24.4)
    assert run.counts == {"created": 24, "updated": 2, "replaced": 12, "unchanged": 15}
    assert summary(run) == "24 created, 2 updated, 12 replaced, 15 unchanged, in 24 s"
