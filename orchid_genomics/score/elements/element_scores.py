"""Elements to numbers, in memory: a row for each, and where there is no number the reason.

A model with a letters head says how likely it finds the element's letters; a fine-tuned one says
what it was trained for. The trap: a model fine-tuned on windows of one length must be shown windows
of that length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchid_genomics.data.peaks import window
from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.batching import BATCH, LONGEST, batches
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import answers, bin_of
from orchid_genomics.model.tokens import pad_rows
from orchid_genomics.score.elements.background import Background
from orchid_genomics.score.elements.likelihood import Likelihood
from orchid_genomics.score.outputs import column_names, supervised_task
from orchid_genomics.score.reader import Reader
from orchid_genomics.score.variants.scorers import Column
from orchid_genomics.score.variants.variant_scores import trained_length
from orchid_genomics.sequence import CODE, DNA, Interval

REASONS = {
    "unknown_contig": "the genome has no such contig",
    "off_contig": "reaches beyond the end of its contig",
    "all_n": "every letter is N",
    "too_long": "longer than the longest element that the model reads",
}


@dataclass(frozen=True)
class ElementScores:
    """A row for each element, in the order asked.

    Attributes: `columns`; `values` (N, columns) float64, NaN where there is none; `why` a key of
    REASONS where a row has no number, else "".
    """

    columns: tuple[Column, ...]
    values: np.ndarray
    why: list[str]

    def __getitem__(self, name: str) -> np.ndarray:
        """A column (N,) by its name."""
        return self.values[:, [column.name for column in self.columns].index(name)]


@dataclass(frozen=True)
class Options:
    """How elements are read; what does not apply to a model is ignored by it.

    `window` letters around each piece of an element, and `passes` (see `Likelihood`), and
    `background` windows a length for z (0: no z), drawn by `seed`: of models with a letters head.
    `length` letters around the middle of each element, 0 for the element itself, None as in
    training: of fine-tuned ones.
    """

    window: int | None = None
    passes: int = 1
    background: int = 200
    seed: int = 0
    length: int | None = None


class ElementScoring:
    """A model and a genome made ready to score elements. Raises InputError for a model without a
    head.
    """

    def __init__(self, model: OrchidModel, genome: Genome, options: Options | None = None) -> None:
        self.model, self.genome, self.options = model.eval(), genome, options or Options()
        if model.recipe.head is None:
            possible = "orchid-genomics embed, or a model with a head"
            raise InputError("model", "has no head: it gives vectors", possible)
        self.longest = longest(model)
        if model.recipe.head.kind == "letters":
            self.likelihood: Likelihood | None = self._likelihood()
            self.columns, self.length = _likelihood_columns(self.options), 0
        else:
            self.likelihood = None
            self.length = trained_on(model) if self.options.length is None else self.options.length
            self.columns = _head_columns(model)

    def __call__(
        self, intervals: Sequence[Interval], summits: Sequence[int | None] | None = None
    ) -> ElementScores:
        """Scores of intervals with the genome's contig names; a row depends on its own alone.

        Where a fine-tuned model reads windows of one length, they are centred on `summits` (0-based
        on the contig), or on the middles of the intervals.
        """
        why = [check(interval, self.genome, self.longest) for interval in intervals]
        values = np.full((len(intervals), len(self.columns)), np.nan)
        rows = [row for row, reason in enumerate(why) if not reason]
        centres = summits or [None] * len(intervals)
        if rows and self.likelihood:
            values[rows] = self._likelihoods([intervals[row] for row in rows], self.likelihood)
        elif rows:
            tokens = [read(self.genome, intervals[row], self.length, centres[row]) for row in rows]
            values[rows] = predict(self.model, tokens)
        return ElementScores(self.columns, values, why)

    @property
    def settings(self) -> dict[str, Any]:
        """The options that decide the numbers of this model, as an identity names them."""
        options = self.options
        if self.likelihood is None:
            return {"length": self.length}
        settings = {
            "window": self.likelihood.reader.window,
            "passes": options.passes,
            "background": options.background,
        }
        return settings | ({"seed": options.seed} if options.background else {})

    def _likelihood(self) -> Likelihood:
        options = self.options
        reader = Reader(self.model, self.genome, options.window or trained_length(self.model))
        likelihood = Likelihood(reader, options.passes)
        self.background = Background(
            self.genome, likelihood.means, options.background, options.seed
        )
        return likelihood

    def _likelihoods(self, intervals: list[Interval], likelihood: Likelihood) -> np.ndarray:
        means = likelihood.means(intervals)
        if not self.options.background:
            return means
        pairs = zip(intervals, means, strict=True)
        z = [self.background.z(interval, values) for interval, values in pairs]
        return np.concatenate([means, np.array(z)], axis=1)


def predict(model: OrchidModel, rows: Sequence[np.ndarray]) -> np.ndarray:
    """What a fine-tuned model says of sequences: probabilities, or numbers in the labels' units.

    Rows of a batch do not talk. Tracks go one by one, for their product rounds by the number of
    bins.

    Parameters
    ----------
    rows : tokens, of any lengths.

    Returns
    -------
    (N, K), of tracks the mean along each sequence.
    """
    recipe, device = model.recipe.head, next(model.parameters()).device
    bin = bin_of(recipe)
    predictions: list[np.ndarray] = [np.empty(0)] * len(rows)
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    lengths = [len(rows[row]) for row in order]
    with torch.inference_mode():
        for batch in batches(lengths, 1 if bin else BATCH):
            own = [order[at] for at in batch]
            tokens_BL = pad_rows([rows[row] for row in own], DNA.pad).to(device)
            out = answers(recipe, model(tokens_BL)).double().cpu().numpy()
            for at, row in enumerate(own):
                predictions[row] = out[at]
                if bin:
                    bins = max(len(rows[row]) // bin, 1)
                    predictions[row] = out[at, :bins].mean(0)
    return np.array(predictions, np.float64).reshape(len(rows), -1)


def read(
    genome: Genome, interval: Interval, length: int = 0, summit: int | None = None
) -> np.ndarray:
    """Tokens of an interval on its strand, or of `length` letters around its summit or middle.

    N beyond the contig.
    """
    if length and interval.contig in genome.circular:
        # A contig that is no longer than the window is read whole, as one without ends.
        length = min(length, genome.contigs[interval.contig])
    shown = window(interval, length, summit) if length else interval
    strand = "-" if shown.strand == "-" else "+"
    return genome.tokens(shown.contig, shown.start, shown.end, strand)


def check(interval: Interval, genome: Genome, longest: int = LONGEST) -> str:
    """Why an element cannot be scored ("" if it can): a key of REASONS."""
    if interval.contig not in genome.contigs:
        return "unknown_contig"
    if not genome.holds(interval.contig, interval.start, interval.end):
        return "off_contig"
    if len(interval) > longest:
        return "too_long"
    codes = genome.tokens(interval.contig, interval.start, interval.end) & CODE
    return "" if (codes < DNA.count).any() else "all_n"


def longest(model: OrchidModel) -> int:
    """Letters of the longest element that a model reads: 131,072, or what it was trained on."""
    return max(LONGEST, trained_length(model), trained_on(model))


def trained_on(model: OrchidModel) -> int:
    """The one length of the sequences that a model was fine-tuned on; 0: several, or not known."""
    labelled = model.provenance.labelled
    lengths = set(labelled.lengths) if labelled else set()
    return lengths.pop() if len(lengths) == 1 else 0


def _likelihood_columns(options: Options) -> tuple[Column, ...]:
    how = (
        "letters in sight, corrected"
        if options.passes == 1
        else f"masked in {options.passes} interleaved passes"
    )
    columns = (
        Column(
            "loglik",
            f"Mean log-likelihood of the element's letters, each given all others ({how}), in nats",
        ),
        Column(
            "entropy",
            "Mean entropy of the model's distributions over the letter, in bits; 2: no idea",
        ),
    )
    if not options.background:
        return columns
    against = (
        "in standard deviations from the mean of n windows of the genome alike in length and GC"
    )
    return (
        *columns,
        Column("loglik_z", f"loglik {against}"),
        Column("entropy_z", f"entropy {against}"),
        Column("n", "Background windows of the two z"),
    )


def _head_columns(model: OrchidModel) -> tuple[Column, ...]:
    """One column for each answer of a fine-tuned head, named by its label."""
    task = supervised_task(model)
    along = ", the mean along the element" if bin_of(model.recipe.head) else ""
    columns = []
    for name, label in zip(column_names(task.columns), task.columns, strict=True):
        if task.has_numbers:
            columns.append(Column(name, f"{label}, in the labels' units{along}"))
        else:
            columns.append(Column(f"p_{name}", f"Probability of {label!r}{along}"))
    return tuple(columns)


def score_elements(
    model: OrchidModel | str | Path,
    genome: Genome | str | Path,
    intervals: Sequence[Interval],
    **options: Any,
) -> ElementScores:
    """Scores of elements in memory.

    Parameters
    ----------
    model, genome : opened, or the paths of a model folder and a FASTA.
    intervals : 0-based half-open.
    options : those of `Options`.

    Examples
    --------
    >>> promoters = read_bed("promoters.bed")  # doctest: +SKIP
    >>> scores = score_elements("runs/yeast/model", "yeast.fa", promoters)  # doctest: +SKIP
    >>> scores["loglik_z"], scores.why  # doctest: +SKIP
    """
    model = model if isinstance(model, OrchidModel) else OrchidModel.from_pretrained(model)
    genome = genome if isinstance(genome, Genome) else Genome(genome)
    return ElementScoring(model, genome, Options(**options))(list(intervals))
