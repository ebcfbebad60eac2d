"""A fine-tuned model on labelled data it is given: every score over the whole set, beside the
constant answer.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from orchid_genomics.answers.supervised_tasks import SupervisedTask
from orchid_genomics.data.labelled.parsing import set_for_model
from orchid_genomics.data.labelled.schema import LabelledSet, Rows
from orchid_genomics.data.labelled.sets import SetRecipe, checksums, read_rows, recipe_of
from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.answered import repeat_answer
from orchid_genomics.evaluate.bootstrap import Estimate
from orchid_genomics.evaluate.comparison import families, score_rows
from orchid_genomics.evaluate.comparison_text import align
from orchid_genomics.evaluate.estimate_text import span
from orchid_genomics.files import atomic_file, finite, name_errors, regular_copy, writable
from orchid_genomics.model.device import device_of
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import LabelRecipe
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.train.supervised import answer

Scores = dict[str, dict[str, Estimate]]
"""By the name of what answers, then of the score."""


def evaluate(
    folder: str | Path,
    path: str | Path,
    split: str | None = None,
    out: str | Path | None = None,
    columns: dict[str, str] | None = None,
    device: str = "auto",
    as_json: bool = False,
) -> Iterator[str]:
    """The scores of a fine-tuned model on labelled rows, a line at a time.

    Parameters
    ----------
    folder
        The model; thresholds are those that fine-tuning chose on validation.
    path
        A table, HDF5, or a recipe with [data].
    split
        "train", "validation", "test" or "all". When not given, the test rows of data that have a
        split (the recipe's contigs, the split column, or, for the files that the model was
        fine-tuned on, its own), else all rows.
    out
        Where the scores are written as JSON.
    columns
        The names of a table's columns, where they are not the usual ones.
    device
        "auto", "cpu" or "cuda".
    as_json
        One JSON object in place of lines.

    Raises
    ------
    InputError
        For a model without a head of labels, and a label that the model does not know.
    """
    model = OrchidModel.from_pretrained(folder).to(device_of(device))
    head = model.recipe.head
    if not isinstance(head, LabelRecipe):
        message = f"has {'no head' if head is None else 'a head of letters'}, and answers no labels"
        raise InputError(folder, message, "a fine-tuned model: orchid-genomics finetune")
    # A pipe gives its bytes once, and a file is read and compared with that of the training.
    copy = regular_copy(path)
    with name_errors(copy, path):
        recipe = recipe_of(copy, **(columns or {}))
        rows = read_rows(recipe)
    if copy != Path(path):
        rows = replace(rows, name="standard input" if str(path) == "-" else Path(path).name)
    plan, notes = _plan(recipe, rows, model.provenance)
    notes += rows.notes
    if split not in (None, "all") and plan is None:
        raise InputError(rows.name, "has no split column", "no --split, for all rows")
    chosen = split or ("test" if plan else None)
    one = None if chosen in (None, "all") else chosen
    task = head.supervised
    data = set_for_model(rows, task, one, plan or recipe)
    _check_answers_differ(data)
    labelled = model.provenance.labelled
    thresholds = list(labelled.thresholds) if labelled else []
    if task.has_thresholds and not thresholds:
        notes.append("the model folder names no thresholds: 0.5")
    strand = f"strand = {head.strand}"
    which = f"split {chosen}" if chosen else "all rows"
    about = [
        f"model  {folder} (hash {model.hash()}): {task.name}, {', '.join(task.labels)}; {strand}",
        f"data   {data.name}: {len(data):,} rows, {which}",
        *(f"note   {note}" for note in notes),
    ]
    if not as_json:
        yield from about
    scores = _score(model, task, data, thresholds)
    values = {
        "model": model.hash(),
        "data": data.name,
        "split": chosen,
        "rows": len(data),
        "scores": {
            name: {score: asdict(estimate) for score, estimate in each.items()}
            for name, each in scores.items()
        },
    }
    if as_json:
        yield json.dumps(finite({**values, "notes": notes}), indent=2)
    else:
        yield from _table(task, scores)
    if out is not None:
        with writable(out), atomic_file(Path(out)) as part:
            part.write_text(json.dumps(finite(values), indent=2) + "\n", encoding="utf-8")


def _check_answers_differ(data: LabelledSet) -> None:
    columns = data.target.shape[-1] if data.target.ndim > 1 else 1
    flat = data.target.reshape(-1, columns)
    if len(np.unique(flat[np.isfinite(flat).all(1)], axis=0)) < 2:
        raise InputError(data.name, "all rows have one label", "rows that differ")


def _plan(
    recipe: SetRecipe, rows: Rows, provenance: Provenance
) -> tuple[SetRecipe | None, list[str]]:
    """What says which rows are held out (None: nothing does), and what a reader must know of it."""
    known = set(provenance.labelled.files.values()) if provenance.labelled else set()
    # By content: a copy under another name is the same file.
    is_own = bool(known) and set(checksums(recipe).values()) <= known
    folds = provenance.setting("training", "folds") or 0
    notes = []
    if is_own and folds:
        notes.append(
            f"the model was fine-tuned on {folds} folds of this very file: it has seen most of "
            "these rows"
        )
    if recipe.validation_contigs or recipe.test_contigs:
        return recipe, notes
    if is_own and not folds:
        names = ("validation_contigs", "test_contigs", "validation_share", "test_share")
        trained = provenance.setting("data") or {}
        held = {name: trained[name] for name in names if name in trained}
        note = "the model was fine-tuned on this very file, split as here"
        return recipe.model_copy(update=held), [note]
    return (None if rows.split is None else recipe), notes


def _score(
    model: OrchidModel, task: SupervisedTask, data: LabelledSet, thresholds: Sequence[float | None]
) -> Scores:
    """Scores of the model and of the constant answer, with intervals over families or loci."""
    rows, loci = np.arange(len(data)), families(data)
    device = next(model.parameters()).device
    answers = answer(model, data, rows, device)
    half = np.full(task.outputs, 0.5)
    chosen = np.array(thresholds, float) if len(thresholds) == task.outputs else half
    constant = repeat_answer(task.constant(data.target), data.target)
    return {
        "model": score_rows(data, rows, answers, chosen, loci).estimates,
        "the same answer for all": score_rows(data, rows, constant, half, loci).estimates,
    }


def _table(task: SupervisedTask, scores: Scores) -> Iterator[str]:
    """Every score with its interval, aligned."""
    cells = [["", *task.scores]]
    for name, each in scores.items():
        cells.append([name, *(span(each[score]) for score in task.scores)])
    yield ""
    yield from align(cells, left=(0,))
    yield "95 % intervals by bootstrap over families or loci"
