"""An annotation becomes a folder of BEDs; the files appear together, once all of them are written."""

import os
import shutil
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.files import writable
from orchid_genomics.genome.annotation import Annotation, read_annotation
from orchid_genomics.genome.bed import write_bed
from orchid_genomics.genome.bgzf import Text, open_bgzip
from orchid_genomics.genome.fai import build
from orchid_genomics.genome.fasta import Genome

_LINE = 60  # letters a line of the FASTA


def features(
    annotation: str | Path,
    out: str | Path,
    genome: str | Path | None = None,
    upstream: int = 500,
    downstream: int = 0,
) -> dict[str, int]:
    """Write genes.bed, CDS.bed and promoters.bed (0-based half-open) into `out`; rows of each.

    A promoter reaches from `upstream` letters before the 5' end of a gene to `downstream` letters
    into it. A GenBank file gives genome.fa.gz with its index too, unless `genome` is given. Nothing
    is written when anything is wrong.
    """
    if upstream < 0 or downstream < 0 or upstream + downstream == 0:
        raise InputError(
            "--upstream", f"{upstream} letters, --downstream {downstream}", "0 or more, not both 0"
        )
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file", "a folder")
    found = read_annotation(annotation, None if genome is None else Genome(genome))
    beds = {
        "genes.bed": found.genes(),
        "CDS.bed": found.coding(),
        "promoters.bed": found.promoters(upstream, downstream),
    }
    if not any(beds.values()):
        raise InputError(annotation, "has no genes, transcripts or CDS", "an annotation of genes")
    staging = out.parent / f".{out.name}.{os.getpid()}.tmp"
    try:
        with writable(out):
            staging.mkdir(parents=True)
            for name, places in beds.items():
                write_bed(staging / name, places)
            if found.sequences and genome is None:
                _write_genome(staging / "genome.fa.gz", found)
            out.mkdir(exist_ok=True)
            for file in sorted(staging.iterdir()):
                os.replace(file, out / file.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return {name: len(places) for name, places in beds.items()}


def _write_genome(path: Path, annotation: Annotation) -> None:
    with open_bgzip(path) as file:
        for contig, letters in annotation.sequences.items():
            file.write(f">{contig}\n".encode())
            for start in range(0, len(letters), _LINE):
                file.write(letters[start : start + _LINE].encode() + b"\n")
    text = Text(path)
    build(text, Path(f"{path}.fai"), Path(f"{path}.gzi"))
    text.close()
