"""What a job came to: sums that blocks keep and add up, then lines for a person and a file beside
the output.

The trap: a summary must be the same for one run and for merged shards, so a block may say sums
alone, of itself alone.
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.files import replacing, writable
from orchid_genomics.score.variants.scorers import SUBSTITUTIONS
from orchid_genomics.score.variants.variant_scores import REASONS, Scores, Scoring

Stats = dict[str, Any]
# masked sites for each at which the ends of its window are exchanged; of one-pass ones, one a block
EDGES = 128


def stats_of(scoring: Scoring, found: Scores, records: int) -> Stats:
    """What one block says: counts by type and reason, and sums of every column, of windows against
    each other, of ends.

    Call it right after the block was scored, while its forward passes are kept.
    """
    scored = [not why for why in found.why]
    stats: Stats = {
        "records": records,
        "alts": len(found.why),
        "scored": sum(scored),
        "types": {},
        "reasons": dict(sorted(Counter(why for why in found.why if why).items())),
        "columns": {
            column.name: sums_of(found.values[:, i]) for i, column in enumerate(found.columns)
        },
        "windows": {},
        "context": {},
        "ends": {},
    }
    for kind in sorted({kind for kind in found.kinds if kind}):
        rows = [
            is_scored for is_scored, other in zip(scored, found.kinds, strict=True) if other == kind
        ]
        stats["types"][kind] = {"alts": len(rows), "scored": sum(rows)}
    for first, last in _steps(scoring):
        both = [found[name] for name in (first, last)]
        stats["windows"][f"{first} {last}"] = _shared(*both)
    stats["context"], stats["ends"] = _reference(scoring, found), _ends(scoring, found)
    return stats


def total(blocks: Iterable[Stats]) -> Stats:
    """The sum of what blocks say."""
    whole: Stats = {}
    for block in blocks:
        whole = _add(whole, block)
    return whole


def lines(whole: Stats) -> Iterator[str]:
    """A summary for a person."""
    if not whole:
        yield "no records"
        return
    yield f"{whole['records']:,} records, {whole['alts']:,} ALTs: {whole['scored']:,} scored"
    if whole["types"]:
        yield "  " + ", ".join(
            f"{kind} {n['scored']:,} of {n['alts']:,}" for kind, n in whole["types"].items()
        )
    yield from reasons_of(whole["reasons"], "not scored", REASONS)
    yield from lines_of(whole["columns"])
    for pair, sums in whole["windows"].items():
        yield from _against(pair, sums)
    for pair, sums in whole["context"].items():
        if sums["n"]:
            yield _helped(pair, sums)
    for window, sums in ((window, sums) for window, sums in whole["ends"].items() if sums["n"]):
        moved, stand, n = sums["moved"] / sums["n"], sums["stand"] / sums["n"], sums["n"]
        changed = f"log-odds move by {moved:.4f} of {stand:.4f} nats ({n:,} sites)"
        yield f"  edge sensitivity, ends of the {window}-nt window exchanged: {changed}"


def reasons_of(reasons: dict[str, int], what: str, words: Mapping[str, str]) -> Iterator[str]:
    """A line for every reason that something was not answered, with what it means; the commonest
    first.
    """
    for why, count in sorted(reasons.items(), key=lambda item: -item[1]):
        yield f"  {what}: {count:,} {why} ({words[why]})"


def told(summary: Stats, text: Iterable[str], out: Path, quiet: bool) -> Stats:
    """The summary of a whole job: its text on stderr unless `quiet`, itself in OUT.summary.json
    beside a file `out`.

    Raises MachineError when it cannot be written.
    """
    if not quiet:
        print("\n".join(text), file=sys.stderr)
    if str(out) != "-":
        path = out.with_name(f"{out.name}.summary.json")
        with writable(path), replacing(path) as temporary:
            temporary.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def lines_of(columns: dict[str, Stats]) -> Iterator[str]:
    """A line for every column that has a number, from its sums."""
    for name, sums in columns.items():
        if sums["n"]:
            mean, spread = _moments(sums)
            yield f"  {name}: mean {mean:.4g}, sd {spread:.4g}, {sums['low']:.4g} to {sums['high']:.4g}"


def sums_of(values: np.ndarray) -> Stats:
    """Count, sum, squares and range of the numbers among values (N,); NaN is none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return {"n": 0, "sum": 0.0, "squares": 0.0, "low": None, "high": None}
    ends = {"low": float(values.min()), "high": float(values.max())}
    return {
        "n": len(values),
        "sum": float(values.sum()),
        "squares": float((values**2).sum()),
        **ends,
    }


def _shared(x: np.ndarray, y: np.ndarray) -> Stats:
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    sums = {
        "n": len(x),
        "x": x.sum(),
        "y": y.sum(),
        "xx": x @ x,
        "yy": y @ y,
        "xy": x @ y,
        "apart": np.abs(y - x).sum(),
    }
    return {name: float(value) if name != "n" else value for name, value in sums.items()}


def _steps(scoring: Scoring) -> Iterator[tuple[str, str]]:
    """Names of the same column at one window and the next."""
    own = [column for column in scoring.columns if column.window]
    for short, long in pairwise(scoring.windows):
        at = {window: [c.name for c in own if c.window == window] for window in (short, long)}
        yield from zip(at[short], at[long], strict=True)


def _reference(scoring: Scoring, found: Scores) -> Stats:
    """Bits of the masked reference letters at every window, where there are several; no forward
    pass more.
    """
    if len(scoring.windows) < 2 or not {"llr", "entropy"} & set(scoring.scores):
        return {}
    sites = {(e.contig, e.start, e.changed): e for e in _substitutions(scoring, found)}.values()
    bits = []
    for reader in scoring.readers:
        logs = reader.masked(list(sites))
        each = [
            log[i, e.ref[at]]
            for log, e in zip(logs, sites, strict=True)
            for i, at in enumerate(e.changed)
        ]
        bits.append(-np.array(each, float) / math.log(2))
    said = {}
    for (short, x), (long, y) in pairwise(zip(scoring.windows, bits, strict=True)):
        sums = {"short": x.sum(), "long": y.sum(), "squares": ((x - y) ** 2).sum()}
        said[f"{short} {long}"] = {"n": len(x)} | {
            name: float(value) for name, value in sums.items()
        }
    return said


def _ends(scoring: Scoring, found: Scores) -> Stats:
    """What the ends of a window do to some substitutions of the block; a forward pass more each."""
    names = set(scoring.scores)
    masked, tiled = bool({"llr", "entropy"} & names), "llr_unmasked" in names
    events = _substitutions(scoring, found)
    said = {}
    for reader in scoring.readers if masked or tiled else ():
        sites = [
            reader.edge(e, tiled=not masked) for e in (events[::EDGES] if masked else events[:1])
        ]
        moved, stand = (sum(site[i] for site in sites) for i in (0, 1))
        said[f"{reader.window:,}"] = {"n": len(sites), "moved": moved, "stand": stand}
    return said


def _substitutions(scoring: Scoring, found: Scores) -> list:
    shortest = min(reader.longest for reader in scoring.readers)
    return [e for e in found.events if e and e.kind in SUBSTITUTIONS and e.size <= shortest]


def _add(one: Any, other: Any, name: str = "") -> Any:
    if isinstance(other, dict):
        one = one or {}
        return {key: _add(one.get(key), other.get(key), key) for key in {**one, **other}}
    if one is None or other is None:
        return other if one is None else one
    return min(one, other) if name == "low" else max(one, other) if name == "high" else one + other


def _moments(sums: Stats) -> tuple[float, float]:
    mean = sums["sum"] / sums["n"]
    return mean, math.sqrt(max(sums["squares"] / sums["n"] - mean**2, 0.0))


def _helped(pair: str, sums: Stats) -> str:
    """Whether the longer window knows the masked reference letters better, with an interval as of
    independent sites.
    """
    n, (short, long) = sums["n"], pair.split()
    gain = (sums["short"] - sums["long"]) / n
    margin = 1.96 * math.sqrt(max(sums["squares"] / n - gain**2, 0.0) / n)
    verdict = (
        "no clear difference"
        if abs(gain) <= margin
        else "more context helped"
        if gain > 0
        else "it did worse"
    )
    bits = f"{sums['short'] / n:.4f} bits at {int(short):,} nt, {sums['long'] / n:.4f} at {int(long):,} nt"
    return f"  masked REF letters: {bits}: {verdict} ({gain:+.4f} +- {margin:.4f})"


def _against(pair: str, sums: Stats) -> Sequence[str]:
    n = sums["n"]
    if n < 3:
        return []
    spread = [sums[2 * name] / n - (sums[name] / n) ** 2 for name in "xy"]
    shared = sums["xy"] / n - sums["x"] * sums["y"] / n**2
    r = shared / math.sqrt(spread[0] * spread[1]) if min(spread) > 0 else math.nan
    first, last = pair.split()
    shift = (sums["y"] - sums["x"]) / n
    return [
        f"  {last} against {first}: r {r:.4f}, mean shift {shift:+.4f}, mean distance {sums['apart'] / n:.4f}"
    ]
