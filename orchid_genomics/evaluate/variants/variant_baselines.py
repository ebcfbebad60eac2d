"""What a score has to beat: a look-up of contexts, letter counts, random weights, allele frequency,
conservation.

The trap: a look-up fitted on the rows that it ranks knows their labels; it is fitted on the
clusters of other folds.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.held_out import contig_tokens
from orchid_genomics.evaluate.ngram import NgramModel
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.signal import Track
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.variants.context import CONTEXTS
from orchid_genomics.sequence import DNA, Variant
from orchid_genomics.sequence.hashing import Stream, hash_integers

FOLDS = 10
_PRIOR = 4.0  # rows of either class that a context is thought to have had, in proportion
SIDES = 6  # letters on both sides that the count model reads


def looked_up(
    code: np.ndarray, positive: np.ndarray, cluster: np.ndarray, seed: int = 0
) -> np.ndarray:
    """How much likelier positives than negatives show each row's context, log P(context | +) /
    P(context | -), (N,).

    Fitted for every fold on the clusters of the nine others, so that no gene speaks for itself; as
    a ratio of likelihoods it does not carry the share of positives of those folds, which runs
    against that of the fold itself. `code` below 0 gives NaN.
    """
    found = np.full(len(code), np.nan)
    number = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    draw = hash_integers(seed, Stream.CONTEXT_FOLD, np.arange(number.max(initial=0) + 1))
    order = np.argsort(draw, kind="stable")
    fold = (np.argsort(order) % FOLDS)[number]
    usable = code >= 0
    for one in range(FOLDS):
        inside, others = usable & (fold == one), usable & (fold != one)
        counts = [
            np.bincount(code[others & side], minlength=CONTEXTS) for side in (positive, ~positive)
        ]
        shares = sum(counts) / max(sum(counts).sum(), 1)
        likely = [
            np.log((each + _PRIOR * shares + 1e-9) / (each.sum() + _PRIOR)) for each in counts
        ]
        found[inside] = (likely[0] - likely[1])[code[inside]]
    return found


def counted(
    model: OrchidModel, genome: Genome, variants: Sequence[Variant]
) -> tuple[str, np.ndarray]:
    """A count model of the letters that `model` saw in training on this genome, and its log p(alt)
    - log p(ref), nats.

    NaN for what is no SNV. The mixture is tuned on the model's validation contigs, where it has
    whole ones. Raises InputError when the model was not trained on this FASTA. Cost: 0.1 s a
    million letters of the genome, and 0.4 GB.
    """
    checksum = genome.checksum()
    mine = [each for each in model.provenance.genomes if each.sha256 == checksum]
    if not mine:
        found = "no such genome in the provenance of the model"
        raise InputError(
            f"{genome.path} (sha256 {checksum[:12]})", found, "the FASTA that it was trained on"
        )
    counts = NgramModel.fit(_seen(genome, mine[0].seen), SIDES, SIDES)
    if validation := mine[0].split.get("validation"):
        counts = counts.tune([contig_tokens(genome, contig) for contig in validation])
    rows: dict[str, list[int]] = {}
    for row, variant in enumerate(variants):
        if len(variant.ref) == len(variant.alt) == 1 and variant.alt in DNA.letters:
            rows.setdefault(variant.contig, []).append(row)
    ratio = np.full(len(variants), np.nan)
    for contig, some in rows.items():
        places = np.array([variants[row].start for row in some])
        p_N4 = counts.probabilities(contig_tokens(genome, contig), places)
        letters = np.array(
            [
                [DNA.letters.find(variants[row].ref), DNA.letters.find(variants[row].alt)]
                for row in some
            ]
        )
        ref, alt = np.take_along_axis(p_N4, letters, 1).T
        ratio[some] = np.log(alt) - np.log(ref)
    return counts.name, ratio


def random_weights(model: OrchidModel, seed: int = 0) -> OrchidModel:
    """A model of the same shape as it stood before training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        untrained = OrchidModel(model.recipe)
    untrained.provenance = model.provenance
    return untrained.eval()


def conserved(path: str | Path, genome: Genome | None, variants: Sequence[Variant]) -> np.ndarray:
    """The largest value of a track (bigWig or bedGraph) over the letters that a variant changes,
    (N,); NaN for none.

    For an insertion the letters on both sides of it.
    """
    track = Track(path, genome)
    found = np.full(len(variants), np.nan)
    for row, variant in enumerate(variants):
        short = variant.trimmed()
        start, end = (short.start, short.end) if short.ref else (short.start - 1, short.start + 1)
        values = track.values(short.contig, start, end)
        found[row] = np.nan if np.isnan(values).all() else np.nanmax(values)
    return found


def _seen(genome: Genome, seen: dict[str, list[list[int]]]):
    """Contigs as tokens, N wherever training did not read."""
    for contig, places in seen.items():
        tokens = contig_tokens(genome, contig)
        shown = np.full(len(tokens), DNA.n, np.uint8)
        for start, end in places:
            shown[start:end] = tokens[start:end]
        yield shown
