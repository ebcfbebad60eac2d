"""report.html: one file that stands alone (no script, font or picture from elsewhere) and opens
with the verdict.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from orchid_genomics.answers.metrics import areas, confusion
from orchid_genomics.answers.supervised_tasks import SupervisedTask
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.answered import Answered
from orchid_genomics.evaluate.bootstrap import Estimate
from orchid_genomics.evaluate.charts import COLOURS, Series, chart, matrix
from orchid_genomics.evaluate.comparison import Verdict
from orchid_genomics.evaluate.comparison_text import interval, number, seeds_line

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1200px; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin-bottom: .4rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.verdict { padding: .8rem 1rem; border-left: 6px solid; font-weight: 600 }
.yes { border-color: #3a9a5b; background: #eef7f1 } .no { border-color: #c2701c; background: #fdf4ea }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } caption { text-align: left; color: #555 }
th, td { padding: .3rem .45rem; text-align: right; border-bottom: 1px solid #e2e2e2; white-space: nowrap }
th:first-child, td:first-child, .words { text-align: left }
th, .words { white-space: normal } .words { min-width: 8rem }
td small { display: block; color: #666; font-weight: 400 } tr.ours { background: #f5eef7; font-weight: 600 }
.charts { display: flex; flex-wrap: wrap; gap: .4rem } .charts svg { border: 1px solid #eee; border-radius: 4px }
.wide { overflow-x: auto; margin-bottom: 1rem }
pre { font-size: 12px; overflow-x: auto; background: #f7f7f7; padding: .8rem }
"""


@dataclass(frozen=True)
class Curves:
    """The logs of an arm, one a seed."""

    name: str
    logs: Sequence[Sequence[dict[str, Any]]]


def page(
    data: LabelledSet,
    found: Verdict,
    arms: Sequence[Answered],
    curves: Sequence[Curves],
    answer: str,
    provenance: dict[str, Any],
) -> str:
    """The whole report as HTML."""
    best = next((arm for arm in arms if arm.name == found.comparator), arms[-1])
    shown = [("model", arms[0]), (found.comparator, best)]
    notes = "".join(
        f"<li>{escape(note)}</li>" for note in (found.pretraining(), *found.notes) if note
    )
    words = {"test": "test rows", "families": "families or loci"}
    counts = "".join(
        f"<li>{escape(words.get(name, name))}: {count:,}</li>" for name, count in found.rows.items()
    )
    charts = [*training(curves, data.task), *pictures(data, found, shown)]
    rows, first = found.rows["test"], answer.splitlines()[0]
    folds = f"<h2>Over the folds</h2><pre>{escape(answer)}</pre><p>Below: the best fold on validation.</p>"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(data.name)}: fine-tuning report</title><style>{_STYLE}</style></head><body>
<h1>{escape(data.name)}</h1>
<p class="verdict {"no" if "does NOT" in first else "yes"}">{escape(first)}</p>
<ul>{notes}</ul>
{folds if first != found.sentence() else ""}
<h2>Beside the alternatives</h2>
{
        table(
            found,
            lambda line: line.scores,
            f"All {rows:,} test rows; 95 % intervals by bootstrap over families or loci. "
            "Thresholds and the comparator (*) are chosen on validation.",
        )
    }
{_apart(found)}
<ul>{counts}</ul>
{_seeds(found)}
<h2>Pictures</h2><div class="charts">{"".join(charts)}</div>
{per_label(data, shown)}
<h2>Provenance</h2>
<details><summary>Versions, recipe, data</summary><pre>{
        escape(json.dumps(_told(provenance), indent=2))
    }</pre></details>
</body></html>
"""


def _told(provenance: dict[str, Any]) -> dict[str, Any]:
    """What fits a page: without the intervals that pretraining saw, and the verdict that the page
    shows.
    """
    kept = {
        name: value
        for name, value in provenance.items()
        if name not in ("verdict", "evaluation", "genomes")
    }
    genomes = [
        {k: v for k, v in genome.items() if k not in ("seen", "contigs")}
        for genome in provenance["genomes"]
    ]
    return {**kept, "genomes": genomes}


def table(found: Verdict, of: Any, caption: str, minus: Any = lambda line: line.minus) -> str:
    """Every line with all scores and intervals, the model's row marked; `of` and `minus` say which
    of its scores.
    """
    names = found.task.scores
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = []
    for line in found.lines:
        scores = of(line)
        if not scores:
            continue
        cells = "".join(
            f"<td>{number(s.value)}<small>{interval(s)}</small></td>"
            for s in map(scores.get, names)
        )
        gap = "" if line is found.lines[0] else _gap(minus(line)[found.primary])
        mark = " *" if line.name == found.comparator else ""
        ours = ' class="ours"' if line is found.lines[0] else ""
        rows.append(
            f"<tr{ours}><td>{escape(line.name)}{mark}</td>{cells}<td>{gap}</td><td>{line.parameters:,}</td>"
            f'<td class="words">{escape(line.chosen)}</td></tr>'
        )
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><tr><th></th>{head}'
        f"<th>model minus it, {found.primary}</th><th>parameters</th><th class='words'>chosen</th></tr>"
        f"{''.join(rows)}</table></div>"
    )


def _gap(gap: Estimate) -> str:
    return f"{gap.value:+.3f}<small>{gap.low:+.3f} to {gap.high:+.3f}</small>"


def _apart(found: Verdict) -> str:
    shared = next(count for name, count in found.rows.items() if name.startswith("sharing"))
    if not shared or not found.lines[0].apart:
        return ""
    rest = f"The {found.rows['test'] - shared:,} test rows that share no 30 letters with training"
    return table(found, lambda line: line.apart, rest, lambda line: line.apart_minus)


def _seeds(found: Verdict) -> str:
    lines = "".join(
        f"<li>{escape(n)}: {escape(seeds_line(found.primary, v))}</li>"
        for n, v in found.seeds.items()
    )
    return f"<h2>Seeds</h2><ul>{lines}</ul>" if lines else ""


def training(curves: Sequence[Curves], task: SupervisedTask) -> list[str]:
    """The loss in training (smoothed) and the validation score, against steps."""
    loss, checks = [], []
    for at, arm in enumerate(curves):
        colour = COLOURS[at % len(COLOURS)]
        for log in arm.logs:
            steps = [line for line in log if "loss" in line]
            values = np.array([line["loss"] for line in steps])
            window = max(1, len(values) // 50)
            smooth = np.convolve(values, np.ones(window) / window, "valid")
            loss.append(
                Series(arm.name, [line["step"] for line in steps][window - 1 :], smooth, colour)
            )
            key = f"validation_1-{task.monitor}"
            measured = [line for line in log if key in line]
            x = [line["step"] for line in measured]
            checks.append(Series(arm.name, x, [1 - line[key] for line in measured], colour))
            checks.append(Series("", x, [1 - line[key] for line in measured], colour, dots=True))
    return [
        chart("Training loss", loss, "step", "loss"),
        chart(f"Validation {task.monitor}", checks, "step", task.monitor),
    ]


def _answers(data: LabelledSet, arm: Answered) -> tuple[np.ndarray, np.ndarray]:
    """Answers and targets on test, of the best seed."""
    test = data.rows("test")
    return data.task.flatten(arm.test, data.target[test], data.group[test])[:2]


def pictures(data: LabelledSet, found: Verdict, shown: Sequence[tuple[str, Answered]]) -> list[str]:
    """ROC, precision and recall, calibration and confusion; or predictions against measurements."""
    if data.task.has_numbers:
        return [_scatter(data, name, arm) for name, arm in shown]
    roc, precision, calibration, confusions = [], [], [], []
    for at, (name, arm) in enumerate(shown):
        answer, target = _answers(data, arm)
        for k, label in enumerate(data.task.columns):
            positive = data.task.positive(target, k)
            if positive.all() or not positive.any() or (at and data.task.outputs > 1):
                continue
            score = answer[:, k]
            title = name if data.task.outputs == 1 else label
            look = (
                COLOURS[(at + k) % len(COLOURS)],
                at > 0 or k // len(COLOURS) % 2 == 1,
            )  # colours end before labels
            roc.append(Series(title, *_roc(score, positive), *look))
            precision.append(Series(title, *_precision(score, positive), *look))
            calibration.append(Series(title, *reliability(score, positive), *look))
        line = found.lines[0] if at == 0 else found.line(found.comparator)
        called = data.task.call(answer, np.array(line.thresholds))
        if called is None:
            continue
        counts = confusion(called, target, len(data.labels), np.ones((1, len(target))))[0]
        confusions.append(matrix(f"Confusion, {name}", counts, data.labels))
    diagonal = Series("", [0, 1], [0, 1], "#999999", dashed=True, thin=True)
    whole = (0.0, 1.0)
    return [
        chart(
            "ROC", [diagonal, *roc], "false positives, share", "true positives, share", whole, whole
        ),
        chart("Precision and recall", precision, "recall", "precision", whole, (0.0, 1.02)),
        chart(
            "Calibration",
            [diagonal, *calibration],
            "predicted probability",
            "share that is positive",
            whole,
            whole,
        ),
        *confusions,
    ]


def _roc(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive shares at every distinct threshold."""
    order = np.argsort(-score, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(score[order])), len(order) - 1]
    hits = positive[order].cumsum()[last]
    misses = last + 1 - hits
    return np.r_[0, misses / max(misses[-1], 1)], np.r_[0, hits / max(hits[-1], 1)]


def _precision(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every distinct threshold."""
    order = np.argsort(-score, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(score[order])), len(order) - 1]
    hits = positive[order].cumsum()[last]
    return hits / max(hits[-1], 1), hits / (last + 1)


def reliability(
    score: np.ndarray, positive: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Mean prediction and the share that is positive, in bins of equally many rows."""
    order = np.argsort(score, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return np.array([score[part].mean() for part in parts]), np.array(
        [positive[part].mean() for part in parts]
    )


def _scatter(data: LabelledSet, name: str, arm: Answered) -> str:
    answer, target = _answers(data, arm)
    x, y = target.reshape(-1).astype(float), answer.reshape(-1).astype(float)
    ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
    line = Series("", ends, ends, "#999999", dashed=True, thin=True)
    dots = Series("", x, y, COLOURS[0], dots=True, thin=True)
    return chart(f"Predicted against measured, {name}", [line, dots], "measured", "predicted")


def per_label(data: LabelledSet, shown: Sequence[tuple[str, Answered]]) -> str:
    """AUROC of every label or class, the model beside the comparator."""
    if not data.task.by_label:
        return ""
    rows = []
    for k, label in enumerate(data.labels):
        cells = ""
        for _, arm in shown:
            answer, target = _answers(data, arm)
            positive = data.task.positive(target, k)
            one = areas(answer[:, k], positive, np.ones((1, len(positive))))[0][0]
            cells += f"<td>{number(float(one))}</td>"
        rows.append(f"<tr><td>{escape(label)}</td><td>{int(positive.sum()):,}</td>{cells}</tr>")
    head = "".join(f"<th>AUROC, {escape(name)}</th>" for name, _ in shown)
    return f"<h2>Label by label</h2><table><tr><th></th><th>positive test rows</th>{head}</tr>{''.join(rows)}</table>"
