"""The trinucleotide context of single-letter changes, such as ``A[C>T]G``, folded over strands
where both read alike.

The trap: mutation rates and base composition differ so much between contexts that a score may only
be telling contexts.
"""

from collections.abc import Sequence

import numpy as np

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA, Variant

# codes: before, letter, after, alternate, four of each; those whose letter is the alternate are
# none
CONTEXTS = 256


def contexts(variants: Sequence[Variant | None], genome: Genome) -> np.ndarray:
    """The code (N,) of every variant's context on the forward strand; -1 for what is no SNV of four
    known letters.

    The letters are the genome's; a variant whose REF is another has no context.
    """
    found = np.full(len(variants), -1, np.int64)
    for row, variant in enumerate(variants):
        short = variant.trimmed() if variant and len(variant.ref) > 1 else variant
        if (
            short is None
            or len(short.ref) != 1
            or len(short.alt) != 1
            or short.contig not in genome.contigs
        ):
            continue
        if not 0 <= short.start < genome.contigs[short.contig]:
            continue
        around = genome.tokens(short.contig, short.start - 1, short.start + 2) & CODE
        letters = (*around, DNA.letters.find(short.alt))
        if max(around) < 4 and letters[3] >= 0 and DNA.letters[around[1]] == short.ref != short.alt:
            found[row] = int(np.dot(letters, (64, 16, 4, 1)))
    return found


def folded(codes: np.ndarray) -> np.ndarray:
    """A context and that of the same change read on the other strand as one: the lower code of the
    two; -1 stays.
    """
    return np.where(codes < 0, codes, np.minimum(codes, _other(codes)))


def on_strand(codes: np.ndarray, strand: np.ndarray) -> np.ndarray:
    """Contexts as read on a strand (N,) of "+", "-" or anything else, which is folded."""
    read = np.where(strand == "-", _other(codes), codes)
    known = (strand == "+") | (strand == "-")
    return np.where(codes < 0, codes, np.where(known, read, folded(codes)))


def context_name(code: int) -> str:
    """A code as ``A[C>T]G``."""
    before, letter, after, alt = (DNA.letters[code // place % 4] for place in (64, 16, 4, 1))
    return f"{before}[{letter}>{alt}]{after}"


def _other(codes: np.ndarray) -> np.ndarray:
    """The codes on the other strand: neighbours exchanged, all letters complemented."""
    before, letter, after, alt = (3 - codes // place % 4 for place in (64, 16, 4, 1))
    return after * 64 + letter * 16 + before * 4 + alt
