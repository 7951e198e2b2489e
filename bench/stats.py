"""Statistics of repeated measurements. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """A time as a multiple of a floor's or a peer's: the median over repeats, and its range."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        middle, low, high = (_digits(value) for value in (self.middle, self.low, self.high))
        return middle if low == high else f"{middle} ({low}-{high})"


def ratio(values: Sequence[float], base: Sequence[float]) -> Ratio:
    """Return `values` as multiples of `base`, repeat by repeat.

    Both come from the same repeats, in order: a temporary slowdown of the machine slows both, and
    their ratio stays. Raises ValueError if their lengths differ.
    """
    if not values or len(values) != len(base):
        raise ValueError(f"{len(values)} values do not pair up with {len(base)}")
    found = [value / floor for value, floor in zip(values, base, strict=True)]
    return Ratio(median(found), min(found), max(found))


def seconds(values: Sequence[float]) -> str:
    """Return the median in readable form: `0.046 s`, `1.24 s`, `63 s`."""
    return f"{_digits(median(values))} s"


def amount(value: float, unit: str) -> str:
    """Return a large number with a prefix and its unit: `18.2 Gbit/s`."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{_digits(value / factor)} {prefix}{unit}"
    return f"{_digits(value)} {unit}"


def _digits(value: float) -> str:
    """Return three significant digits, more than repeats agree on, without an exponent."""
    if value == 0:
        return "0"
    for limit, places in ((100, 0), (10, 1), (1, 2), (0.1, 3)):
        if abs(value) >= limit:
            return f"{value:.{places}f}"
    return f"{value:.4f}"
