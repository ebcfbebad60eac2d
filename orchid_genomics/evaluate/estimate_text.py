"""Scores and differences as text.

The trap: where every resample gives the same score, the interval has no width, which reads as
certainty; no interval is printed then.
"""

from orchid_genomics.evaluate.bootstrap import Estimate

ALIKE = "every resample alike, so no interval"


def number(value: float) -> str:
    """Three decimals, a dash for what cannot be computed."""
    # No minus before a zero.
    return "-" if value != value else f"{value + 0.0:.3f}".replace("-0.000", "0.000")


def has_width(estimate: Estimate) -> bool:
    """Whether resamples differ, so that there is an interval to speak of."""
    return estimate.low < estimate.high


def interval(estimate: Estimate) -> str:
    """The ends of an interval: 0.1-0.2, or -0.1 to 0.2 where a dash would be a sign."""
    if not has_width(estimate):
        return "-"
    low, high = number(estimate.low), number(estimate.high)
    return f"{low} to {high}" if "-" in low + high else f"{low}-{high}"


def span(estimate: Estimate) -> str:
    """A value and its interval."""
    return f"{number(estimate.value)} ({interval(estimate)})"


def signed_interval(gap: Estimate) -> str:
    """The ends of a difference, with their signs."""
    return f"{gap.low:+.3f} to {gap.high:+.3f}" if has_width(gap) else ALIKE


def signed(gap: Estimate) -> str:
    """A difference and its interval, with their signs."""
    return f"{gap.value:+.3f} ({signed_interval(gap)})"
