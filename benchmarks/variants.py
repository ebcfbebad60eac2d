"""Variants a second on a real VCF, the share of time outside the model, and one-pass against masked
scores.

Run by ``python benchmarks/variants.py MODEL [GENOME] [VCF] [--every 25] [--window 1024] [--only
command]`` (default: every 25th record of ../shared/data/variants/1000G_20_1-4Mb.b37.vcf.gz), on one
thread of a CPU. The command is run as a user runs it, start-up included, on evenly spaced records
with all their samples. `llr_unmasked` costs what its tiles cost, not its variants, so its time is
taken on a run of neighbouring records, as dense as the file is.
"""

import argparse
import gzip
import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pysam
import torch
from scipy import stats

from orchid_genomics.genome.fasta import Genome, GenomeNote
from orchid_genomics.genome.vcf import Vcf
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.reader import Reader
from orchid_genomics.score.variants.preflight import contigs_of
from orchid_genomics.score.variants.variant_scores import Scoring
from orchid_genomics.sequence import Variant
from orchid_genomics.tasks.score_variants import block_size, score_variants

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
VCF = DATA / "variants" / "1000G_20_1-4Mb.b37.vcf.gz"
GENOME = DATA / "genomes" / "hs37_chr20.fa.gz"


class Seconds:
    """A context: seconds in all and inside the model, over every Reader that is made within."""

    def __enter__(self) -> "Seconds":
        self.readers, self.begun, self.made = [], time.perf_counter(), Reader.__init__

        def counted(reader: Reader, *words) -> None:
            self.made(reader, *words)
            self.readers.append(reader)

        Reader.__init__ = counted
        return self

    def __exit__(self, *_: object) -> None:
        Reader.__init__ = self.made
        self.all = time.perf_counter() - self.begun
        self.model = sum(reader.seconds for reader in self.readers)


def thinned(vcf: Path, out: Path, every: int) -> int:
    """Every so many records of a VCF, its header whole; how many."""
    count = 0
    with gzip.open(vcf) as file, pysam.BGZFile(str(out), "wb") as made:
        for line in file:
            head = line.startswith(b"#")
            if head or count % every == 0:
                made.write(line)
            count += not head
    return -(-count // every)


def command(given: argparse.Namespace, scores: str, out: str) -> None:
    """One run of the command."""
    with tempfile.TemporaryDirectory() as folder:
        some = Path(folder) / "some.vcf.gz"
        count = thinned(given.vcf, some, given.every)
        words = {"scores": scores.split(","), "windows": [given.window], "quiet": True}
        with Seconds() as seconds:
            score_variants(given.model, given.genome, some, Path(folder) / out, **words)
    outside = seconds.all - seconds.model
    print(
        f"{scores:14} to {out:11} {count:6,} records {seconds.all:6.1f} s "
        f" {count / seconds.all:8.1f} variants/s  {1e3 * outside / count:5.2f} ms a record outside"
        f" the model, {100 * outside / seconds.all:4.1f} % of the time"
    )


def snvs(given: argparse.Namespace, genome: Genome) -> list[Variant]:
    """Those of the VCF in its order, or so many random changes of the genome, in order."""
    if given.random:
        return changes(genome, given.random)
    vcf = Vcf(given.vcf)
    names = contigs_of(vcf.survey(), genome, str(given.vcf))
    alleles = (
        allele for record in vcf.records() for allele in record.alleles(names.get(record.contig))
    )
    return [allele for allele in alleles if isinstance(allele, Variant) and allele.kind == "SNV"]


def changes(genome: Genome, count: int) -> list[Variant]:
    """Random letters of the test chromosomes of yeast, or of all contigs where there are none, and
    random others.
    """
    rng, letters = np.random.default_rng(0), "ACGT"
    contigs = [name for name in ("chrVII", "chrXIII") if name in genome.contigs] or list(
        genome.contigs
    )
    sizes = np.array([genome.contigs[name] for name in contigs])
    places = np.sort(rng.choice(sizes.sum(), count, replace=False))
    found = []
    for place, step in zip(places.tolist(), rng.integers(1, 4, count).tolist(), strict=True):
        contig = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
        start = place - int(sizes[:contig].sum())
        base = genome.letters(contigs[contig], start, start + 1).decode().upper()
        if base in letters:
            found.append(
                Variant(contigs[contig], start, base, letters[(letters.index(base) + step) % 4])
            )
    return found


def timed(scoring: Scoring, variants: list[Variant]) -> tuple[float, np.ndarray]:
    """Seconds a variant and the values of the first column; in blocks, as the command has them."""
    scoring(variants[:8])
    begun = time.perf_counter()
    size = block_size(scoring)
    values = [scoring(variants[i : i + size]).values[:, 0] for i in range(0, len(variants), size)]
    return (time.perf_counter() - begun) / len(variants), np.concatenate(values)


def agreement(
    given: argparse.Namespace, model: OrchidModel, genome: Genome, variants: list[Variant]
) -> None:
    """llr_unmasked against llr: the cost of each, and how well they agree."""
    spread = variants[:: max(1, len(variants) // given.sites)][: given.sites]
    masked, one_pass = (
        Scoring(model, genome, [name], [given.window]) for name in ("llr", "llr_unmasked")
    )
    slow, x = timed(masked, spread)
    _, y = timed(one_pass, spread)
    first = len(variants) // 2
    fast, _ = timed(one_pass, variants[first : first + given.dense])
    fit = stats.linregress(x, y)
    rank = stats.spearmanr(x, y).statistic
    cost = (
        f"llr {1e3 * slow:.1f} ms a variant, llr_unmasked {1e3 * fast:.2f}: {slow / fast:.1f} times"
        " faster"
    )
    line = (
        f"slope {fit.slope:.3f}, offset {fit.intercept:+.3f} nats, r {fit.rvalue:.3f}, Spearman"
        f" {rank:.3f}"
    )
    print(f"window {given.window:,}: {cost}; of {len(spread)} SNV: {line}")


def main() -> None:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("model", type=Path)
    words.add_argument("genome", type=Path, nargs="?", default=GENOME)
    words.add_argument("vcf", type=Path, nargs="?", default=VCF)
    words.add_argument(
        "--every", type=int, default=25, help="take every so many records through the command"
    )
    words.add_argument("--sites", type=int, default=300, help="SNV scored by both")
    words.add_argument(
        "--dense", type=int, default=1000, help="SNV in a row for the cost of llr_unmasked"
    )
    words.add_argument(
        "--random",
        type=int,
        help="score so many random changes of GENOME in place of the VCF's SNV",
    )
    words.add_argument("--window", type=int, default=1024)
    words.add_argument("--only", choices=["command", "agreement"])
    given = words.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", GenomeNote)
    model, genome = OrchidModel.from_pretrained(given.model), Genome(given.genome)
    print(json.dumps({"model": model.hash(), "vcf": given.vcf.name, "torch": torch.__version__}))
    if given.only != "agreement":
        command(given, "llr", "out.vcf.gz")
        command(given, "llr_unmasked", "out.vcf.gz")
        command(given, "llr_unmasked", "out.tsv.gz")
    if given.only != "command":
        agreement(given, model, genome, snvs(given, genome))


if __name__ == "__main__":
    main()
