"""A trained model beside its baselines, on the same held-out letters, in both protocols; no number
stands alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pydantic import Field
from torch import nn

from orchid_genomics.data.corpus import Corpus
from orchid_genomics.data.splits import read_regions
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.bootstrap import paired_bootstrap
from orchid_genomics.evaluate.kmer_tables import repeated
from orchid_genomics.evaluate.masked_letters import (
    HeldOut,
    contig_tokens,
    held_out,
    masked_bits,
    single_bits,
    sites,
)
from orchid_genomics.evaluate.ngram import Counts, baselines
from orchid_genomics.evaluate.score_table import ScoreTable, scores_by_region
from orchid_genomics.recipe import RecipePath, Strict
from orchid_genomics.sequence import DNA, SOFT
from orchid_genomics.train.distributed import Ranks


class RegionRecipe(Strict):
    """A part of the held-out sequence that is reported apart."""

    name: str
    bed: RecipePath
    outside: bool = False
    """Everything but the regions of the BED."""
    genome: int = 0
    """Which of `[[genomes]]`, from 0."""


class EvaluationRecipe(Strict):
    """What is measured after training, on the test split."""

    share: float = Field(default=0.15, gt=0, lt=1)
    """Share of letters masked at once in the first protocol."""
    sites: int = Field(default=20_000, ge=0)
    """Sites of the second protocol, one masked letter a window."""
    site_length: int | None = Field(default=None, ge=32)
    """Window of the second protocol, nt; the training window when not given."""
    batch: int = Field(default=16, gt=0)
    validation_windows: int = Field(default=256, gt=0)
    """Windows read for each validation during training."""
    baselines: bool = True
    """Fit and print the count models."""
    seed: int = 0
    """Which letters are masked; the same for every model that is to be compared."""
    regions: tuple[RegionRecipe, ...] = ()


def evaluate(
    model: nn.Module,
    corpus: Corpus,
    length: int,
    recipe: EvaluationRecipe,
    ranks: Ranks,
    say: Callable[[str], None] = lambda _: None,
) -> list[ScoreTable]:
    """Both protocols over the whole test split; the count models are fitted on rank 0 alone. Empty
    without a test.
    """
    test = held_out(corpus, "test", recipe.seed, recipe.share)
    if not test:
        return []
    model.eval()
    places = sites(test, recipe.sites, recipe.seed)
    masked = masked_bits(model, test, length, recipe.batch, ranks)
    site_length = recipe.site_length or length
    single = single_bits(
        model, test, places, site_length, max(1, recipe.batch * length // site_length), ranks
    )
    if not ranks.main:
        return []
    ours_masked, ours_single = {"model": masked}, {"model": single}
    train = [
        tokens
        for number, split in enumerate(corpus.splits)
        for tokens in _training(corpus, number, split)
    ]
    if recipe.baselines:
        say("fitting the count models on the training contigs")
        validation = held_out(corpus, "validation", recipe.seed, recipe.share)
        for counts, tuned in _counts(train, validation):
            ours_masked[counts.name] = [counts.bits(p.tokens, p.targets, p.hidden) for p in test]
            if recipe.sites:
                ours_single[counts.name] = [
                    tuned.bits(p.tokens, at) for p, at in zip(test, places, strict=True)
                ]
    labels = _labels(corpus, test, train, recipe)
    share = f"{recipe.share:.0%} masked, {length:,} nt"
    protocols = [
        _protocol(
            f"masked bits per base, {share}", ours_masked, test, [p.targets for p in test], labels
        )
    ]
    if recipe.sites:
        title = f"bits per base, one masked letter, {site_length:,} nt"
        protocols.append(_protocol(title, ours_single, test, places, labels))
    return protocols


def validation(
    model: nn.Module, corpus: Corpus, length: int, recipe: EvaluationRecipe, ranks: Ranks
) -> Callable[[], float] | None:
    """A function that gives masked bits per base on evenly spaced validation windows; None without
    validation.
    """
    pieces = held_out(corpus, "validation", recipe.seed, recipe.share)
    if not pieces:
        return None

    def bits() -> float:
        found = masked_bits(model, pieces, length, recipe.batch, ranks, recipe.validation_windows)
        return float(np.nanmean(np.concatenate(found)))

    return bits


def check_regions(corpus: Corpus, recipe: EvaluationRecipe) -> None:
    """Read the BEDs of `regions` before any work. Raises InputError, or RecipeError for a genome
    that is not there.
    """
    for number, part in enumerate(recipe.regions):
        if part.genome not in range(len(corpus.genomes)):
            where = f"evaluation.regions.{number}.genome"
            raise RecipeError(where, f"no genome {part.genome}", f"0 to {len(corpus.genomes) - 1}")
        read_regions(part.bed, corpus.genomes[part.genome])


def _training(corpus: Corpus, number: int, split: Any) -> list[np.ndarray]:
    """Training contigs as tokens, with what is held out of them as N."""
    found = []
    for contig in split.contigs["train"]:
        tokens = contig_tokens(corpus.genomes[number], contig)
        held = [
            place
            for places in split.held_out.values()
            for place in places
            if place.contig == contig
        ]
        if held:
            tokens = tokens.copy()
        for place in held:
            tokens[place.start : place.end] = DNA.n
        found.append(tokens)
    return found


def _counts(train: list[np.ndarray], validation: Sequence[HeldOut]) -> list[tuple[Counts, Counts]]:
    """Each count model, tuned under the masks and with every neighbour visible (on validation
    letters alone).
    """
    if not validation:
        return [(counts, counts) for counts in baselines(train, train[:1])]
    tokens, inside = [piece.tokens for piece in validation], [piece.inside for piece in validation]
    found = baselines(train, tokens, [piece.hidden for piece in validation], inside)
    return [(counts, counts.tuned(tokens, inside=inside)) for counts in found]


def _labels(
    corpus: Corpus, test: Sequence[HeldOut], train: list[np.ndarray], recipe: EvaluationRecipe
) -> dict[str, list[np.ndarray]]:
    """Named parts of the test contigs, a bool array (L,) each."""
    labels: dict[str, list[np.ndarray]] = {}
    for part in recipe.regions:
        places = read_regions(part.bed, corpus.genomes[part.genome])
        for piece in test:
            inside = np.zeros(len(piece.tokens), bool)
            for place in places if piece.genome == part.genome else ():
                if place.contig == piece.contig:
                    inside[max(place.start, 0) : place.end] = True
            chosen = ~inside if part.outside and piece.genome == part.genome else inside
            labels.setdefault(part.name, []).append(chosen)
    again = repeated(train, [piece.tokens for piece in test])
    labels["repeated"], labels["unique"] = again, [~row for row in again]
    soft = [(piece.tokens & SOFT) > 0 for piece in test]
    if any(row.any() for row in soft):
        labels["soft-masked"] = soft
    return labels


def _protocol(
    title: str,
    bits: dict[str, list[np.ndarray]],
    test: Sequence[HeldOut],
    places: Sequence[np.ndarray],
    labels: dict[str, list[np.ndarray]],
) -> ScoreTable:
    contig = np.concatenate(
        [np.full(len(at), piece.number) for piece, at in zip(test, places, strict=True)]
    )
    position = np.concatenate(places)
    inside = {
        n: np.concatenate([r[at] for r, at in zip(rows, places, strict=True)])
        for n, rows in labels.items()
    }
    joined = {name: np.concatenate(rows) for name, rows in bits.items()}
    scores = {name: scores_by_region(row, contig, position, inside) for name, row in joined.items()}
    ours = joined["model"]
    others = {name: row for name, row in joined.items() if name != "model"}
    differences = {
        name: paired_bootstrap(ours, row, contig, position) for name, row in others.items()
    }
    return ScoreTable(title, scores, differences)
