"""The trinucleotide context of single-letter changes, such as ``A[C>T]G``, folded over strands
where both read alike.

The trap: mutation rates and base composition differ so much between contexts that a score may only
be telling contexts.
"""

from collections.abc import Sequence

import numpy as np

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA, Variant

# codes of before, letter, after and alternate, four of each, some of which are no change
CONTEXTS = 256
_PLACES = (64, 16, 4, 1)


def contexts(variants: Sequence[Variant | None], genome: Genome) -> np.ndarray:
    """The code (N,) of every variant's context on the forward strand; -1 for what is no SNV of four
    known letters.

    The letters are the genome's; a variant whose REF is another has no context.
    """
    return np.array([_context(variant, genome) for variant in variants], np.int64)


def _context(variant: Variant | None, genome: Genome) -> int:
    if variant is None:
        return -1
    short = variant.trimmed() if len(variant.ref) > 1 else variant
    if len(short.ref) != 1 or len(short.alt) != 1:
        return -1
    if not 0 <= short.start < genome.contigs.get(short.contig, 0):
        return -1
    around = genome.tokens(short.contig, short.start - 1, short.start + 2) & CODE
    alt = DNA.letters.find(short.alt)
    if max(around) >= DNA.count or alt < 0 or short.alt == short.ref:
        return -1
    if DNA.letters[around[1]] != short.ref:
        return -1
    return int(np.dot((*around, alt), _PLACES))


def fold(codes: np.ndarray) -> np.ndarray:
    """A context and its reverse complement as one, the lower code of the two; -1 stays."""
    return np.where(codes < 0, codes, np.minimum(codes, _other(codes)))


def on_strand(codes: np.ndarray, strand: np.ndarray) -> np.ndarray:
    """Contexts as read on a strand (N,) of "+", "-" or anything else, which is folded."""
    read = np.where(strand == "-", _other(codes), codes)
    known = (strand == "+") | (strand == "-")
    return np.where(codes < 0, codes, np.where(known, read, fold(codes)))


def context_name(code: int) -> str:
    """A code as ``A[C>T]G``."""
    before, letter, after, alt = (DNA.letters[code // place % 4] for place in _PLACES)
    return f"{before}[{letter}>{alt}]{after}"


def _other(codes: np.ndarray) -> np.ndarray:
    """The codes on the other strand: neighbours exchanged, all letters complemented."""
    before, letter, after, alt = (3 - codes // place % 4 for place in _PLACES)
    return after * 64 + letter * 16 + before * 4 + alt
