"""`score-genome` by its parts: records a second with and without writing, and whether the numbers
are those of `score-variants`.

Run by ``python benchmarks/every_letter.py MODEL GENOME [--contigs NAME ...] [--check N]``, such as
``yeast recipes/yeast/sacCer3.fa.gz --contigs chrI chrVI``: every substitution of the contigs is
scored three times, by the model alone, as text that nobody writes, and by the whole command into a
VCF; then N of them (1,000 unless told), drawn anew, by `score-variants --scores llr_unmasked`. A
record is a letter with its three alternates. Processor time counts all threads, so that a record's
share of it is what one core needs, whatever else the machine does.
"""

import argparse
import gzip
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from orchid_genomics.errors import OrchidError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.jobs.inputs import Unchanged, open_model_and_genome
from orchid_genomics.score.substitutions import INFO, SubstitutionIdentity
from orchid_genomics.score.variants.variant_scores import score_variants
from orchid_genomics.sequence import Interval, Variant
from orchid_genomics.tasks.score_genome import BLOCK, Tiles, _reader, score_genome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("genome")
    parser.add_argument("--contigs", nargs="*")
    parser.add_argument("--check", type=int, default=1000)
    words = parser.parse_args()
    contigs = words.contigs or list(Genome(words.genome).contigs)
    print(f"{', '.join(contigs)}; {torch.get_num_threads()} threads of torch")
    records = alone(words.model, words.genome, contigs)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out.vcf.gz"
        bed = Path(scratch) / "contigs.bed"
        sizes = Genome(words.genome).contigs
        bed.write_text("".join(f"{name}\t0\t{sizes[name]}\n" for name in contigs))
        with timed("score-genome, reading and checking included", records):
            score_genome(words.model, words.genome, out, regions=bed, quiet=True)
        print(f"{out.stat().st_size / records:.1f} bytes a record")
        compare(words.model, words.genome, out, words.check)


@contextmanager
def timed(name: str, records: int) -> Iterator[None]:
    """Print what a block of code took, by the clock and of the processor."""
    wall, processor = time.monotonic(), time.process_time()
    yield
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    print(
        f"{name}: {records / processor:,.0f} records a second of one core "
        f"({1e6 * processor / records:.2f} us each); {records / wall:,.0f} a second by the clock",
        flush=True,
    )


def alone(model: str, genome: str, contigs: list[str]) -> int:
    """Time the model, and the text of what it says, without a file; the records."""
    loaded, fasta = open_model_and_genome(model, genome, "auto", None, ())
    reader = _reader(loaded, fasta, None)
    stretches = [Interval(name, 0, fasta.contigs[name]) for name in contigs]
    identity = SubstitutionIdentity(
        kind="vcf.gz", model="", genome="", window=reader.window, contigs=dict(fasta.contigs)
    )
    work = Tiles(reader, stretches, identity, Unchanged(Path(genome)))
    pieces, size = list(work), max(1, BLOCK // reader.core)
    records = work.count_letters()
    blocks = [pieces[first : first + size] for first in range(0, len(pieces), size)]
    work.answer(blocks[0][: reader.batch])  # warms up what is slow once
    with timed("without writing", records):
        answers = [work.answer(block)[0] for block in blocks]
    with timed("text alone", records):
        text = sum(len(piece) for answer in answers for piece in answer)
    print(f"{text / records:.1f} bytes of text a record")
    return records


def compare(model: str, genome: str, out: Path, count: int) -> None:
    """Score some of the substitutions of a file as variants, and say how many differ as written."""
    with gzip.open(out, "rt") as file:
        rows = [line.split("\t") for line in file if not line.startswith("#")]
    rng, variants, written = np.random.default_rng(), [], []
    for row in sorted(rng.choice(len(rows), min(count, len(rows)), replace=False).tolist()):
        contig, position, _, ref, alts, *_, info = rows[row]
        at = int(rng.integers(3))
        variants.append(Variant(contig, int(position) - 1, ref, alts.split(",")[at]))
        written.append(info.strip().removeprefix(f"{INFO}=").split(",")[at])
    scores = score_variants(model, genome, variants, ["llr_unmasked"])
    again = [f"{value + 0.0:.5g}" for value in scores["llr_unmasked"].tolist()]
    differ = sum(one != other for one, other in zip(written, again, strict=True))
    farthest = np.abs(scores["llr_unmasked"] - np.array(written, float)).max()
    print(
        f"{len(variants):,} substitutions as variants: {differ} are written otherwise "
        f"(farthest apart {farthest:.1e} nats)"
    )


if __name__ == "__main__":
    try:
        main()
    except OrchidError as error:
        raise SystemExit(f"error: {error}") from None
