"""What a job came to: sums that blocks add up to, lines for a person, a file beside the output.

The trap: a summary must be the same for one run and for merged shards, so a block may say sums
alone, of itself alone.
"""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.files import atomic_file, writable

Stats = dict[str, Any]
"""What a block says about itself, as JSON: counts and sums that a summary adds up."""


def total(blocks: Iterable[Stats]) -> Stats:
    """The sum of what blocks say."""
    whole: Stats = {}
    for block in blocks:
        whole = _add(whole, block)
    return whole


def value_sums(values: np.ndarray) -> Stats:
    """Count, sum, sum of squares and range of the numbers among `values` (N,); NaN is none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return {"n": 0, "sum": 0.0, "squares": 0.0, "low": None, "high": None}
    return {
        "n": len(values),
        "sum": float(values.sum()),
        "squares": float((values**2).sum()),
        "low": float(values.min()),
        "high": float(values.max()),
    }


def column_lines(columns: Mapping[str, Stats]) -> Iterator[str]:
    """A line for every column that has a number, from its `value_sums`."""
    for name, sums in columns.items():
        if not sums["n"]:
            continue
        mean = sums["sum"] / sums["n"]
        spread = math.sqrt(max(sums["squares"] / sums["n"] - mean**2, 0.0))
        extent = f"{sums['low']:.4g} to {sums['high']:.4g}"
        yield f"  {name}: mean {mean:.4g}, sd {spread:.4g}, {extent}"


def reason_lines(
    reasons: Mapping[str, int], outcome: str, meanings: Mapping[str, str]
) -> Iterator[str]:
    """A line for every reason that something was not answered, the commonest first.

    Parameters
    ----------
    reasons : how often each occurred, by its code.
    outcome : what did not happen, such as "not scored".
    meanings : each code in words.
    """
    for code, count in sorted(reasons.items(), key=lambda item: -item[1]):
        meaning = f" ({meanings[code]})" if code in meanings else ""
        yield f"  {outcome}: {count:,} {code}{meaning}"


def publish(summary: Stats, lines: Iterable[str], out: Path, quiet: bool) -> Stats:
    """Print `lines` on stderr unless `quiet`, and write `summary` beside `out` as OUT.summary.json.

    Returns the summary. Raises MachineError when it cannot be written.
    """
    if not quiet:
        print("\n".join(lines), file=sys.stderr)
    if str(out) != "-":
        path = out.with_name(f"{out.name}.summary.json")
        with writable(path), atomic_file(path) as temporary:
            temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _add(one: Any, other: Any, name: str = "") -> Any:
    if isinstance(other, dict):
        one = one or {}
        return {key: _add(one.get(key), other.get(key), key) for key in {**one, **other}}
    # A block without a number has no range.
    if one is None or other is None:
        return other if one is None else one
    if name == "low":
        return min(one, other)
    return max(one, other) if name == "high" else one + other
