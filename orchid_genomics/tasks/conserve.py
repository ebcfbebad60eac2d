"""Conservation of a genome's letters among its relatives, from FASTAs alone: no alignment, no tree.

A letter is conserved in a relative when a k-mer over it stands there, on either strand. A lone
change hides every k-mer over it, and no k-mer beside it, so it shows as that letter alone where its
neighbours are shared; changes less than k letters apart hide what lies between them as well.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.held_out import contig_tokens
from orchid_genomics.evaluate.repeats import recurs
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.signal import is_track, write_track
from orchid_genomics.jobs.output import require_no_input
from orchid_genomics.sequence import CODE, DNA

_TOGETHER = 1 << 26  # letters asked about at once; each takes 40 bytes
_BY_CHANCE = 0.01  # k-mers of a relative that a letter may meet by chance, at most
_LONGEST = 31


def conserve(
    genome: str | Path, relatives: Sequence[str | Path], out: str | Path, k: int | None = None
) -> dict[str, float]:
    """Write the share of the relatives that hold a k-mer over each letter of a genome, 0 to 1.

    Parameters
    ----------
    genome : str or Path
        The FASTA whose letters are scored; N gets no value.
    relatives : sequence of str or Path
        FASTAs of related genomes.
    out : str or Path
        A bigWig or bedGraph.
    k : int, optional
        Letters of a k-mer, 8 to 31; by default the fewest that the largest relative holds by chance
        at under one place in a hundred (16 for yeast, 20 for a human genome).

    Returns
    -------
    dict
        The share of the genome's known letters that each relative conserves, by its path.

    Raises
    ------
    InputError
        For a relative that is the genome itself or named twice, a `k` out of range, or a name that
        is none of a track.
    """
    out = Path(out)
    if not is_track(out):
        raise InputError("out", f"{out.name!r} names no track", ".bw, .bedGraph or .bedGraph.gz")
    require_no_input(out, (genome, *relatives))
    _refuse_twice(genome, relatives)
    own = Genome(genome)
    others = {str(path): Genome(path) for path in relatives}
    size = k or default_size(max(sum(each.contigs.values()) for each in others.values()))
    if not 8 <= size <= _LONGEST:
        raise InputError("k", str(size), f"8 to {_LONGEST}")
    conserved = dict.fromkeys(others, 0)
    pieces = _Shares(own, others, size, conserved)
    write_track(out, own.contigs, pieces)
    return {path: count / max(pieces.known, 1) for path, count in conserved.items()}


def default_size(letters: int) -> int:
    """The shortest k-mers of which few stand in so many letters, read on both strands, by chance.

    One place in a hundred: 2 letters / 4 ** k < 0.01.
    """
    return min(_LONGEST, max(8, math.ceil(math.log(2 * letters / _BY_CHANCE, 4))))


class _Shares:
    """The track's pieces, a contig each, in order of name; counts what each relative conserves."""

    def __init__(
        self, genome: Genome, relatives: dict[str, Genome], k: int, conserved: dict[str, int]
    ) -> None:
        self.genome, self.relatives, self.k = genome, relatives, k
        self.conserved, self.known = conserved, 0

    def __iter__(self) -> Iterator[tuple[str, int, np.ndarray]]:
        for names in self._groups():
            contigs = [contig_tokens(self.genome, name) for name in names]
            known = [(tokens & CODE) < DNA.count for tokens in contigs]
            self.known += sum(int(each.sum()) for each in known)
            shares = [np.zeros(len(tokens), np.float32) for tokens in contigs]
            for path, relative in self.relatives.items():
                theirs = (contig_tokens(relative, name) for name in relative.contigs)
                for share, covered in zip(shares, recurs(theirs, contigs, self.k), strict=True):
                    share += covered
                    self.conserved[path] += int(covered.sum())
            for name, share, letters in zip(names, shares, known, strict=True):
                yield name, 0, np.where(letters, share / len(self.relatives), np.nan)

    def _groups(self) -> Iterator[list[str]]:
        """Contigs in order of name, as many together as memory is meant to hold."""
        group: list[str] = []
        letters = 0
        for name, size in sorted(self.genome.contigs.items()):
            if group and letters + size > _TOGETHER:
                yield group
                group, letters = [], 0
            group.append(name)
            letters += size
        if group:
            yield group


def _refuse_twice(genome: str | Path, relatives: Sequence[str | Path]) -> None:
    """Raises InputError where a file stands twice: it would count as its own relative."""
    if not relatives:
        raise InputError("relatives", "there is none", "one FASTA of a related genome, or more")
    seen = {Path(genome).resolve()}
    for path in relatives:
        if Path(path).resolve() in seen:
            raise InputError(path, "is named twice", "a related genome, each once")
        seen.add(Path(path).resolve())
