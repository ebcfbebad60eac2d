"""What a fine-tuning recipe leaves out: how long to train, and what is tried on validation.

Every arm tries equally many candidates, the most promising first. The trap: what a recipe states
is no longer searched, and all of this is a function of recipe and data, so that a resumed run
finds its fits again.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.additions import KINDS, AdditionSearch
from orchid_genomics.evaluate.finetune_recipe import FinetuneEncoder, FinetuneRecipe
from orchid_genomics.evaluate.linear import has_places
from orchid_genomics.model.adapters import largest_rank
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import HEADS, HeadRecipe, MaximaKind, PooledRecipe, TracksRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.pooling import PoolKind
from orchid_genomics.model.strands import halves
from orchid_genomics.recipe import validate
from orchid_genomics.train.supervised import SupervisedRecipe, padded_lengths

STEPS = 1500
"""Steps of a set that is small enough. On held-out quarters of the training and validation rows of
six peak sets, two seeds each, one network had AUROC .855 after 500, .860 after 1,000, .864 after
1,500."""
PLACED_STEPS = 2000
"""Steps where a place means the same in all rows: which motif stands where has to be found."""
EPOCHS = 6, 30
"""How often rows are read, at least and at most. Twice was too few: on validation six epochs were
ahead of two by .051 of AUROC with twelve factors, .041 with open chromatin, .005 with GUE tf/0."""
CHECKS = 8
"""Validations of a whole training, at least."""
SMALL_BATCH, LARGE_BATCH, MANY_ROWS = 16, 32, 10_000
LETTERS = 20_000_000
"""Letters that an arm trains on by default, which decides how many candidates it has."""
FEWEST, MOST = 2, 4
STRETCH = 4
"""Letters of a stretch of anchored rows. One network's validation AUROC in promoters of 300 letters
was .942 with 16 stretches, .958 with 32, .965 with 64 and with 100; in transcription starts of 300
.880, .880 and .919."""
COARSEST, MOST_STRETCHES = 16, 128
"""Stretches of a row, at least and at most; the fewest are tried beside what is usual."""
STRETCH_ANSWERS = 2048
"""Stretches of a row times answers, at most: each answer has weights of its own for each."""
MIDDLE = 25
"""Letters of the smallest part about the middle of a row, at least: where what was measured mostly
is, in rows about a summit."""
SHAPES: tuple[dict[str, Any], ...] = ({}, {"stem_word": 0})
ANCHORED_SHAPES: tuple[dict[str, Any], ...] = ({"convolutions": (1, 2)}, {})
"""Shapes of an encoder from random weights, the usual one first. With full convolutions one
network's validation AUROC was .933 for .920 in transcription starts (the small CNN .933), .960 for
.965 in promoters: both are tried."""
FEW_ROWS = 50
"""Training rows of a class below which little can be learned."""

# Rate and share of hidden letters, the most promising pair first.
SCRATCH = ((4e-3, 0.1), (4e-3, 0.2), (2e-3, 0.1), (4e-3, 0.0))
GIVEN = ((1e-3, 0.0), (3e-3, 0.0), (3e-4, 0.0), (1e-3, 0.1))
CNN = ((3e-3, 0.0), (1e-3, 0.0), (3e-3, 0.1), (1e-2, 0.0))


@dataclass(frozen=True)
class Reading:
    """What a pooled head reads, or the small CNN, which has maxima of its own alone."""

    pool: PoolKind | None = None
    maxima: tuple[MaximaKind, ...] = ()
    stretches: int = 1
    middles: int = 0

    @property
    def words(self) -> str:
        """For tables."""
        words: list[str] = []
        if self.pool:
            words.append(self.pool)
        if self.maxima:
            words.append(f"and maxima of {' and '.join(self.maxima)}")
        if self.stretches > 1:
            words.append(f"in {self.stretches} stretches")
        if self.middles:
            words.append(f"in {self.middles + 1} parts about the middle")
        return " ".join(words)


FINEST = 1 << 10
"""`Reading.middles` or `stretches` before rows say how many there is room for."""

# The head that reads the height of motifs first, near the middle and anywhere (anchored rows: in
# many stretches); then anywhere alone, for rows with nothing in their middle (in few); then, as not
# every set is of motifs, the maxima of all that the encoder makes of them, and a plain mean.
ANYWHERE = (
    Reading("attention", ("stem",), middles=FINEST),
    Reading("attention", ("stem",)),
    Reading("attention", ("residual", "stem"), middles=FINEST),
    Reading("mean"),
)
ANCHORED = (
    Reading("center", ("residual", "stem"), stretches=FINEST),
    Reading("center", ("residual", "stem"), stretches=COARSEST),
    Reading("attention", ("stem",)),
    Reading("mean"),
)


@dataclass(frozen=True)
class Tuned:
    """What of a given encoder is trained beside the head."""

    layers: int | None = None
    """So many of the last layers; None: all weights."""
    adapter: int = 0
    """Rank of low-rank updates in place of the weights; 0: none."""

    @property
    def words(self) -> str:
        """For tables and notes."""
        if self.adapter:
            return f"the head and adapters of rank {self.adapter}"
        if self.layers is None:
            return "all weights"
        if self.layers == 0:
            return "the head alone"
        return f"the head and the last {self.layers} layer{'s' if self.layers > 1 else ''}"


RANK = 8
"""Of the adapters that are tried where the recipe names none."""
PARTS_RATE = 3e-3
"""Of a head, adapters or last layers: what few weights learn with, above a whole encoder's."""


@dataclass(frozen=True)
class Candidate:
    """One way to train an arm."""

    rate: float
    training: SupervisedRecipe
    reading: Reading | None = None
    """What is read of a row; None for tracks, which have an answer along it."""
    encoder: FinetuneEncoder | None = None
    """A shape other than the recipe's."""
    tuned: Tuned | None = None
    """A part of the encoder other than the recipe's."""

    @property
    def words(self) -> str:
        """For tables, and for the name of a folder."""
        words = f"rate {self.rate:g}"
        if self.training.noise:
            words += f", {self.training.noise:.0%} hidden"
        if self.encoder is not None:
            word = self.encoder.stem_word
            within = f"within {word} letters" if word else "of all letters"
            words += f", {shape_words(self.encoder)}, random ones {within}"
        if self.tuned is not None:
            words += f", {self.tuned.words}"
        read = self.reading.words if self.reading else ""
        return f"{words}, {read}" if read else words


def training_of(recipe: FinetuneRecipe, data: LabelledSet, noise: float = 0.0) -> SupervisedRecipe:
    """How long and how often: as the recipe says, else about as many steps as sets of the kind
    need.
    """
    stated, rows = recipe.training, data.rows("train")
    wanted = PLACED_STEPS if is_anchored(recipe, data) else STEPS
    batch = stated.batch or (SMALL_BATCH if len(rows) < MANY_ROWS else LARGE_BATCH)
    steps = steps_of(data, batch)
    epochs = stated.epochs or int(np.clip(round(wanted / max(steps, 1)), *EPOCHS))
    checks = stated.checks or max(1, round(CHECKS / epochs))
    patience = max(4, epochs * checks // 2) if stated.patience is None else stated.patience
    return SupervisedRecipe(
        epochs=epochs,
        batch=batch,
        accumulate=stated.accumulate,
        class_weights=stated.class_weights,
        noise=noise,
        checks=checks,
        patience=patience,
        checkpointing=stated.checkpointing,
        precision=stated.precision,
    )


def steps_of(data: LabelledSet, batch: int) -> int:
    """Steps of an epoch: a step's rows are of one transform length."""
    _, counts = np.unique(padded_lengths(data)[data.rows("train")], return_counts=True)
    return int(np.sum(-(-counts // batch)))


def count_of(recipe: FinetuneRecipe, data: LabelledSet) -> int:
    """How many candidates an arm has, more of them in small sets; all where a time decides."""
    if isinstance(recipe.training.budget, int):
        return recipe.training.budget
    if isinstance(recipe.training.budget, str):
        return len(ANYWHERE) + len(SCRATCH) + len(parts_of(recipe))
    epochs = training_of(recipe, data).epochs
    letters = int(data.lengths[data.rows("train")].sum()) * epochs
    return int(np.clip(LETTERS // max(letters, 1), FEWEST, MOST))


def stated_rates(recipe: FinetuneRecipe) -> tuple[float, ...]:
    """Learning rates that the recipe names; none where they are searched."""
    if recipe.training.rates:
        return recipe.training.rates
    return (recipe.optimizer.rate,) if recipe.optimizer.rate else ()


def model_candidates(recipe: FinetuneRecipe, data: LabelledSet) -> list[Candidate]:
    """What the encoder tries, the most promising first; all that are stated, or `count_of`."""
    readings, (usual, *shapes) = readings_of(recipe, data), shapes_of(recipe, data)

    def candidate(
        pair: tuple[float, float], reading: Reading | None, shape: FinetuneEncoder | None = usual
    ) -> Candidate:
        training = training_of(recipe, data, _noise(recipe, pair))
        return Candidate(pair[0], training, reading, shape)

    stated = stated_rates(recipe)
    if stated:
        return [candidate((rate, 0.0), readings[0]) for rate in stated]
    first, second, *others = GIVEN if recipe.pretrained else SCRATCH
    # One step away from the best guess at a time: how finely places are told apart, which decides
    # most where it is wrong, then the shape (first, where places are known to mean the same), rate
    # and noise, what is read.
    every = [candidate(first, readings[0])]
    coarse = readings[0] and replace(
        readings[0], middles=0, stretches=min(readings[0].stretches, COARSEST)
    )
    coarser = [candidate(first, reading) for reading in readings if reading == coarse]
    shaped = [candidate(first, readings[0], shape) for shape in shapes]
    every += [*shaped, *coarser] if is_anchored(recipe, data) else [*coarser, *shaped]
    every.append(candidate(second, readings[0]))
    every += [candidate(first, reading) for reading in readings[1:]]
    every += [candidate(pair, readings[0]) for pair in others]
    part = candidate((PARTS_RATE, 0.0), readings[0])
    every += [replace(part, tuned=tuned) for tuned in parts_of(recipe)]
    # What the recipe states makes some of them alike.
    return list(dict.fromkeys(every))[: count_of(recipe, data)]


def tuned_of(recipe: FinetuneRecipe) -> Tuned:
    """What of the encoder the recipe trains."""
    return Tuned(recipe.training.layers, recipe.training.adapter or 0)


def parts_of(recipe: FinetuneRecipe) -> list[Tuned]:
    """Parts of a given encoder to train in place of the whole, where the recipe names none."""
    training = recipe.training
    is_stated = training.layers is not None or training.adapter is not None
    if recipe.pretrained is None or is_stated:
        return []
    encoder = encoder_of(recipe)
    rank = min(RANK, largest_rank(encoder))
    parts = [Tuned(adapter=rank)] if rank else []
    # The last of one layer is all of them.
    parts += [Tuned(layers=1)] if encoder.depth > 1 else []
    return [*parts, Tuned(layers=0)]


def begins_at_motifs(recipe: FinetuneRecipe, data: LabelledSet) -> bool:
    """Whether the encoder has a stem of its own, and rows have an answer that words may go with."""
    return recipe.pretrained is None and encoder_of(recipe).stem > 0 and not data.task.bin


def shapes_of(recipe: FinetuneRecipe, data: LabelledSet) -> list[FinetuneEncoder | None]:
    """Shapes of an encoder from random weights where the recipe names none, the usual one first;
    None: the recipe's own, or all defaults.
    """
    if recipe.pretrained is not None or recipe.model is not None:
        return [None]
    shapes = ANCHORED_SHAPES if is_anchored(recipe, data) else SHAPES
    return [FinetuneEncoder(**shape) if shape else None for shape in shapes]


def shape_words(encoder: OrchidRecipe) -> str:
    """For tables."""
    layers = f"{encoder.depth} layer{'s' if encoder.depth > 1 else ''}"
    stem = ""
    if encoder.stem:
        motifs = encoder.motifs // halves(encoder.strands)
        stem = f", a stem of {motifs} motifs of {encoder.stem} letters"
    below = f", {len(encoder.convolutions)} full convolutions" if encoder.convolutions else ""
    return f"width {encoder.width}, {layers}{below}{stem}"


def _noise(recipe: FinetuneRecipe, pair: tuple[float, float]) -> float:
    """The share of hidden letters: the recipe's own before that of a candidate."""
    return pair[1] if recipe.training.noise is None else recipe.training.noise


def cnn_candidates(recipe: FinetuneRecipe, data: LabelledSet) -> list[Candidate]:
    """What the small CNN tries: as many as the model does, or the rates that the recipe names."""
    readings = cnn_readings(recipe, data)

    def candidate(pair: tuple[float, float], reading: Reading | None) -> Candidate:
        return Candidate(pair[0], training_of(recipe, data, _noise(recipe, pair)), reading)

    if recipe.baselines.cnn_rates:
        rates = dict.fromkeys(recipe.baselines.cnn_rates)
        return [candidate((rate, 0.0), readings[0]) for rate in rates]
    first, second, noisy, *others = CNN
    # Both differ at first, so that two candidates are enough for sets that learn slower.
    every = [candidate(first, readings[0]), candidate(second, readings[-1])]
    every += [candidate(noisy, readings[0]), candidate(first, readings[-1])]
    every += [candidate(pair, readings[0]) for pair in (second, *others)]
    return list(dict.fromkeys(every))[: len(model_candidates(recipe, data))]


def cnn_readings(recipe: FinetuneRecipe, data: LabelledSet) -> list[Reading | None]:
    """What the small CNN may read: the parts of a row that an encoder's head would by default."""
    if data.task.bin:
        return [None]
    if is_anchored(recipe, data):
        parts = stretches_of(data), COARSEST
        return [Reading(stretches=count) for count in dict.fromkeys(parts)]
    return list(dict.fromkeys([Reading(middles=halvings(data)), Reading()]))


def readings_of(recipe: FinetuneRecipe, data: LabelledSet) -> list[Reading | None]:
    """What pooled heads may read, the most promising first: one where the recipe says, none for
    tracks and for heads of other packages.
    """
    if data.task.bin or recipe.head.kind is not None:
        return [None]
    choice, encoder = recipe.head, encoder_of(recipe)
    if choice.pool is not None:
        parts = choice.stretches or 1, choice.middles or 0
        return [Reading(choice.pool, choice.maxima or (), *parts)]
    halved, finest = halvings(data), stretches_of(data)
    readings: dict[Reading, None] = {}
    for reading in ANCHORED if is_anchored(recipe, data) else ANYWHERE:
        maxima = reading.maxima if choice.maxima is None else choice.maxima
        if not encoder.stem and choice.maxima is None:
            maxima = ("residual",) if maxima else ()
        stretches = choice.stretches or (1 if choice.middles else min(reading.stretches, finest))
        middles = min(reading.middles, halved) if choice.middles is None else choice.middles
        if not maxima or stretches > 1:
            middles = 0
        readings[Reading(reading.pool, maxima, stretches, middles)] = None
    return list(readings)


def halvings(data: LabelledSet) -> int:
    """How often the middle of a usual row can be halved, so that `MIDDLE` letters are left."""
    return max(0, int(np.log2(np.median(data.lengths) / MIDDLE)))


def stretches_of(data: LabelledSet) -> int:
    """Into how many stretches anchored rows are divided; fewer for hundreds of answers."""
    most = min(MOST_STRETCHES, max(COARSEST, STRETCH_ANSWERS // data.task.outputs))
    return int(np.clip(data.lengths.max() // STRETCH, COARSEST, most))


def additions_of(recipe: FinetuneRecipe, data: LabelledSet) -> AdditionSearch | None:
    """What a head of the encoder may add to its answer; None for one that does not pool, is not
    ours, or is to add nothing.
    """
    head = recipe.head
    if data.task.bin or head.kind is not None:
        return None
    places = head.places and is_anchored(recipe, data) and has_places(data)
    if not head.words and not places:
        return None
    kinds = KINDS if head.words else ()
    return AdditionSearch(data, strand_of(recipe, data), kinds, places=places)


def is_anchored(recipe: FinetuneRecipe, data: LabelledSet) -> bool:
    """Whether a place means the same in all rows: they have one strand and one length."""
    lengths = data.lengths
    return bool(strand_of(recipe, data) == "forward" and lengths.min() == lengths.max())


def strand_of(recipe: FinetuneRecipe, data: LabelledSet) -> Literal["both", "forward"]:
    """The strand of the head: as the recipe says, else as the data's strand column or rows do."""
    if recipe.head.strand != "auto":
        return recipe.head.strand
    return "forward" if data.stranded or data.oriented else "both"


def head_of(recipe: FinetuneRecipe, data: LabelledSet, reading: Reading | None) -> HeadRecipe:
    """The head that the data ask for, or the recipe's own of another package."""
    task, choice = data.task, recipe.head
    if choice.kind is not None:
        of_data = {"task": task.name, "labels": list(task.labels)}
        block = HEADS.pick(choice.kind, "head.kind").Recipe
        asked = {key: of_data[key] for key in of_data if key in block.model_fields}
        return validate(block, {"kind": choice.kind, **choice.keys, **asked}, where="head.keys")
    values = {"task": task.name, "labels": task.labels, "strand": strand_of(recipe, data)}
    if reading is None:
        return TracksRecipe(bin=task.bin, other=choice.other, **values)
    return PooledRecipe(
        pool=reading.pool or "mean",
        maxima=reading.maxima,
        stretches=reading.stretches,
        middles=reading.middles,
        queries=choice.queries,
        **values,
    )


def encoder_of(recipe: FinetuneRecipe) -> OrchidRecipe:
    """The shape of the encoder: that of the given model, or the recipe's own."""
    if recipe.pretrained is not None:
        given = OrchidModel.from_pretrained(recipe.pretrained)
        return given.only_encoder("pretrained").recipe
    encoder = (recipe.model or FinetuneEncoder()).shape
    if encoder.alphabet != "dna":
        raise RecipeError("model.alphabet", f"{encoder.alphabet!r} cannot read DNA", "dna")
    return encoder


def settings_notes(recipe: FinetuneRecipe, data: LabelledSet) -> list[str]:
    """What the recipe left out, in words for the report: the length of training, what is tried."""
    training = training_of(recipe, data)
    steps = steps_of(data, training.batch)
    candidates = model_candidates(recipe, data)
    shape = shape_words(candidates[0].encoder or encoder_of(recipe))
    if begins_at_motifs(recipe, data):
        shape += " that begins at enriched words"
    tried = "Tried on validation"
    if isinstance(recipe.training.budget, str):
        tried += f", as far as {recipe.training.budget} goes"
    notes = [
        f"Training: {shape}; up to {training.epochs} epochs of {steps:,} steps of "
        f"{training.batch} rows, patience {training.patience}.",
        f"{tried}: {'; '.join(candidate.words for candidate in candidates)}.",
    ]
    return [*notes, *_few_rows(data)]


def _few_rows(data: LabelledSet) -> list[str]:
    """A line where a class has too few rows to learn from."""
    if not data.task.has_classes:
        return []
    counts = np.bincount(data.target[data.rows("train")], minlength=len(data.labels))
    least = int(counts.argmin())
    if counts[least] >= FEW_ROWS:
        return []
    return [
        f"Few rows: {counts[least]:,} training rows of {data.labels[least]}; what works is "
        f"{FEW_ROWS} or more of each class, or a pretrained model with training.layers = 0."
    ]
