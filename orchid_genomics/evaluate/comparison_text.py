"""A verdict as text: its first line says whether the encoder beats the best alternative, whatever
comes after.
"""

from collections.abc import Sequence

from orchid_genomics.evaluate.bootstrap import Estimate
from orchid_genomics.evaluate.comparison import Line, Verdict, mean_interval
from orchid_genomics.evaluate.metrics import NAMES

FEW = 20  # families below which a bootstrap over them is rough


def number(value: float) -> str:
    """Three decimals, a dash for what cannot be computed."""
    return "-" if value != value else f"{value + 0.0:.3f}".replace("-0.000", "0.000")


def span(found: Estimate) -> str:
    """A value and its interval."""
    return f"{number(found.value)} ({between(found)})"


def between(found: Estimate) -> str:
    """The ends of an interval: 0.1-0.2, or -0.1 to 0.2 where a dash would be a sign."""
    low, high = number(found.low), number(found.high)
    return f"{low} to {high}" if "-" in low + high else f"{low}-{high}"


def text(verdict: Verdict) -> str:
    """The whole answer, aligned, for a terminal and a model card."""
    names = NAMES[verdict.task]
    rows = verdict.rows
    lines = [verdict.sentence(), *filter(None, [verdict.pretraining()]), *verdict.notes, ""]
    lines += _table(
        verdict.lines,
        names,
        verdict.comparator,
        lambda line: line.scores,
        f"test, {rows['test']:,} rows",
    )
    lines += [
        "",
        f"95 % intervals by bootstrap over {rows['families']:,} families or loci; * best alternative on validation",
    ]
    if rows["families"] < FEW:
        lines.append("so few families or loci make intervals that are narrower than the truth")
    shared = next(count for name, count in rows.items() if name.startswith("sharing"))
    lines.append(
        f"{shared:,} test rows share 30 letters with training (either strand), "
        f"{rows['near-duplicates of training']:,} of them are near-duplicates"
    )
    if shared and verdict.lines[0].apart:
        title = f"test rows that share none, {rows['test'] - shared:,}"
        lines += [
            "",
            *_table(verdict.lines, names, verdict.comparator, lambda line: line.apart, title),
        ]
        gap = verdict.line(verdict.comparator).apart_minus[verdict.first]
        lines.append(
            f"on these the encoder's {verdict.first} minus that of {verdict.comparator} is {gap.value:+.3f} "
            f"({gap.low:+.3f} to {gap.high:+.3f})"
        )
    for name, values in verdict.seeds.items():
        lines.append(f"{name}, {len(values) - 1} seeds: {seeds_line(verdict.first, values)}")
    return "\n".join(lines)


def seeds_line(first: str, values: Sequence[float]) -> str:
    """The first score of every seed, their mean with its interval, and that of their mean answers."""
    each = ", ".join(number(value) for value in values[:-1])
    return f"{first} {each}; mean {span(mean_interval(values[:-1]))}; of their mean answers {number(values[-1])}"


def _table(
    lines: Sequence[Line], names: Sequence[str], comparator: str, of, title: str
) -> list[str]:
    cells = [[title, names[0], "95 % interval", *names[1:], "parameters", "chosen on validation"]]
    for line in lines:
        scores = of(line)
        if not scores:
            continue
        first = scores[names[0]]
        mark = " *" if line.name == comparator else ""
        cells.append([
            line.name + mark, number(first.value), between(first),
            *(number(scores[name].value) for name in names[1:]), f"{line.parameters:,}", line.chosen,
        ])  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if at in (0, last) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
