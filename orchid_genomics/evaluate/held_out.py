"""Which letters of the held-out contigs are asked for: the same for every model and every window.

Targets are a hash of (seed, genome, contig, position). The trap: a target that hung on its window
would be another letter for a model of another window, and no two would answer the same question.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchid_genomics.data.corpus import Corpus
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.sequence.hashing import Stream, hash_integers

_FAR = 1 << 20  # contigs of one genome, at most, when contigs of several are numbered


@dataclass(frozen=True)
class HeldOut:
    """One contig with held-out letters.

    Attributes
    ----------
    genome, contig, number
        The genome's number, the contig's name, and a number of its own among all contigs.
    tokens
        The whole contig (L,), case kept.
    inside
        Bool (L,): which letters are held out.
    hidden
        Bool (L,): which letters are hidden when 15 % are hidden at once.
    circular
        Whether the contig is read round its origin.
    """

    genome: int
    contig: str
    number: int
    tokens: np.ndarray
    inside: np.ndarray
    hidden: np.ndarray
    circular: bool = False

    @property
    def targets(self) -> np.ndarray:
        """Places (N,) of the letters that are hidden at once and held out."""
        return np.flatnonzero(self.hidden & self.inside)

    @property
    def shown(self) -> np.ndarray:
        """What a model sees (L,): codes, with every hidden letter as MASK."""
        return np.where(self.hidden, DNA.mask, self.tokens & CODE).astype(np.uint8)

    @property
    def known(self) -> np.ndarray:
        """Bool (L,): which letters are A, C, G or T."""
        return (self.tokens & CODE) < DNA.count


def hide_letters(corpus: Corpus, split: str, seed: int, share: float = 0.15) -> list[HeldOut]:
    """The contigs of a split with their hidden letters; A, C, G and T alone are hidden.

    Parameters
    ----------
    corpus
        The genomes.
    split
        "validation" or "test".
    seed, share
        Which letters are hidden, and their share.
    """
    inside: dict[tuple[int, str], np.ndarray] = {}
    for genome, interval in corpus.held_out(split):
        size = corpus.genomes[genome].contigs[interval.contig]
        letters = inside.setdefault((genome, interval.contig), np.zeros(size, bool))
        letters[interval.start : interval.end] = True
    pieces = []
    for (genome, contig), letters in inside.items():
        number = genome * _FAR + list(corpus.genomes[genome].contigs).index(contig)
        tokens = contig_tokens(corpus.genomes[genome], contig)
        state = hash_integers(seed, Stream.ASKED_LETTER, number, np.arange(len(tokens)))
        # The top 24 bits, as masks in training are drawn (`tensor_hash.fraction`).
        chosen = state >> np.uint64(40) < int(share * (1 << 24))
        hidden = chosen & ((tokens & CODE) < DNA.count)
        circular = contig in corpus.genomes[genome].circular
        pieces.append(HeldOut(genome, contig, number, tokens, letters, hidden, circular))
    return pieces


def contig_tokens(genome: Genome, contig: str) -> np.ndarray:
    """A whole contig as tokens (L,), case kept."""
    return genome.tokens(contig, 0, genome.contigs[contig])


def choose_sites(pieces: Sequence[HeldOut], count: int, seed: int) -> list[np.ndarray]:
    """Fixed places among the known held-out letters, sorted, for each piece.

    Parameters
    ----------
    pieces
        Held-out contigs.
    count
        Places over all pieces; fewer where there are fewer letters. Those of a smaller count are
        among those of a larger one.
    seed
        Which places.

    Returns
    -------
    list of numpy.ndarray
        0-based places of each piece.
    """
    usable = [piece.inside & piece.known for piece in pieces]
    keys = []
    for piece in pieces:
        position = np.arange(len(piece.tokens))
        keys.append(hash_integers(seed, Stream.ASKED_SITE, piece.number, position))
    # The lowest hashes, so that a smaller count asks for some of the same places.
    lowest = np.sort(np.concatenate([key[use] for key, use in zip(keys, usable, strict=True)]))
    lowest = lowest[:count]
    last = lowest[-1] if len(lowest) else np.uint64(0)
    return [np.flatnonzero(use & (key <= last)) for key, use in zip(keys, usable, strict=True)]
