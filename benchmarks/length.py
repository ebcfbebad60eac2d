"""Do longer windows help a model, or hurt it? Bits on the same hidden letters in windows of many
lengths.

Run by ``python benchmarks/length.py MODEL GENOME [--long] [--stretches N] [--contigs A,B]``: GENOME
is the FASTA, and the letters that are asked for lie on the test contigs that the model's provenance
names, or on those that are named here. Each length reads the same stretches (two of 131,072 letters
unless told; with --long of 1,048,576) with the same 15 % of their letters hidden. The claim that
longer windows help needs an interval below zero.
"""

import argparse
import sys

from orchid_genomics.data.corpus import Corpus, DataRecipe
from orchid_genomics.data.splits import GenomeRecipe
from orchid_genomics.errors import InputError, OrchidError
from orchid_genomics.evaluate.held_out import hide_letters
from orchid_genomics.evaluate.window_lengths import LONGEST, bits_by_length, cut_stretches, powers
from orchid_genomics.evaluate.window_lengths import text as table_of
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.train import distributed


def test_contigs(model: OrchidModel, genome: Genome) -> tuple[str, ...]:
    """The contigs of this FASTA that the model was tested on."""
    digest = genome.checksum()
    for origin in model.provenance.genomes:
        if origin.sha256 == digest and origin.split.get("test"):
            return tuple(origin.split["test"])
    found = "the provenance of the model names no test contig of it"
    raise InputError(genome.path, found, "--contigs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("genome")
    parser.add_argument("--long", action="store_true", help="windows to 1,048,576 nt")
    parser.add_argument("--stretches", type=int, default=2)
    parser.add_argument("--contigs", default="")
    parser.add_argument("--device", default="auto")
    words = parser.parse_args()
    ranks = distributed.start(words.device)
    model, genome = OrchidModel.from_pretrained(words.model), Genome(words.genome)
    model.to(ranks.device)
    contigs = tuple(filter(None, words.contigs.split(","))) or test_contigs(model, genome)
    corpus = Corpus((GenomeRecipe(fasta=genome.path, test=contigs),), DataRecipe())
    longest = 1 << 20 if words.long else LONGEST
    stretches = cut_stretches(hide_letters(corpus, "test", seed=0), longest, words.stretches)
    if not stretches:
        found = f"no contig of {', '.join(contigs)} holds {longest:,} letters"
        raise InputError(genome.path, found, "longer contigs")
    targets = sum(len(stretch.targets) for stretch in stretches)
    print(f"{targets:,} hidden letters in {len(stretches)} stretches of {longest:,} nt")
    lengths = powers(longest=longest)

    def tell(length: int) -> None:
        print(f"read in windows of {length:,} nt", file=sys.stderr)

    print(table_of(bits_by_length(model, stretches, lengths, ranks=ranks, done=tell)))


if __name__ == "__main__":
    try:
        main()
    except OrchidError as error:
        raise SystemExit(f"error: {error}") from None
