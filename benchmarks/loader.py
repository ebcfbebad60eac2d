"""Windows a second: reading, tokenising and strand-flipping 131,072 nt on one thread, beside a
letter-by-letter loop.

Run by ``python benchmarks/loader.py``. The loop does what a common pretraining loader does: it
fetches a string, looks up every letter in a dict, and complements by another dict.
"""

import gzip
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from orchid_genomics.genome import fasta
from orchid_genomics.genome.fasta import Genome

LENGTH = 131_072
FASTA = Path(__file__).parent.parent / "recipes" / "yeast" / "sacCer3.fa.gz"
CODES = {letter: code for code, letter in enumerate("ACGTN")}
COMPLEMENT = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}


def ours(genome: Genome, contig: str, start: int) -> np.ndarray:
    return genome.tokens(contig, start, start + LENGTH, "-")


def letter_by_letter(genome: Genome, contig: str, start: int) -> np.ndarray:
    letters = genome.letters(contig, start, start + LENGTH).decode().upper()
    turned = "".join(COMPLEMENT.get(letter, "N") for letter in reversed(letters))
    return np.array([CODES[letter] for letter in turned], np.uint8)


def random_places(genome: Genome, count: int) -> list[tuple[str, int]]:
    """Starts drawn evenly over every contig that is long enough."""
    rng = np.random.default_rng(0)
    room = {contig: size - LENGTH for contig, size in genome.contigs.items() if size > LENGTH}
    chosen = rng.choice(list(room), count, p=np.array(list(room.values())) / sum(room.values()))
    return [(str(contig), int(rng.integers(room[str(contig)]))) for contig in chosen]


def rates(read: Callable, genome: Genome, count: int, times: int) -> list[float]:
    """Windows a second of several rounds, each over `count` places of its own."""
    found, places = [], random_places(genome, count * times)
    for first in range(0, len(places), count):
        begun = time.perf_counter()
        for contig, start in places[first : first + count]:
            read(genome, contig, start)
        found.append(count / (time.perf_counter() - begun))
    return found


def main() -> None:
    print(f"{LENGTH:,} nt, reverse strand, random places, one thread, median of 7 rounds")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "genome.fa"
        with gzip.open(FASTA) as packed, plain.open("wb") as out:
            shutil.copyfileobj(packed, out)
        for kept in (0, fasta.KEPT):
            # a genome above this many letters is read from its file each time, as a human one is
            fasta.KEPT = kept
            for name, path in (("plain FASTA", plain), ("bgzip FASTA", FASTA)):
                side_by_side(
                    f"{name}, {'kept in memory' if kept else 'from the file'}", Genome(path)
                )


def side_by_side(name: str, genome: Genome) -> None:
    contig, start = random_places(genome, 1)[0]
    if not np.array_equal(
        ours(genome, contig, start) & 0x7F, letter_by_letter(genome, contig, start)
    ):
        raise SystemExit(f"{name}: the two readers disagree at {contig}:{start}")
    house = statistics.median(rates(ours, genome, 200, 7))
    loop = statistics.median(rates(letter_by_letter, genome, 5, 7))
    print(
        f"{name:29} {house:7,.0f} windows/s; letter by letter {loop:4,.0f}; ratio"
        f" {house / loop:,.0f}"
    )


if __name__ == "__main__":
    main()
