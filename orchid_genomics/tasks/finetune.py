"""Labelled data in, an honest answer out: `finetune` is what `orchid-genomics finetune` calls."""

import json
import platform
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchid_genomics import __version__
from orchid_genomics.data.labelled.schema import SPLITS, LabelledSet
from orchid_genomics.data.labelled.sets import checksums
from orchid_genomics.data.labelled.splitting import keep_share
from orchid_genomics.evaluate.answered import Answered
from orchid_genomics.evaluate.arms import (
    ARMS,
    MODEL,
    TrainedArm,
    arms_of,
    build_model,
    train_arm,
)
from orchid_genomics.evaluate.budget import check_budget, within_budget
from orchid_genomics.evaluate.candidates import (
    Tuned,
    additions_of,
    readings_of,
    settings_notes,
    strand_of,
    tuned_of,
)
from orchid_genomics.evaluate.comparison import (
    Verdict,
    compare,
    difference_word,
    mean_interval,
    seen_in_pretraining,
    tune,
)
from orchid_genomics.evaluate.comparison_text import verdict_text
from orchid_genomics.evaluate.estimate_text import number, signed, span
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.evaluate.label_efficiency import ShareResult, share_lines
from orchid_genomics.evaluate.linear import baselines
from orchid_genomics.evaluate.orientation import sets_of
from orchid_genomics.evaluate.report import Curves, page
from orchid_genomics.evaluate.side_by_side import (
    FitsOf,
    Watch,
    one_thread,
    processes_for,
    train_side_by_side,
)
from orchid_genomics.files import atomic_file, finite, writable
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import LetterReader
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.recipe import load
from orchid_genomics.tasks.model_card import model_card
from orchid_genomics.terminal import clock, remark, silence
from orchid_genomics.train import distributed
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.run import Run
from orchid_genomics.train.supervised import balanced_weights


@dataclass(frozen=True)
class Measured:
    """One split, whole: the model, its alternatives, and the verdict on the test rows."""

    data: LabelledSet
    verdict: Verdict
    arms: list[TrainedArm]
    """Those that are trained, the model first."""
    others: list[Answered]

    def validation(self, arm: TrainedArm) -> float:
        """The primary score of an arm on validation."""
        return self.verdict.line(arm.name).validation


def finetune(
    path: str | Path,
    out: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    resume: bool = False,
    *,
    processes: int | None = 1,
    quiet: bool = False,
    as_json: bool = False,
) -> Path:
    """Train a model on labelled data and measure it beside its alternatives.

    Parameters
    ----------
    path
        A recipe (`FinetuneRecipe`).
    out
        The run folder: recipe.json, fits/, model/, evaluation.json and report.html. By default
        runs/ and the recipe's name.
    overrides
        ``KEY=VALUE`` of keys of the recipe.
    resume
        Go on with the run that stands in `out`.
    processes
        Processes of one thread each that train fits side by side on a CPU; 1: this one, with all
        its threads; None: as many as torch has threads, where rows are short. A script that asks
        for several needs `if __name__ == "__main__"`.
    quiet
        Show no progress.
    as_json
        Print the answer as one JSON object in place of text.

    Notes
    -----
    `model/` holds the arm that the recipe names (`arm`); the other trained arms stand beside it in
    `arms/`, as model folders too.

    Returns
    -------
    Path
        The model folder.

    Raises
    ------
    OrchidError
        For what a user can mend.
    """
    recipe = load(path, FinetuneRecipe, overrides)
    ranks = distributed.start(recipe.training.device)
    folder = Path(out or Path("runs") / Path(path).stem)
    try:
        with (
            silence(quiet or not ranks.main),
            closing(Run(folder, recipe, resume, writes=ranks.main)) as run,
        ):
            return _finetune(recipe, run, ranks, as_json, processes)
    finally:
        ranks.close()


def _finetune(
    recipe: FinetuneRecipe, run: Run, ranks: Ranks, as_json: bool, processes: int | None
) -> Path:
    began = time.monotonic()
    folds = recipe.training.folds
    splits = sets_of(recipe)
    reading = readings_of(recipe, splits[0])[0]
    model = build_model(recipe, splits[0], recipe.training.seeds[0], reading)
    if recipe.training.class_weights == "balanced":
        # Its answer is not needed yet: what it refuses is refused before any work.
        balanced_weights(splits[0])
    if not run.resume:
        check_budget(recipe, splits[0], ranks)
    # All shares first: one that cannot be learned from is refused before any work.
    smaller_shares = sorted(share for share in set(recipe.training.shares) if share < 1)
    parts = {share: keep_share(splits[0], share) for share in smaller_shares}
    inputs = checksums(recipe.data)
    if recipe.pretrained is not None:
        inputs[str(recipe.pretrained)] = OrchidModel.from_pretrained(recipe.pretrained).hash()
    # The first thing written, once nothing is found wrong.
    run.begin(inputs)

    measured = []
    for fold, data in enumerate(splits):
        fits = run.folder / "fits" / f"fold{fold}" if folds else run.folder / "fits"
        if folds:
            remark(f"fold {fold + 1} of {folds}")
        notes = notes_of(recipe, data, model)
        for line in (*data.describe(), *notes):
            remark(line)
        work = FitsOf(recipe.model_dump_json(), fits, fold if folds else None)
        measured.append(_measure(recipe, data, work, ranks, processes, notes))
    shares = []
    for share, part in parts.items():
        rows = len(part.rows("train"))
        remark(f"share {share:g} of the training rows: {rows:,}")
        fits = run.folder / "fits" / f"share{share:g}"
        work = FitsOf(recipe.model_dump_json(), fits, share=share)
        smaller = _measure(recipe, part, work, ranks, processes, [])
        shares.append(ShareResult(share, rows, smaller.verdict))
    if recipe.training.shares:
        whole = measured[0]
        shares.append(ShareResult(1.0, len(whole.data.rows("train")), whole.verdict))
    if ranks.main:
        seconds = {
            "all": time.monotonic() - began,
            "training": sum(each.arms[0].seconds for each in measured),
        }
        answer, values = _write(
            run, recipe, measured, shares, seconds=seconds, inputs=inputs, device=ranks.device
        )
        print(json.dumps(finite(values), indent=2) if as_json else answer)
    return run.model


def _measure(
    recipe: FinetuneRecipe,
    data: LabelledSet,
    work: FitsOf,
    ranks: Ranks,
    processes: int | None,
    notes: list[str],
) -> Measured:
    """Train the arms and the simple alternatives on one split, and read its test rows."""
    every, fits = arms_of(recipe, data), work.folder
    count = processes_for(every, recipe, data, ranks, processes)
    with one_thread() if count > 1 else nullcontext():
        within = [within_budget(arm, recipe, data, fits, ranks=ranks, say=remark) for arm in every]
    if count > 1:
        remark(f"training in {count} processes of one thread each")
        watch = Watch(work, within, data)
        with watch.count:
            train_side_by_side([work], count, lambda _: within, watch=watch)
    search, arms = additions_of(recipe, data), []
    for arm in within:
        # Fits that stand in their folders have been told of.
        with silence(count > 1):
            arms.append(train_arm(arm, recipe, data, fits, ranks=ranks, say=remark, search=search))
    sizes = recipe.baselines.sizes if recipe.baselines.simple else None
    others = list(baselines(data, strand_of(recipe, data), remark, sizes))
    remark("measuring the test split")
    verdict = compare(data, arms[0], [*arms[1:], *others], notes)
    return Measured(data, verdict, arms, others)


def notes_of(recipe: FinetuneRecipe, data: LabelledSet, model: OrchidModel) -> list[str]:
    """What a reader must know: the strand, what was trained, what was dropped or drawn, what
    pretraining saw.
    """
    notes = [_strand_note(recipe, data, model), f"Trained: {tuned_of(recipe).words}."]
    notes += settings_notes(recipe, data)
    notes += data.task.notes
    notes += [f"Data: {note}." for note in data.notes]
    if recipe.pretrained is None:
        return [*notes, "Pretraining: none, the encoder begins from random weights."]
    given = OrchidModel.from_pretrained(recipe.pretrained)
    longest, read = int(data.lengths.max()), given.provenance.window
    if read is not None and longest > read:
        rows = f"rows of up to {longest:,} nt"
        notes.append(f"Length: {rows}, pretraining read windows of {read:,} nt.")
    if tuned_of(recipe) != Tuned() and recipe.baselines.random:
        notes.append(
            "Random weights: no more of them is trained than of the given ones, the rest stays "
            "random."
        )
    return [*notes, seen_in_pretraining(data, given.provenance)]


def _strand_note(recipe: FinetuneRecipe, data: LabelledSet, model: OrchidModel) -> str:
    """Which strand is read, and why."""
    if recipe.head.kind is not None:
        return f"Strand: as the head {recipe.head.kind} reads it."
    strand = strand_of(recipe, data)
    reads = "sequences are read on their own strand"
    if strand == "both":
        reads = "the same answer on both strands"
        if model.recipe.encoder.strands == "dense":
            reads = "a random strand in every step of training; a dense encoder has no exact law"
    if recipe.head.strand != "auto":
        why = "as the recipe says"
    elif data.stranded:
        why = "following the strand column of the data"
    elif data.oriented:
        why = "as the rows say, for no column does"
    else:
        why = "neither a strand column nor the rows say one"
    return f"Strand: {strand} ({reads}; {why})."


def _write(
    run: Run,
    recipe: FinetuneRecipe,
    measured: list[Measured],
    shares: list[ShareResult],
    *,
    seconds: dict[str, float],
    inputs: dict[str, str],
    device: torch.device,
) -> tuple[str, dict[str, Any]]:
    """Model folders (of the best fold on validation), evaluation.json, report.html; what they come
    to, for a person and as values.
    """
    names = [arm.name for arm in measured[0].arms]
    place = names.index(ARMS[recipe.arm])
    best = max(measured, key=lambda each: each.validation(each.arms[place]))
    folds = [each.verdict for each in measured] if len(measured) > 1 else []
    answer = _over_folds(folds) if folds else verdict_text(best.verdict)
    if shares:
        answer = "\n".join([answer, "", *share_lines(shares)])
    held = best.arms[place]
    for arm in best.arms:
        rows = best.data.rows("validation")
        thresholds, _ = tune(best.data, rows, arm.together.validation)
        provenance = provenance_of(
            recipe, best.data, best.verdict, thresholds=thresholds, seconds=seconds, device=device
        )
        files = {Path(path).name: digest for path, digest in inputs.items()}
        provenance["labelled"]["files"] = files
        folder = run.model if arm is held else arm_folder(run.folder, arm.name)
        origin, model = Provenance.of(provenance, folder), arm.model
        kind = "A small CNN" if isinstance(model.head, LetterReader) else "Orchid"
        title = f"{kind} fine-tuned on {best.data.name}"
        model.save_pretrained(folder, origin, model_card(title, model, origin, answer))
    values = {
        "verdict": best.verdict.values(),
        "tried": {arm.name: arm.tried for arm in best.arms},
        "networks": {arm.name: [each.words for each in arm.networks] for arm in best.arms},
        "folds": [each.values() for each in folds],
        "answer": answer,
        **({"shares": [each.values() for each in shares]} if shares else {}),
    }
    run.write(run.folder / "evaluation.json", values)
    curves = [Curves(arm.name, [network.log for network in arm.networks]) for arm in best.arms]
    answered = [*(arm.answered for arm in best.arms), *best.others]
    html = page(
        best.data,
        best.verdict,
        answered,
        curves=curves,
        answer=answer,
        shares=shares,
        provenance=provenance,
    )
    report = run.folder / "report.html"
    with writable(report), atomic_file(report) as part:
        # A name of a file may be no text.
        part.write_text(html, encoding="utf-8", errors="backslashreplace")
    lines = [answer, f"took: {_took(measured)}", *_held_lines(best, held)]
    lines += ["", f"model:  {run.model}", f"report: {report}"]
    return "\n".join(lines), {"model": str(run.model), "report": str(report), **values}


def arm_folder(folder: Path, name: str) -> Path:
    """Where a run keeps an arm that is not its model."""
    word = "encoder" if name == MODEL else name
    return folder / "arms" / word.lower().replace(" ", "-")


def _held_lines(best: Measured, held: TrainedArm) -> list[str]:
    """What model/ holds, where that is not what a reader would take it for."""
    lines = []
    if held is not best.arms[0]:
        lines.append(f"model/ holds the {held.name}, as the recipe says")
    if len(held.networks) > 1:
        lines.append(
            f"model/ holds all {len(held.networks)} networks whose mean is scored; "
            "training.networks = 1 keeps the best alone"
        )
    better = max(best.arms, key=best.validation)
    if best.validation(better) > best.validation(held):
        scores = f"{number(best.validation(better))} against {number(best.validation(held))}"
        folder = arm_folder(Path(), better.name)
        lines.append(
            f"better on validation than what model/ holds: {better.name}, {scores}; it is in "
            f"{folder}/"
        )
    return lines


def _took(measured: list[Measured]) -> str:
    """What every arm tried and how long it trained, over all folds."""
    words = []
    for arms in zip(*(each.arms for each in measured), strict=True):
        tried = len(arms[0].tried)
        seeds = arms[0].trained - tried + 1
        seconds = clock(sum(arm.seconds for arm in arms))
        each = f", the best with {seeds} seeds," if seeds > 1 else ""
        candidates = f"{tried} candidate{'s' if tried > 1 else ''}"
        words.append(f"{arms[0].name} {candidates}{each} in {seconds}")
    return "; ".join(words)


def _over_folds(verdicts: list[Verdict]) -> str:
    """The mean over folds of every line's primary score, with its interval, and the differences
    from the model.
    """
    primary = verdicts[0].primary
    names = [line.name for line in verdicts[0].lines]
    model, others = names[0], names[1:]

    def values(name: str) -> list[float]:
        return [each.line(name).scores[primary].value for each in verdicts]

    def validation(name: str) -> float:
        return float(np.mean([each.line(name).validation for each in verdicts]))

    means = {name: mean_interval(values(name)) for name in names}
    # By validation: the best on the test rows would be chosen by what it is then judged on.
    comparator = max(others, key=validation)
    differences = np.subtract(values(model), values(comparator)).tolist()
    gap = mean_interval(differences)
    over = f"over {len(verdicts)} folds"
    sentence = (
        f"The encoder {difference_word(gap)} the best alternative on validation, {comparator}: "
        f"{primary} {number(means[model].value)} against {number(means[comparator].value)} "
        f"{over}, a difference of {signed(gap)}."
    )
    if not verdicts[0].has_alternatives:
        ours = f"{primary} {span(means[model])} {over}"
        sentence = f"No alternative was run, so there is no verdict: {ours}."
    lines = [sentence, *_notes_of_folds(verdicts), ""]
    lines += [f"{name:<26} {primary} {span(means[name])}" for name in names]
    lines += ["", f"means over {len(verdicts)} folds, 95 % intervals by Student's t"]
    return "\n".join(lines)


def _notes_of_folds(verdicts: list[Verdict]) -> list[str]:
    """What holds for every fold once; what differs with the number of its fold."""
    folds_of_note: dict[str, list[str]] = {}
    for fold, each in enumerate(verdicts, 1):
        for note in each.notes:
            folds_of_note.setdefault(note, []).append(str(fold))
    lines = []
    for note, folds in folds_of_note.items():
        everywhere = len(folds) == len(verdicts)
        lines.append(note if everywhere else f"Fold {', '.join(folds)}: {note}")
    return lines


def provenance_of(
    recipe: FinetuneRecipe,
    data: LabelledSet,
    verdict: Verdict,
    *,
    thresholds: np.ndarray,
    seconds: dict[str, float],
    device: torch.device,
) -> dict[str, Any]:
    """Where a fine-tuned model comes from, and how it scored."""
    given = OrchidModel.from_pretrained(recipe.pretrained) if recipe.pretrained else None
    machine = f"{torch.get_num_threads()} CPU threads"
    if device.type == "cuda":
        machine = torch.cuda.get_device_name()
    labelled = {
        "name": data.name,
        "task": data.task.name,
        "labels": list(data.labels),
        "thresholds": thresholds.tolist(),
        "rows": {split: len(data.rows(split)) for split in SPLITS},
        "lengths": [int(data.lengths.min()), int(data.lengths.max())],
        "notes": list(data.notes),
    }
    values = {
        "version": __version__,
        "licence": recipe.licence or (given.provenance.licence if given else None),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": machine,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "recipe": json.loads(recipe.model_dump_json()),
        "genomes": given.provenance.plain("genomes") if given else [],
        "pretrained": {"hash": given.hash()} if given else None,
        "labelled": labelled,
        "evaluation": [],
        "verdict": verdict.values(),
    }
    return finite(values)
