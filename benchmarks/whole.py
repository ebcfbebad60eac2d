"""One forward pass over a whole circular chromosome: wall time, and the most memory that it took.

Run by ``python benchmarks/whole.py GENOME [--model MODEL] [--width D --depth N] [--contig NAME]``:
GENOME is a FASTA such as that of E. coli (4.6 Mb), of which the longest contig is read round its
origin as one window without ends. Without a MODEL the weights are random, of the shape that is
named (that of the yeast model unless told): time and memory do not depend on them.
"""

import argparse
import resource
import time

from orchid_genomics.cli.process import settle

settle()

import torch  # noqa: E402

from orchid_genomics.errors import OrchidError  # noqa: E402
from orchid_genomics.genome.circular import mark_circular  # noqa: E402
from orchid_genomics.genome.fasta import Genome  # noqa: E402
from orchid_genomics.model.folder import ModelRecipe, OrchidModel  # noqa: E402
from orchid_genomics.model.heads import LettersRecipe  # noqa: E402
from orchid_genomics.model.orchid import OrchidRecipe  # noqa: E402
from orchid_genomics.score.reader import Reader  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("genome")
    parser.add_argument("--model")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--contig")
    words = parser.parse_args()
    genome = Genome(words.genome)
    contig = words.contig or max(genome.contigs, key=genome.contigs.__getitem__)
    mark_circular(genome, [contig], "--contig")
    if words.model:
        model = OrchidModel.from_pretrained(words.model)
    else:
        torch.manual_seed(0)
        encoder = OrchidRecipe(width=words.width, depth=words.depth)
        model = OrchidModel(ModelRecipe(encoder=encoder, head=LettersRecipe()))
    letters = genome.contigs[contig]
    reader = Reader(model, genome, letters + letters % 2)
    before = _peak_gb()
    wall, processor = time.monotonic(), time.process_time()
    (logs_LV,) = reader.letters([reader._tile(contig, 0)])
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    shape, threads = model.recipe.encoder, torch.get_num_threads()
    print(f"{contig}: {letters:,} letters round their origin")
    print(f"width {shape.width}, {shape.depth} layers; log-probabilities {logs_LV.shape}")
    print(f"wall time {wall:,.1f} s, processor time {processor:,.1f} s, {threads} threads")
    print(f"{letters / processor / 1e3:.1f} knt a second of processor time")
    print(f"peak memory {_peak_gb():.2f} GB, of which {before:.2f} GB before the pass")


def _peak_gb() -> float:
    # Linux counts in KB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    try:
        main()
    except OrchidError as error:
        raise SystemExit(f"error: {error}") from None
