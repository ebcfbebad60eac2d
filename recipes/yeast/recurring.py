"""Stretches of training contigs that recur in held-out ones, as BED: what `exclude` keeps out.

Run by ``python recurring.py GENOME HELD_OUT,CONTIGS IGNORED,CONTIGS > out.bed``. A stretch is made
of 24-mers that also stand in a held-out contig on either strand, at most 200 letters apart, and is
at least 100 letters long: paralogues, transposons and subtelomeres, down to about 85 % identity.
"""

import sys
from collections.abc import Iterator

import numpy as np

from orchid_genomics.evaluate.held_out import contig_tokens
from orchid_genomics.evaluate.repeats import recurs
from orchid_genomics.genome.fasta import Genome

GAP = 200
SHORTEST = 100


def stretches(recurring: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of a contig's letters (L,) bool, joined over gaps; 0-based half-open."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], recurring, [0]))))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return
    opens = np.concatenate(([True], starts[1:] - ends[:-1] > GAP))
    closes = np.concatenate((opens[1:], [True]))
    for start, end in zip(starts[opens].tolist(), ends[closes].tolist(), strict=True):
        if end - start >= SHORTEST:
            yield start, end


def main(path: str, held_out: str, ignored: str = "") -> None:
    genome = Genome(path)
    held = held_out.split(",")
    train = [name for name in genome.contigs if name not in {*held, *ignored.split(",")}]
    asked = [contig_tokens(genome, name) for name in train]
    known = (contig_tokens(genome, name) for name in held)
    for name, recurring in zip(train, recurs(known, asked), strict=True):
        for start, end in stretches(recurring.astype(np.int8)):
            print(name, start, end, sep="\t")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
