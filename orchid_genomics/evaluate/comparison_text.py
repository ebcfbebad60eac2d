"""A verdict as text: its first line says whether the encoder beats the best alternative, whatever
comes after.
"""

from collections.abc import Callable, Sequence

from orchid_genomics.evaluate.bootstrap import Estimate
from orchid_genomics.evaluate.comparison import Line, Verdict, mean_interval
from orchid_genomics.evaluate.estimate_text import interval, number, signed, span

FEW = 20  # families below which a bootstrap over them is rough


def verdict_text(verdict: Verdict) -> str:
    """The whole answer, aligned, for a terminal and a model card."""
    rows, primary = verdict.rows, verdict.primary
    lines = [verdict.sentence()]
    if verdict.pretraining():
        lines.append(verdict.pretraining())
    lines += [*verdict.notes, ""]
    lines += _table(verdict, lambda line: line.scores, f"test, {rows['test']:,} rows")
    lines += [
        "",
        f"95 % intervals by bootstrap over {rows['families']:,} families or loci"
        + ("; * best alternative on validation" if verdict.has_alternatives else ""),
    ]
    if rows["families"] < FEW:
        lines.append("so few families or loci make intervals that are narrower than the truth")
    sharing = verdict.sharing
    lines.append(
        f"{sharing:,} test rows share 30 letters with training (either strand), "
        f"{rows['near-duplicates of training']:,} of them are near-duplicates"
    )
    if sharing and verdict.lines[0].apart:
        title = f"test rows that share none, {rows['test'] - sharing:,}"
        lines += ["", *_table(verdict, lambda line: line.apart, title)]
        gap = verdict.line(verdict.comparator).apart_minus[primary]
        difference = f"{primary} minus that of {verdict.comparator} is {signed(gap)}"
        lines += [f"on these the encoder's {difference}"] if verdict.has_alternatives else []
    for name, values in verdict.networks.items():
        lines.append(f"{name}, {len(values) - 1} networks: {networks_line(primary, values)}")
    return "\n".join(lines)


def networks_line(primary: str, values: Sequence[float]) -> str:
    """The score of every network, the mean of these with its interval, and that of all together."""
    *each, together = values
    listed = ", ".join(number(value) for value in each)
    mean = span(mean_interval(each))
    return f"{primary} {listed}; mean {mean}; together {number(together)}"


def _table(
    verdict: Verdict, scores_of: Callable[[Line], dict[str, Estimate]], title: str
) -> list[str]:
    """Aligned lines: the primary score with its interval, then the other scores."""
    primary, *others = verdict.task.scores
    cells = [[title, primary, "95 % interval", *others, "parameters", "chosen on validation"]]
    for line in verdict.lines:
        scores = scores_of(line)
        if not scores:
            continue
        name = verdict.shown_name(line)
        values = [number(scores[other].value) for other in others]
        best = scores[primary]
        count = f"{line.parameters:,}"
        cells.append([name, number(best.value), interval(best), *values, count, line.chosen])
    return align(cells, left=(0, len(cells[0]) - 1))


def align(cells: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    """Rows of cells as lines of one width a column; the columns `left` begin at their left edge."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = []
        for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
            padded.append(cell.ljust(width) if at in left else cell.rjust(width))
        lines.append("  ".join(padded).rstrip())
    return lines
