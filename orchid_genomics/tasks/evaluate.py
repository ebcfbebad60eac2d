"""A fine-tuned model on labelled data it is given: every score over the whole set, beside the
constant answer.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchid_genomics.data.labelled.answers import for_model
from orchid_genomics.data.labelled.schema import LabelledRecipe, LabelledSet, Rows
from orchid_genomics.data.labelled.sets import checksums, recipe_of, rows_of
from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.arms import answers_on
from orchid_genomics.evaluate.bootstrap import Estimate
from orchid_genomics.evaluate.comparison import families, on_rows
from orchid_genomics.evaluate.comparison_text import span
from orchid_genomics.evaluate.metrics import NAMES
from orchid_genomics.files import atomic_file, finite, writable
from orchid_genomics.model.device import device_of
from orchid_genomics.model.folder import OrchidModel


def evaluate(
    folder: str | Path,
    path: str | Path,
    split: str | None = None,
    out: str | Path | None = None,
    columns: dict[str, str] | None = None,
    device: str = "auto",
) -> Iterator[str]:
    """Lines: the scores of the model in `folder` on the rows of `path` (a table, HDF5, or a recipe
    with [data]).

    Thresholds are those that fine-tuning chose on validation. Without `split`, the test rows of
    data that have a split (the recipe's contigs, the split column, or, for the files that the model
    was fine-tuned on, its own), else all rows. Raises InputError for a label that the model does
    not know.
    """
    place, model = device_of(device), OrchidModel.from_pretrained(folder)
    head = model.recipe.head
    if head is None or head.kind == "letters":
        found = "no head" if head is None else "a head of letters"
        raise InputError(
            folder,
            f"has {found}, and answers no labels",
            "a fine-tuned model: orchid-genomics finetune",
        )
    recipe = recipe_of(path, **(columns or {}))
    rows = rows_of(recipe)
    plan, notes = _plan(recipe, rows, model.provenance)
    if split not in (None, "all") and plan is None:
        raise InputError(rows.name, "has no split column", "no --split, for all rows")
    chosen = split or ("test" if plan else None)
    bin = head.bin if head.kind == "tracks" else 0
    one = None if chosen in (None, "all") else chosen
    data = for_model(rows, head.task, head.labels, bin, one, plan or recipe)
    answers = data.target.reshape(-1, data.target.shape[-1] if data.target.ndim > 1 else 1)
    if len(np.unique(answers[np.isfinite(answers).all(1)], axis=0)) < 2:
        raise InputError(data.name, "all rows have one label", "rows that differ")
    yield f"model  {folder} (hash {model.hash()}): {head.task}, {', '.join(head.labels)}; strand = {head.strand}"
    yield f"data   {data.name}: {len(data):,} rows" + (
        f", split {chosen}" if chosen else ", all rows"
    )
    if head.task in ("binary", "multilabel") and not model.provenance.get("labelled", {}).get(
        "thresholds"
    ):
        notes.append("the model folder names no thresholds: 0.5")
    yield from (f"note   {note}" for note in notes)
    found = _scores(model.to(place), data, place)
    yield from _table(data, found)
    if out is not None:
        values = {
            name: {key: asdict(score) for key, score in scores.items()}
            for name, scores in found.items()
        }
        written = {
            "model": model.hash(),
            "data": data.name,
            "split": chosen,
            "rows": len(data),
            "scores": values,
        }
        with writable(out), atomic_file(Path(out)) as part:
            part.write_text(json.dumps(finite(written), indent=2) + "\n")


def _plan(
    recipe: LabelledRecipe, rows: Rows, provenance: dict[str, Any]
) -> tuple[LabelledRecipe | None, list[str]]:
    """What says which rows are held out (None: nothing does), and what a reader must know of it."""
    told = provenance.get("recipe", {})
    known = provenance.get("labelled", {}).get("files", {}).values()
    ours = bool(known) and set(checksums(recipe).values()) <= set(known)
    folds = told.get("training", {}).get("folds", 0)
    notes = []
    if ours and folds:
        notes.append(
            f"the model was fine-tuned on {folds} folds of this very file: it has seen most of these rows"
        )
    if recipe.validation_contigs or recipe.test_contigs:
        return recipe, notes
    if ours and not folds:
        names = ("validation_contigs", "test_contigs", "validation_share", "test_share")
        held = {name: told["data"][name] for name in names if name in told.get("data", {})}
        return recipe.model_copy(update=held), [
            "the model was fine-tuned on this very file, split as here"
        ]
    return (None if rows.split is None else recipe), notes


def _scores(
    model: OrchidModel, data: LabelledSet, device: torch.device
) -> dict[str, dict[str, Estimate]]:
    """Scores of the model and of the constant answer, with intervals over families or loci."""
    head, rows = model.recipe.head, np.arange(len(data))
    answer = answers_on(model, data, rows, head, device)
    told = _told(model.provenance, len(head.labels), head.task)
    loci = families(data)
    constant = _constant(data, answer)
    return {
        "model": on_rows(data, rows, answer, told, loci)[0],
        "the same answer for all": on_rows(data, rows, constant, np.full(len(told), 0.5), loci)[0],
    }


def _told(provenance: dict[str, Any], labels: int, task: str) -> np.ndarray:
    """The thresholds that fine-tuning chose; one half where the folder does not say."""
    count = 1 if task == "binary" else labels
    found = np.array(provenance.get("labelled", {}).get("thresholds", []), float)
    return found if len(found) == count else np.full(count, 0.5)


def _constant(data: LabelledSet, answer: np.ndarray) -> np.ndarray:
    """The commonest class, or the mean: what the rows themselves would have everybody answer."""
    if data.task == "multiclass":
        mean = np.bincount(data.target, minlength=len(data.labels)) / len(data)
    else:
        target = data.target if data.target.ndim > 1 else data.target[:, None]
        mean = np.nanmean(target.reshape(-1, target.shape[-1]), 0)
    return np.broadcast_to(mean, answer.shape).astype(float)


def _table(data: LabelledSet, found: dict[str, dict[str, Estimate]]) -> Iterator[str]:
    names = NAMES[data.task]
    rows = [["", *names]]
    for name, scores in found.items():
        rows.append([name, *(span(scores[key]) for key in names)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield ""
    for row in rows:
        yield "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
    yield "95 % intervals by bootstrap over families or loci"
