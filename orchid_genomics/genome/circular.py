"""Contigs without ends: chromosomes of bacteria, plasmids, phages, mitochondria.

The trap: where a circular contig begins in its file is an accident, and no number may hang on it.
So what is counted along such a contig (tiles, drawn windows) is counted from a landmark in its own
letters, which moves with them when the file begins elsewhere.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.genome.annotation import read_annotation
from orchid_genomics.genome.contigs import listed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA

_WORD = 27  # codes 0 to 4 that a whole number of 64 bits holds


def mark_circular(genome: Genome, given: Sequence[str | Path], where: str) -> None:
    """Read these contigs of a genome round their origin.

    Parameters
    ----------
    genome : Genome
        It is changed in place.
    given : sequence of str or Path
        Names of contigs, and annotations (GFF3 with ``Is_circular=true``, GenBank with the topology
        ``circular``) that say which are.
    where : str
        What an error is about, such as a key of a recipe.

    Raises
    ------
    InputError
        For a name that means no contig and is no file, and for an annotation without circular
        contigs.
    """
    contigs: list[str] = []
    for each in given:
        name = str(each)
        # A contig first: it is what most people name, and a file may be called anything.
        if genome.names.candidates(name):
            contigs.append(genome.contig(name, where))
        # or a pipe, which is read once
        elif Path(each).exists() and not Path(each).is_dir():
            contigs += circular_contigs(Path(each), genome)
        else:
            message = f"{name!r} is neither a contig of {genome.path.name} nor a file"
            possible = f"possible: {listed(genome.contigs)}, a GFF3 or GenBank file"
            raise InputError(where, message, possible)
    genome.circular |= frozenset(contigs)


def circular_contigs(path: Path, genome: Genome) -> list[str]:
    """The contigs that an annotation calls circular; raises InputError where there are none."""
    circular = sorted(read_annotation(path, genome).circular)
    if not circular:
        message = f"calls no contig of {genome.path.name} circular"
        raise InputError(path, message, "Is_circular=true (GFF3) or circular (GenBank)")
    return circular


def landmark(genome: Genome, contig: str) -> int:
    """Where counting begins on a contig: at its first letter, or at the landmark of a circular one.

    That is the beginning of the least of its rotations; of several alike, the first in the file.
    """
    if contig not in genome.circular:
        return 0
    if contig not in genome.landmarks:
        codes = genome.tokens(contig, 0, genome.contigs[contig]) & CODE
        genome.landmarks[contig] = least_rotation(codes)
    return genome.landmarks[contig]


def least_rotation(codes_L: np.ndarray) -> int:
    """The place at which the least rotation of codes begins (the first of several alike); O(L)
    unless it repeats itself.
    """
    L = len(codes_L)
    # The codes of 27 letters on from each place, as one number; letters beyond N count as N.
    small_L = np.minimum(codes_L, DNA.n).astype(np.int64)
    words_L = np.zeros(L, np.int64)
    for offset in range(_WORD):
        words_L *= DNA.n + 1
        words_L += np.roll(small_L, -offset)
    places = np.arange(L)
    for offset in range(0, L, _WORD):
        words = words_L[(places + offset) % L]
        places = places[words == words.min()]
        if len(places) == 1:
            break
    return int(places[0]) if L else 0
