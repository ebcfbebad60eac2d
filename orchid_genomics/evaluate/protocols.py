"""A trained model beside its baselines, on the same held-out letters, in both protocols; no number
stands alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from orchid_genomics.data.corpus import Corpus
from orchid_genomics.data.splits import Split, read_regions
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.bootstrap import paired_bootstrap
from orchid_genomics.evaluate.held_out import HeldOut, choose_sites, contig_tokens, hide_letters
from orchid_genomics.evaluate.masked_letters import LetterModel, masked_bits, single_bits
from orchid_genomics.evaluate.ngram import NgramModel, fit_ngrams
from orchid_genomics.evaluate.repeats import recurs
from orchid_genomics.evaluate.score_table import ScoreTable, scores_by_region
from orchid_genomics.recipe import RecipePath, Strict
from orchid_genomics.sequence import DNA, SOFT
from orchid_genomics.train.distributed import Ranks


class RegionRecipe(Strict):
    """A part of the held-out sequence that is reported apart."""

    name: str
    """What its column is called."""
    bed: RecipePath
    """The regions, 0-based half-open."""
    outside: bool = False
    """Everything but the regions of the BED."""
    genome: int = 0
    """Which of `[[genomes]]`, from 0."""


class EvaluationRecipe(Strict):
    """What is measured after training, on the test split."""

    share: float = Field(default=0.15, gt=0, lt=1)
    """Share of letters masked at once in the first protocol."""
    length: int | None = Field(default=None, ge=32)
    """Window of the first protocol, nt; the longest of training when not given."""
    sites: int = Field(default=20_000, ge=0)
    """Sites of the second protocol, one masked letter a window."""
    site_length: int | None = Field(default=None, ge=32)
    """Window of the second protocol, nt; that of the first when not given."""
    batch: int = Field(default=16, gt=0)
    """Windows at once."""
    validation_windows: int = Field(default=256, gt=0)
    """Windows read for each validation during training."""
    baselines: bool = True
    """Fit and print the count models."""
    scratch: bool = False
    """Beside a model that goes on from `pretrained`: train the same shape from random weights by
    the same recipe, and print it too."""
    seed: int = 0
    """Which letters are masked; the same for every model that is to be compared."""
    regions: tuple[RegionRecipe, ...] = ()
    """Parts of the genome that are reported apart."""


def evaluate(
    model: LetterModel,
    corpus: Corpus,
    length: int,
    recipe: EvaluationRecipe,
    *,
    ranks: Ranks,
    say: Callable[[str], None] = lambda _: None,
    others: Mapping[str, LetterModel] | None = None,
) -> list[ScoreTable]:
    """Both protocols over the whole test split.

    Parameters
    ----------
    model
        The trained model; "model" in the tables.
    corpus
        The genomes and their splits.
    length
        The window of the first protocol, nt, where the recipe names none.
    recipe
        What is measured.
    ranks
        The model is read by all ranks; the count models are fitted on rank 0 alone.
    say
        Hears what takes time.
    others
        Models that stand beside it, by what to call them.

    Returns
    -------
    list of ScoreTable
        A table for each protocol, on rank 0; empty without a test split.
    """
    test = hide_letters(corpus, "test", recipe.seed, recipe.share)
    if not test:
        return []
    sites = choose_sites(test, recipe.sites, recipe.seed)
    length = recipe.length or length
    site_length = recipe.site_length or length
    # About as many letters at once as in the first protocol.
    single_batch = max(1, recipe.batch * length // site_length)
    masked, single = {}, {}
    for name, each in {"model": model, **(others or {})}.items():
        each.eval()
        masked[name] = masked_bits(
            each,
            test,
            length,
            batch=recipe.batch,
            ranks=ranks,
            shown_as=f"{name}, windows of the test contigs",
        )
        single[name] = single_bits(
            each,
            test,
            sites,
            site_length,
            batch=single_batch,
            ranks=ranks,
            shown_as=f"{name}, letters hidden one at a time",
        )
    if not ranks.main:
        return []
    train = training_letters(corpus)
    if recipe.baselines:
        say("fitting the count models on the training contigs")
        validation = hide_letters(corpus, "validation", recipe.seed, recipe.share)
        for under_masks, all_visible in _fit_counts(train, validation):
            name = under_masks.name
            # Tuned for the question: here with neighbours masked, below with all of them visible.
            masked[name] = [under_masks.bits(p.tokens, p.targets, p.hidden) for p in test]
            if recipe.sites:
                pairs = zip(test, sites, strict=True)
                single[name] = [all_visible.bits(piece.tokens, at) for piece, at in pairs]
    parts = _parts(corpus, test, train, recipe)
    title = f"masked bits per base, {recipe.share:.0%} masked, {length:,} nt"
    targets = [piece.targets for piece in test]
    tables = [_table(title, masked, _Letters.of(test, targets, parts))]
    if recipe.sites:
        title = f"bits per base, one masked letter, {site_length:,} nt"
        tables.append(_table(title, single, _Letters.of(test, sites, parts)))
    return tables


def validation(
    model: LetterModel, corpus: Corpus, length: int, recipe: EvaluationRecipe, *, ranks: Ranks
) -> Callable[[], float] | None:
    """A function that gives masked bits per base on evenly spaced validation windows.

    None without a validation split. Parameters as in `evaluate`.
    """
    pieces = hide_letters(corpus, "validation", recipe.seed, recipe.share)
    if not pieces:
        return None

    def mean_bits() -> float:
        most = recipe.validation_windows
        bits = masked_bits(model, pieces, length, batch=recipe.batch, ranks=ranks, most=most)
        return float(np.nanmean(np.concatenate(bits)))

    return mean_bits


def check_regions(corpus: Corpus, parts: Sequence[RegionRecipe]) -> None:
    """Read the BEDs of `evaluation.regions` before any work.

    Raises InputError, or RecipeError for a genome that is not there.
    """
    for number, part in enumerate(parts):
        if part.genome not in range(len(corpus.genomes)):
            where = f"evaluation.regions.{number}.genome"
            raise RecipeError(where, f"no genome {part.genome}", f"0 to {len(corpus.genomes) - 1}")
        read_regions(part.bed, corpus.genomes[part.genome])


def training_letters(corpus: Corpus) -> list[np.ndarray]:
    """Training contigs as tokens (L,), with what is held out of them as N."""
    contigs = []
    for number, split in enumerate(corpus.splits):
        for contig in split.contigs["train"]:
            tokens = contig_tokens(corpus.genomes[number], contig)
            contigs.append(_without_held_out(tokens, split, contig))
    return contigs


def _without_held_out(tokens: np.ndarray, split: Split, contig: str) -> np.ndarray:
    tokens = tokens.copy()
    for intervals in split.held_out.values():
        for interval in intervals:
            if interval.contig == contig:
                # As N, which is not counted: a contig may be held out in part.
                tokens[interval.start : interval.end] = DNA.n
    return tokens


def _fit_counts(
    train: list[np.ndarray], validation: Sequence[HeldOut]
) -> list[tuple[NgramModel, NgramModel]]:
    """Each count model, tuned under the masks and with every neighbour visible (on validation
    letters alone).
    """
    if not validation:
        # Without validation letters, a training contig: never those that are asked for.
        return [(counts, counts) for counts in fit_ngrams(train, train[:1])]
    tokens = [piece.tokens for piece in validation]
    inside = [piece.inside for piece in validation]
    hidden = [piece.hidden for piece in validation]
    models = fit_ngrams(train, tokens, hidden, inside)
    return [(counts, counts.tune(tokens, inside=inside)) for counts in models]


def _parts(
    corpus: Corpus, test: Sequence[HeldOut], train: list[np.ndarray], recipe: EvaluationRecipe
) -> dict[str, list[np.ndarray]]:
    """Named parts of the test contigs, a bool array (L,) each."""
    parts: dict[str, list[np.ndarray]] = {}
    for part in recipe.regions:
        intervals = read_regions(part.bed, corpus.genomes[part.genome])
        for piece in test:
            mine = piece.genome == part.genome
            inside = np.zeros(len(piece.tokens), bool)
            for interval in intervals if mine else ():
                if interval.contig == piece.contig:
                    inside[max(interval.start, 0) : interval.end] = True
            parts.setdefault(part.name, []).append(~inside if part.outside and mine else inside)
    again = recurs(train, [piece.tokens for piece in test])
    parts["repeated"], parts["unique"] = again, [~row for row in again]
    soft = [(piece.tokens & SOFT) > 0 for piece in test]
    # A genome without lower case has no such part.
    if any(row.any() for row in soft):
        parts["soft-masked"] = soft
    return parts


class _Letters(NamedTuple):
    """Where the targets of all pieces lie (N,), and in which parts (bool, N)."""

    contig: np.ndarray
    position: np.ndarray
    parts: dict[str, np.ndarray]

    @classmethod
    def of(
        cls,
        test: Sequence[HeldOut],
        places: Sequence[np.ndarray],
        parts: dict[str, list[np.ndarray]],
    ) -> "_Letters":
        numbers = [np.full(len(at), piece.number) for piece, at in zip(test, places, strict=True)]
        inside = {}
        for name, rows in parts.items():
            inside[name] = np.concatenate([row[at] for row, at in zip(rows, places, strict=True)])
        return cls(np.concatenate(numbers), np.concatenate(places), inside)


def _table(title: str, bits: dict[str, list[np.ndarray]], letters: _Letters) -> ScoreTable:
    contig, position, parts = letters
    whole = {name: np.concatenate(rows) for name, rows in bits.items()}
    scores, differences = {}, {}
    for name, row in whole.items():
        scores[name] = scores_by_region(row, contig, position, parts)
        if name != "model":
            # Paired, for both find the same blocks hard.
            differences[name] = paired_bootstrap(whole["model"], row, contig, position)
    return ScoreTable(title, scores, differences)
