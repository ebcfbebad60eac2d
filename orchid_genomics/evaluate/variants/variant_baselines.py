"""What a score has to beat: a look-up of contexts, letter counts, random weights, allele frequency,
conservation.

The trap: a look-up fitted on the rows that it ranks knows their labels; it is fitted on the
clusters of other folds.
"""

from collections.abc import Iterator, Mapping, Sequence
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
SIDES = 6  # letters on both sides that the count model reads
_PRIOR = 4.0  # rows of either class that a context is thought to have had, in proportion


def context_look_up(
    code: np.ndarray, positive: np.ndarray, cluster: np.ndarray, seed: int = 0
) -> np.ndarray:
    """How much likelier positives than negatives show each row's context.

    Fitted for every fold on the clusters of the nine others, so that no gene speaks for itself; as
    a ratio of likelihoods it does not carry the share of positives of those folds, which runs
    against that of the fold itself.

    Parameters
    ----------
    code
        The number of each row's context (N,); below 0 for none.
    positive
        Bool (N,).
    cluster
        Labels (N,).
    seed
        Which clusters are of which fold.

    Returns
    -------
    numpy.ndarray
        log P(context | +) / P(context | -), (N,); NaN for no context.
    """
    ratio = np.full(len(code), np.nan)
    number = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    state = hash_integers(seed, Stream.CONTEXT_FOLD, np.arange(number.max(initial=0) + 1))
    # Clusters in the order of their hash, dealt out in turn: folds are of one size.
    order = np.argsort(state, kind="stable")
    fold = (np.argsort(order) % FOLDS)[number]
    usable = code >= 0
    for one in range(FOLDS):
        inside, others = usable & (fold == one), usable & (fold != one)
        counts_2C = np.stack(
            [
                np.bincount(code[others & positive], minlength=CONTEXTS),
                np.bincount(code[others & ~positive], minlength=CONTEXTS),
            ]
        )
        shares_C = counts_2C.sum(0) / max(counts_2C.sum(), 1)
        total_21 = counts_2C.sum(1, keepdims=True)
        # Prior rows in proportion to how common a context is; 1e-9 for one that is nowhere.
        likely_2C = np.log((counts_2C + _PRIOR * shares_C + 1e-9) / (total_21 + _PRIOR))
        ratio[inside] = (likely_2C[0] - likely_2C[1])[code[inside]]
    return ratio


def ngram_ratio(
    model: OrchidModel, genome: Genome, variants: Sequence[Variant]
) -> tuple[str, np.ndarray]:
    """What a count model of the letters that a model saw in training on this genome says.

    The mixture is tuned on the model's validation contigs, where it has whole ones. Cost: 0.1 s a
    million letters of the genome, and 0.4 GB.

    Returns
    -------
    name : str
        What tables call the count model.
    ratio : numpy.ndarray
        log p(alt) - log p(ref), nats (N,); NaN for what is no SNV.

    Raises
    ------
    InputError
        The model was not trained on this FASTA.
    """
    digest = genome.checksum()
    own = [each for each in model.provenance.genomes if each.sha256 == digest]
    if not own:
        message = "no such genome in the provenance of the model"
        possible = "the FASTA that it was trained on"
        raise InputError(f"{genome.path} (sha256 {digest[:12]})", message, possible)
    counts = NgramModel.fit(_letters_seen(genome, own[0].seen), SIDES, SIDES)
    if validation := own[0].split.get("validation"):
        counts = counts.tune([contig_tokens(genome, contig) for contig in validation])
    # By contig, so that each is read once.
    rows_of: dict[str, list[int]] = {}
    for row, variant in enumerate(variants):
        if len(variant.ref) == len(variant.alt) == 1 and variant.alt in DNA.letters:
            rows_of.setdefault(variant.contig, []).append(row)
    ratio = np.full(len(variants), np.nan)
    for contig, rows in rows_of.items():
        positions = np.array([variants[row].start for row in rows])
        p_N4 = counts.probabilities(contig_tokens(genome, contig), positions)
        ref = np.array([DNA.letters.find(variants[row].ref) for row in rows])
        alt = np.array([DNA.letters.find(variants[row].alt) for row in rows])
        p_N2 = np.take_along_axis(p_N4, np.stack([ref, alt], 1), 1)
        ratio[rows] = np.log(p_N2[:, 1]) - np.log(p_N2[:, 0])
    return counts.name, ratio


def random_weights(model: OrchidModel, seed: int = 0) -> OrchidModel:
    """A model of the same shape as it stood before training."""
    # The caller's chance goes on as if nothing had been drawn.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        untrained = OrchidModel(model.recipe)
    untrained.provenance = model.provenance
    return untrained.eval()


def conservation(
    path: str | Path, genome: Genome | None, variants: Sequence[Variant]
) -> np.ndarray:
    """The largest value of a track (bigWig or bedGraph) over the letters that a variant changes,
    (N,); NaN for none.

    For an insertion the letters on both sides of it.
    """
    track = Track(path, genome)
    largest = np.full(len(variants), np.nan)
    for row, variant in enumerate(variants):
        short = variant.trimmed()
        start, end = short.start, short.end
        if not short.ref:
            start, end = short.start - 1, short.start + 1
        values = track.values(short.contig, start, end)
        if not np.isnan(values).all():
            largest[row] = np.nanmax(values)
    return largest


def _letters_seen(
    genome: Genome, seen: Mapping[str, Sequence[Sequence[int]]]
) -> Iterator[np.ndarray]:
    """Contigs as tokens, N wherever training did not read."""
    for contig, intervals in seen.items():
        tokens = contig_tokens(genome, contig)
        shown = np.full(len(tokens), DNA.n, np.uint8)
        for start, end in intervals:
            shown[start:end] = tokens[start:end]
        yield shown
