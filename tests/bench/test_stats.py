"""Ratios are paired by repeat, and numbers are readable."""

import pytest

from bench.stats import amount, ratio, seconds


def test_a_ratio_is_of_the_same_repeat() -> None:
    """A repeat in which everything took twice as long changes no ratio."""
    found = ratio([2.0, 4.0, 2.0], [1.0, 2.0, 1.0])
    assert (found.low, found.middle, found.high) == (2.0, 2.0, 2.0)
    assert str(found) == "2.00"


def test_a_ratio_shows_its_range() -> None:
    """One outlier changes the range but not the median."""
    assert str(ratio([1.0, 1.1, 9.0], [1.0, 1.0, 1.0])) == "1.10 (1.00-9.00)"


@pytest.mark.parametrize(("values", "base"), [([], []), ([1.0], []), ([1.0, 2.0], [1.0])])
def test_what_does_not_pair_up_is_refused(values: list[float], base: list[float]) -> None:
    """With a missing repeat on one side, unrelated repeats would be paired."""
    with pytest.raises(ValueError, match="pair up"):
        ratio(values, base)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.00042], "0.0004 s"),
        ([0.0461], "0.0461 s"),
        ([0.5512], "0.551 s"),
        ([1.0, 1.239, 7.0], "1.24 s"),
        ([63.4], "63.4 s"),
        ([634.0], "634 s"),
        ([0.0], "0 s"),
    ],
)
def test_seconds_are_a_median_of_three_digits(values: list[float], shown: str) -> None:
    """The measurement is not more precise."""
    assert seconds(values) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(18.24e9, "18.2 Gbit"), (9.9e5, "990 kbit"), (12.0, "12.0 bit")]
)
def test_amounts_have_a_prefix(value: float, shown: str) -> None:
    """Bits have decimal prefixes."""
    assert amount(value, "bit") == shown
