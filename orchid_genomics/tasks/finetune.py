"""Labelled data in, an honest answer out: `finetune` is what `orchid-genomics finetune` calls."""

import json
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchid_genomics import __version__
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.data.labelled.sets import checksums, folded, opened
from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.arms import (
    FinetuneRecipe,
    Fitted,
    build,
    cnn,
    strand_of,
    train_arm,
)
from orchid_genomics.evaluate.comparison import (
    RANDOM,
    Verdict,
    mean_interval,
    seen_in_pretraining,
    verdict,
)
from orchid_genomics.evaluate.comparison_text import number, span, text
from orchid_genomics.evaluate.linear import Answered, simple
from orchid_genomics.evaluate.linear_tracks import local
from orchid_genomics.evaluate.report import Curves, page
from orchid_genomics.files import atomic_file, finite, writable
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.recipe import load
from orchid_genomics.train import distributed as processes
from orchid_genomics.train.run import Run
from orchid_genomics.train.supervised import balanced


def finetune(
    path: str | Path,
    out: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    resume: bool = False,
) -> Path:
    """Train a model on labelled data and measure it beside its alternatives; returns the model
    folder.

    `out` is the run folder (default: runs/ and the recipe's name): recipe.json, fits/, model/,
    evaluation.json and report.html. Raises OrchidError for what a user can mend.
    """
    recipe = load(path, FinetuneRecipe, overrides)
    ranks = processes.start(recipe.training.device)
    try:
        return _finetune(recipe, Path(out or Path("runs") / Path(path).stem), ranks, resume)
    finally:
        ranks.close()


def _finetune(recipe: FinetuneRecipe, folder: Path, ranks: processes.Ranks, resume: bool) -> Path:
    clock = time.monotonic()
    run = Run(folder, recipe, resume, writes=ranks.main)
    folds = recipe.training.folds
    splits = folded(recipe.data, folds) if folds else [opened(recipe.data)]
    model = build(recipe, splits[0], recipe.training.seeds[0])
    if recipe.training.class_weights == "balanced":
        balanced(splits[0])  # refused before any work
    inputs = checksums(recipe.data)
    if recipe.pretrained is not None:
        inputs[str(recipe.pretrained)] = OrchidModel.from_pretrained(recipe.pretrained).hash()
    run.begin(inputs)  # the first thing written, once nothing is wrong

    def say(line: str) -> None:
        if ranks.main:
            print(line, file=sys.stderr, flush=True)

    measured = []
    for number_, part in enumerate(splits):
        fits = folder / "fits" / f"fold{number_}" if folds else folder / "fits"
        if folds:
            say(f"fold {number_ + 1} of {folds}")
        notes = notes_of(recipe, part, model)
        for line in (*part.describe(), *notes):
            say(line)
        measured.append((part, *_measured(recipe, part, fits, ranks, say, notes)))
    if ranks.main:
        seconds = {
            "all": time.monotonic() - clock,
            "training": sum(arms[0].seconds for *_, arms in measured),
        }
        _written(run, recipe, measured, seconds, inputs, ranks.device)
    return run.model


def _measured(
    recipe: FinetuneRecipe,
    data: LabelledSet,
    fits: Path,
    ranks: processes.Ranks,
    say: Callable[[str], None],
    notes: list[str],
) -> tuple[Verdict, list[Fitted | Answered]]:
    """One split, whole: the model, its alternatives, and the verdict on the test rows."""
    rates = recipe.training.rates or (recipe.optimizer.rate,)
    model = train_arm("model", partial(build, recipe, data), recipe, data, rates, fits, ranks, say)
    others: list[Fitted | Answered] = []
    chosen = recipe.baselines
    if recipe.pretrained and chosen.random:
        make = partial(build, recipe, data, fresh=True)
        others.append(train_arm(RANDOM, make, recipe, data, rates, fits, ranks, say))
    if chosen.cnn:
        one = recipe.model_copy(
            update={"training": recipe.training.model_copy(update={"layers": None})}
        )
        others.append(
            train_arm(
                "small CNN", partial(cnn, one, data), one, data, chosen.cnn_rates, fits, ranks, say
            )
        )
    others += simple(data, strand_of(recipe, data), say, chosen.sizes if chosen.simple else None)
    others += local(data, say) if data.bin and chosen.simple else ()
    say("measuring the test split")
    return verdict(data, model, others, notes), [model, *others]


def notes_of(recipe: FinetuneRecipe, data: LabelledSet, model: OrchidModel) -> list[str]:
    """What a reader must know: the strand, what was trained, what was dropped or drawn, what
    pretraining saw.
    """
    strand = strand_of(recipe, data)
    reads = {
        "both": "the same answer on both strands",
        "forward": "sequences are read on their own strand",
    }[strand]
    if strand == "both" and model.recipe.encoder.strands == "dense":
        reads = "a random strand in every step of training; a dense encoder has no exact law"
    why = (
        "as the recipe says"
        if recipe.head.strand != "auto"
        else "following the strand column of the data"
    )
    if recipe.head.strand == "auto" and not data.stranded:
        why = "the data name no strand, or only one"
    layers = recipe.training.layers
    trained = {None: "all weights", 0: "the head alone"}.get(
        layers, f"the head and the last {layers} layers"
    )
    found = [f"Strand: {strand} ({reads}; {why}).", f"Trained: {trained}."]
    if data.task == "binary":
        found.append(f"Positive: {data.labels[1]} (AUPRC, F1 and the probability are of it).")
    found += [f"Data: {note}." for note in data.notes]
    if recipe.pretrained is None:
        return [*found, "Pretraining: none, the encoder begins from random weights."]
    given = OrchidModel.from_pretrained(recipe.pretrained)
    longest, read = int(data.lengths.max()), given.recipe.encoder.filter.longest
    if read is not None and longest > read:
        found.append(
            f"Length: rows of up to {longest:,} nt, pretraining read windows of {read:,.0f} nt."
        )
    if layers is not None and recipe.baselines.random:
        found.append(
            "Random weights: no more of them is trained than of the given ones, the rest stays random."
        )
    return [*found, seen_in_pretraining(data, given.provenance)]


def _written(
    run: Run,
    recipe: FinetuneRecipe,
    measured: list[tuple[LabelledSet, Verdict, list[Fitted | Answered]]],
    seconds: dict[str, float],
    inputs: dict[str, str],
    device: torch.device,
) -> None:
    """Model folder (of the best fold on validation), evaluation.json, report.html, and the answer
    on stdout.
    """
    data, found, arms = max(measured, key=lambda each: each[1].lines[0].validation)
    folds = [each for _, each, _ in measured] if len(measured) > 1 else []
    model = arms[0].model
    answer = _over_folds(folds) if folds else text(found)
    provenance = provenance_of(recipe, data, found, seconds, device)
    provenance["labelled"]["files"] = {Path(path).name: digest for path, digest in inputs.items()}
    model.save_pretrained(run.model, provenance, card(model, data, answer))
    values = {
        "verdict": found.values(),
        "folds": [each.values() for each in folds],
        "answer": answer,
    }
    run.write(run.folder / "evaluation.json", values)
    curves = [Curves(arm.name, arm.logs) for arm in arms if isinstance(arm, Fitted)]
    with writable(run.folder / "report.html"), atomic_file(run.folder / "report.html") as part:
        part.write_text(page(data, found, arms, curves, answer, provenance), encoding="utf-8")
    print(answer)
    print(f"\nmodel:  {run.model}\nreport: {run.folder / 'report.html'}")


def _over_folds(found: list[Verdict]) -> str:
    """The mean over folds of every line's first score, with its interval, and the differences from
    the model.
    """
    first, names = found[0].first, [line.name for line in found[0].lines]
    mean = {
        name: mean_interval([each.line(name).scores[first].value for each in found])
        for name in names
    }
    comparator = max(
        names[1:], key=lambda name: np.mean([each.line(name).validation for each in found])
    )
    gaps = [
        each.lines[0].scores[first].value - each.line(comparator).scores[first].value
        for each in found
    ]
    gap = mean_interval(gaps)
    says = "beats" if gap.low > 0 else "does NOT beat"
    lines = [
        f"The encoder {says} the best alternative on validation, {comparator}: {first} {number(mean[names[0]].value)} "
        f"against {number(mean[comparator].value)} over {len(found)} folds, a difference of {gap.value:+.3f} "
        f"({gap.low:+.3f} to {gap.high:+.3f}).",
        *_notes_of_folds(found),
        "",
    ]
    lines += [f"{name:<26} {first} {span(mean[name])}" for name in names]
    return "\n".join([*lines, "", f"means over {len(found)} folds, 95 % intervals by Student's t"])


def _notes_of_folds(found: list[Verdict]) -> list[str]:
    """What holds for every fold once; what differs with the number of its fold."""
    notes = {}
    for fold, each in enumerate(found, 1):
        for note in each.notes:
            notes.setdefault(note, []).append(str(fold))
    return [
        note if len(folds) == len(found) else f"Fold {', '.join(folds)}: {note}"
        for note, folds in notes.items()
    ]


def provenance_of(
    recipe: FinetuneRecipe,
    data: LabelledSet,
    found: Verdict,
    seconds: dict[str, float],
    device: torch.device,
) -> dict[str, Any]:
    """Where a fine-tuned model comes from, and how it scored."""
    given = OrchidModel.from_pretrained(recipe.pretrained) if recipe.pretrained else None
    return finite({
        "version": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads",
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "recipe": json.loads(recipe.model_dump_json()),
        "genomes": given.provenance.get("genomes", []) if given else [],
        "pretrained": {"hash": given.hash()} if given else None,
        "labelled": {
            "name": data.name,
            "task": data.task,
            "labels": list(data.labels),
            "thresholds": list(found.lines[0].thresholds),
            "rows": {split: len(data.rows(split)) for split in ("train", "validation", "test")},
            "lengths": [int(data.lengths.min()), int(data.lengths.max())],
            "notes": list(data.notes),
        },
        "evaluation": [],
        "verdict": found.values(),
    })  # fmt: skip


def card(model: OrchidModel, data: LabelledSet, answer: str) -> str:
    """The README.md of a fine-tuned model's folder."""
    head = model.recipe.head
    if head is None:
        raise InputError("model", "has no head", "a fine-tuned model")
    return (
        f"# Orchid fine-tuned on {data.name}\n\n"
        f"{data.task}: {', '.join(data.labels)}; strand = {head.strand}. Written by orchid-genomics {__version__}.\n\n"
        "```python\nfrom orchid_genomics.model.folder import OrchidModel\n\n"
        'model = OrchidModel.from_pretrained("this folder")\n```\n\n'
        f"## On the test rows, beside the alternatives\n\n```\n{answer}\n```\n"
    )
