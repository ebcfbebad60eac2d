"""report.html: one file that stands alone (no script, font or picture from elsewhere) and opens
with the verdict.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from orchid_genomics.answers.metrics import areas, confusion
from orchid_genomics.answers.supervised_tasks import SupervisedTask
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.draw import predictions as draw
from orchid_genomics.draw.pages import picture, render
from orchid_genomics.evaluate.answered import Answered
from orchid_genomics.evaluate.bootstrap import Estimate
from orchid_genomics.evaluate.comparison import Line, Verdict
from orchid_genomics.evaluate.comparison_text import networks_line
from orchid_genomics.evaluate.estimate_text import interval, number, signed_interval
from orchid_genomics.evaluate.label_efficiency import ShareResult, learning_curves, score_cells


@dataclass(frozen=True)
class Curves:
    """The logs of an arm, one a network."""

    name: str
    logs: Sequence[Sequence[dict[str, Any]]]


@dataclass(frozen=True)
class Shown:
    """What pictures are of: the model, or its comparator, on the test rows."""

    name: str
    answers: np.ndarray
    """Flat answers (n, K)."""
    target: np.ndarray
    thresholds: np.ndarray


def page(
    data: LabelledSet,
    verdict: Verdict,
    arms: Sequence[Answered],
    curves: Sequence[Curves],
    answer: str,
    provenance: dict[str, Any],
    shares: Sequence[ShareResult] = (),
) -> str:
    """The whole report as HTML.

    Parameters
    ----------
    data
        The set whose test rows are shown.
    verdict
        The comparison on them.
    arms
        What each line of it answers; the first is the model.
    curves
        How the trained arms were trained.
    answer
        The text of the answer; over folds it is another than the verdict's.
    provenance
        What the model folder holds of its origin.
    shares
        The same comparison on fewer training rows, if it was made.
    """
    shown = [_shown(data, verdict, arms[0].name, arms)]
    shown.append(_shown(data, verdict, verdict.comparator, arms))
    sentence = answer.splitlines()[0]
    rows = verdict.rows["test"]
    whole = _score_table(
        verdict,
        lambda line: line.scores,
        lambda line: line.minus,
        f"All {rows:,} test rows; 95 % intervals by bootstrap over families or loci. "
        + ("Thresholds and the comparator (*)" if verdict.has_alternatives else "Thresholds")
        + " are chosen on validation.",
    )
    apart = None
    if verdict.sharing and verdict.lines[0].apart:
        apart = _score_table(
            verdict,
            lambda line: line.apart,
            lambda line: line.apart_minus,
            f"The {rows - verdict.sharing:,} test rows that share no 30 letters with training",
        )
    networks = [
        f"{arm}: {networks_line(verdict.primary, each)}" for arm, each in verdict.networks.items()
    ]
    return render(
        "evaluate/report.html",
        title=f"{data.name}: fine-tuning report",
        sentence=sentence,
        outcome=_outcome(sentence),
        notes=[note for note in (verdict.pretraining(), *verdict.notes) if note],
        folds=answer if sentence != verdict.sentence() else "",
        primary=verdict.primary,
        names=verdict.task.scores,
        whole=whole,
        apart=apart,
        counts=_count_lines(verdict),
        networks=networks,
        pictures=[*training_pictures(curves, data.task), *score_pictures(data.task, shown)],
        by_label=_by_label(data.task, shown),
        efficiency=_efficiency(shares),
        provenance=json.dumps(_provenance_shown(provenance), indent=2),
    )


def _shown(data: LabelledSet, verdict: Verdict, name: str, arms: Sequence[Answered]) -> Shown:
    """The flat answers of one line."""
    answered = next(arm for arm in arms if arm.name == name)
    test = data.rows("test")
    flat, target, _ = data.task.flatten(answered.test, data.target[test], data.group[test])
    return Shown(name, flat, target, np.array(verdict.line(name).thresholds))


def _outcome(sentence: str) -> str:
    """The look of a verdict: yes, no, or neither, where it is level or there is none."""
    if " does NOT beat " in sentence:
        return "no"
    return "yes" if " beats " in sentence else ""


def _count_lines(verdict: Verdict) -> list[str]:
    words = {"test": "test rows", "families": "families or loci"}
    return [f"{words.get(name, name)}: {count:,}" for name, count in verdict.rows.items()]


def _provenance_shown(provenance: dict[str, Any]) -> dict[str, Any]:
    """What fits a page: without the intervals that pretraining saw, and the verdict that the page
    shows.
    """
    left_out = ("verdict", "evaluation", "genomes")
    kept = {name: value for name, value in provenance.items() if name not in left_out}
    kept["genomes"] = []
    for genome in provenance["genomes"]:
        about = {key: value for key, value in genome.items() if key not in ("seen", "contigs")}
        kept["genomes"].append(about)
    return kept


def _score_table(
    verdict: Verdict,
    scores_of: Callable[[Line], dict[str, Estimate]],
    minus_of: Callable[[Line], dict[str, Estimate]],
    caption: str,
) -> dict[str, Any]:
    """Every line with all scores and intervals, and the model's score minus its own."""
    rows = []
    for line in verdict.lines:
        scores = scores_of(line)
        if not scores:
            continue
        cells = [scores[name] for name in verdict.task.scores]
        is_model = line is verdict.lines[0]
        rows.append({
            "name": verdict.shown_name(line),
            "scores": [{"value": number(c.value), "interval": interval(c)} for c in cells],
            "gap": None if is_model else _gap_cell(minus_of(line)[verdict.primary]),
            "parameters": f"{line.parameters:,}",
            "chosen": line.chosen,
        })  # fmt: skip
    return {"lines": rows, "caption": caption}


def _gap_cell(gap: Estimate) -> dict[str, str]:
    """A difference and its interval, with their signs."""
    return {"value": f"{gap.value:+.3f}", "interval": signed_interval(gap)}


def _efficiency(shares: Sequence[ShareResult]) -> dict[str, Any] | None:
    """The scores at each share of the training rows, drawn and in numbers."""
    if not shares:
        return None
    primary = shares[0].verdict.primary
    ax = draw.label_efficiency(learning_curves(shares), primary)
    return {
        "picture": picture(ax, f"{primary} by training rows"),
        "head": ["", *(f"{each.rows:,} rows ({each.share:.3g})" for each in shares)],
        "rows": score_cells(shares),
    }


def training_pictures(curves: Sequence[Curves], task: SupervisedTask) -> list[Markup]:
    """The loss in training (smoothed) and the validation score, against steps."""
    losses, checks = [], []
    key = f"validation_1-{task.monitor}"
    for arm in curves:
        for log in arm.logs:
            steps = [line for line in log if "loss" in line]
            loss = np.array([line["loss"] for line in steps])
            window = max(1, len(loss) // 50)
            smooth = np.convolve(loss, np.ones(window) / window, "valid")
            at = [line["step"] for line in steps][window - 1 :]
            losses.append(draw.Line(arm.name, at, smooth))
            measured = [line for line in log if key in line]
            score = [1 - line[key] for line in measured]
            checks.append(draw.Line(arm.name, [line["step"] for line in measured], score))
    loss_of = draw.lines("Training loss", losses, ("step", "loss"))
    pictures = [picture(loss_of, "The training loss by step")]
    if any(len(line.x) for line in checks):
        title = f"Validation {task.monitor}"
        ax = draw.lines(title, checks, ("step", task.monitor), dots=True)
        pictures.append(picture(ax, f"{title} by step"))
    return pictures


def score_pictures(task: SupervisedTask, shown: Sequence[Shown]) -> list[Markup]:
    """ROC, precision and recall, calibration and confusion; or predicted against actual numbers.

    Of the model and its comparator alone: more lines would hide what is compared.
    """
    if task.has_numbers:
        return [_scatter(each) for each in shown]
    model = shown[0].name
    predictions = []
    for each in shown:
        # Where there are many labels, those of the model fill the picture.
        if each.name == model or task.outputs == 1:
            predictions += _predictions(task, each)
    pictures = []
    if predictions:
        pictures = [
            picture(draw.roc(predictions), "ROC curves on the test rows"),
            picture(draw.precision_recall(predictions), "Precision and recall on the test rows"),
            picture(draw.calibration(predictions), "Calibration on the test rows"),
        ]
    for each in shown:
        called = task.call(each.answers, each.thresholds)
        if called is not None:
            pictures.append(_confusion(task, each, called))
    return pictures


def _predictions(task: SupervisedTask, shown: Shown) -> list[draw.Prediction]:
    """The columns of answers of which both kinds of row occur."""
    predictions = []
    for column, label in enumerate(task.columns):
        positive = task.positive(shown.target, column)
        if positive.any() and not positive.all():
            name = shown.name if task.outputs == 1 else label
            predictions.append(draw.Prediction(name, shown.answers[:, column], positive))
    return predictions


def _confusion(task: SupervisedTask, shown: Shown, called: np.ndarray) -> Markup:
    one = np.ones((1, len(called)))
    table = confusion(called, shown.target, len(task.labels), one)[0]
    ax = draw.confusion(f"Confusion, {shown.name}", table, task.labels)
    return picture(ax, f"Actual against called classes, {shown.name}")


def _scatter(shown: Shown) -> Markup:
    actual = shown.target.reshape(-1).astype(float)
    predicted = shown.answers.reshape(-1).astype(float)
    ax = draw.scatter(f"Predicted and actual, {shown.name}", actual, predicted)
    return picture(ax, f"Predicted against actual numbers, {shown.name}")


def _by_label(task: SupervisedTask, shown: Sequence[Shown]) -> dict[str, Any] | None:
    """AUROC of every label or class, the model beside the comparator."""
    if not task.by_label:
        return None
    rows = []
    for column, label in enumerate(task.labels):
        positive = task.positive(shown[0].target, column)
        cells = [label, f"{int(positive.sum()):,}"]
        for each in shown:
            one = np.ones((1, len(positive)))
            auroc = areas(each.answers[:, column], positive, one)[0][0]
            cells.append(number(float(auroc)))
        rows.append(cells)
    head = ["", "positive test rows", *(f"AUROC, {each.name}" for each in shown)]
    return {"head": head, "rows": rows}
