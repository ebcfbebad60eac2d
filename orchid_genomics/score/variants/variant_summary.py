"""What scoring variants came to: counts by type, scores, windows against each other, ends.

The trap: what a block says must depend on its own variants alone, and add up.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from orchid_genomics.jobs.summary import Stats, column_lines, reason_lines, value_sums
from orchid_genomics.score.events import Event
from orchid_genomics.score.variants.variant_scores import REASONS, Scores, Scoring

# masked sites for each at which the ends of its window are exchanged; of one-pass ones, one a block
EDGES = 128
FEWEST_SITES = 30  # of which a mean says something


def block_stats(scoring: Scoring, scores: Scores, records: int) -> Stats:
    """What one block says: counts by type and reason; sums of columns, windows and ends.

    Call it right after the block was scored, while its forward passes are kept.
    """
    is_scored = [not why for why in scores.why]
    columns = {column.name: scores.values[:, i] for i, column in enumerate(scores.columns)}
    types: Stats = {}
    for kind in sorted({*scores.kinds} - {""}):
        rows = [scored for scored, own in zip(is_scored, scores.kinds, strict=True) if own == kind]
        types[kind] = {"alts": len(rows), "scored": sum(rows)}
    return {
        "records": records,
        "alts": len(scores.why),
        "scored": sum(is_scored),
        "types": types,
        "reasons": dict(sorted(Counter(why for why in scores.why if why).items())),
        "columns": {name: value_sums(values) for name, values in columns.items()},
        "windows": {
            f"{short} {long}": _joint_sums(scores[short], scores[long])
            for short, long in _steps(scoring)
        },
        "context": _reference(scoring, scores),
        "ends": _ends(scoring, scores),
    }


def summary_lines(whole: Stats) -> Iterator[str]:
    """A summary for a person."""
    if not whole:
        yield "no records"
        return
    yield f"{whole['records']:,} records, {whole['alts']:,} ALTs: {whole['scored']:,} scored"
    if whole["types"]:
        yield "  " + ", ".join(
            f"{kind} {n['scored']:,} of {n['alts']:,}" for kind, n in whole["types"].items()
        )
    yield from reason_lines(whole["reasons"], "not scored", REASONS)
    yield from column_lines(whole["columns"])
    for pair, sums in whole["windows"].items():
        yield from _against(pair, sums)
    for pair, sums in whole["context"].items():
        if sums["n"]:
            yield _helped(pair, sums)
    for window, sums in whole["ends"].items():
        if sums["n"]:
            yield _ends_line(window, sums)


def _ends_line(window: str, sums: Stats) -> str:
    n = sums["n"]
    change, size = sums["moved"] / n, sums["stand"] / n
    sites = "1 site" if n == 1 else f"{n:,} sites"
    few = "" if n >= FEWEST_SITES else ": too few to judge"
    effect = f"log-odds change by {change:.4f} nats, and their mean size is {size:.4f}"
    return f"  edge sensitivity, ends of the {window}-nt window exchanged: {effect} ({sites}{few})"


def _joint_sums(x: np.ndarray, y: np.ndarray) -> Stats:
    """What a correlation is made of, over the rows where both are numbers."""
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    return {
        "n": len(x),
        "x": float(x.sum()),
        "y": float(y.sum()),
        "xx": float(x @ x),
        "yy": float(y @ y),
        "xy": float(x @ y),
        "apart": float(np.abs(y - x).sum()),
    }


def _steps(scoring: Scoring) -> Iterator[tuple[str, str]]:
    """Names of the same column at one window and the next."""
    own = [column for column in scoring.columns if column.window]
    for short, long in pairwise(scoring.windows):
        at = {window: [c.name for c in own if c.window == window] for window in (short, long)}
        yield from zip(at[short], at[long], strict=True)


def _reference(scoring: Scoring, scores: Scores) -> Stats:
    """Bits of the masked reference letters at every window, where there are several.

    No forward pass more: a score that masks has asked for the same letters.
    """
    masked = any(scorer.masks for scorer in scoring.scorers.values())
    if len(scoring.windows) < 2 or not masked:
        return {}
    # each site once, however many ALTs it has
    by_site = {(e.contig, e.start, e.changed): e for e in _substitutions(scoring, scores)}
    sites = list(by_site.values())
    bits = []
    for reader in scoring.readers:
        letters: list[float] = []
        for logs, event in zip(reader.masked(sites), sites, strict=True):
            letters += [logs[i, event.ref[at]] for i, at in enumerate(event.changed)]
        bits.append(-np.array(letters, float) / math.log(2))
    stats: Stats = {}
    for (short, x), (long, y) in pairwise(zip(scoring.windows, bits, strict=True)):
        stats[f"{short} {long}"] = {
            "n": len(x),
            "short": float(x.sum()),
            "long": float(y.sum()),
            "squares": float(((x - y) ** 2).sum()),
        }
    return stats


def _ends(scoring: Scoring, scores: Scores) -> Stats:
    """What the ends of a window do to some substitutions of the block; a forward pass more each."""
    masked = any(scorer.masks for scorer in scoring.scorers.values())
    if not masked and not any(scorer.tiled for scorer in scoring.scorers.values()):
        return {}
    events = _substitutions(scoring, scores)
    sample = events[::EDGES] if masked else events[:1]
    stats: Stats = {}
    for reader in scoring.readers:
        edges = [reader.edge(event, tiled=not masked) for event in sample]
        stats[f"{reader.window:,}"] = {
            "n": len(edges),
            "moved": sum(moved for moved, _ in edges),
            "stand": sum(stand for _, stand in edges),
        }
    return stats


def _substitutions(scoring: Scoring, scores: Scores) -> list[Event]:
    events = [event for event in scores.events if event and event.is_substitution]
    return [
        event
        for event in events
        if all(event.size <= reader.longest(event.contig) for reader in scoring.readers)
    ]


def _helped(pair: str, sums: Stats) -> str:
    """Whether the longer window knows the masked reference letters better.

    The interval is that of independent sites.
    """
    n, (short, long) = sums["n"], pair.split()
    gain = (sums["short"] - sums["long"]) / n
    # Rounding may leave a variance a little below 0.
    margin = 1.96 * math.sqrt(max(sums["squares"] / n - gain**2, 0.0) / n)
    if abs(gain) <= margin:
        verdict = "no clear difference"
    else:
        verdict = "more context helped" if gain > 0 else "it did worse"
    near = f"{sums['short'] / n:.4f} bits at {int(short):,} nt"
    far = f"{sums['long'] / n:.4f} at {int(long):,} nt"
    return f"  masked REF letters: {near}, {far}: {verdict} ({gain:+.4f} +- {margin:.4f})"


def _against(pair: str, sums: Stats) -> Sequence[str]:
    n = sums["n"]
    if n < 3:
        return []
    spread = [sums[2 * name] / n - (sums[name] / n) ** 2 for name in "xy"]
    shared = sums["xy"] / n - sums["x"] * sums["y"] / n**2
    r = shared / math.sqrt(spread[0] * spread[1]) if min(spread) > 0 else math.nan
    first, last = pair.split()
    shift = f"mean shift {(sums['y'] - sums['x']) / n:+.4f}"
    distance = f"mean distance {sums['apart'] / n:.4f}"
    return [f"  {last} against {first}: r {r:.4f}, {shift}, {distance}"]
