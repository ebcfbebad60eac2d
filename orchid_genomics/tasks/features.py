"""An annotation becomes a folder of BEDs, which appear together once all of them are written."""

import os
import warnings
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.files import temporary_folder, writable
from orchid_genomics.genome.annotation import Annotation, read_annotation
from orchid_genomics.genome.bed import write_bed
from orchid_genomics.genome.bgzf import Text, open_bgzip
from orchid_genomics.genome.contigs import GenomeNote, listed
from orchid_genomics.genome.fai import build
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.jobs.output import require_no_input

_LINE = 60  # letters a line of the FASTA
_WRITTEN = ("genes.bed", "CDS.bed", "promoters.bed", "genome.fa.gz")


def features(
    annotation: str | Path,
    out: str | Path,
    genome: str | Path | None = None,
    upstream: int = 500,
    downstream: int = 0,
    aliases: str | Path | None = None,
) -> dict[str, int]:
    """Write genes.bed, CDS.bed and promoters.bed (0-based half-open) into a folder.

    A GenBank file gives genome.fa.gz with its index too, unless `genome` is given. Nothing is
    written when anything is wrong. Genes without a promoter are said by a GenomeNote, with the
    reason.

    Parameters
    ----------
    annotation : str or Path
        GFF3 or GenBank, plain or gzipped.
    out : str or Path
        The folder.
    genome : str or Path, optional
        A FASTA on whose contigs the features must lie; those on others are left out and said.
    upstream, downstream : int
        A promoter reaches from so many letters before the 5' end of a gene to so many into it.
    aliases : str or Path, optional
        Other names of the genome's contigs; see `genome.contigs.read_aliases`.

    Returns
    -------
    dict
        Rows of each BED.
    """
    if upstream < 0 or downstream < 0 or upstream + downstream == 0:
        message = f"{upstream} letters, `downstream` {downstream}"
        raise InputError("upstream", message, "0 or more, not both 0")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file", "a folder")
    for name in _WRITTEN:
        require_no_input(out / name, (annotation, genome, aliases))
    fasta = None if genome is None else Genome(genome, aliases=aliases)
    features = read_annotation(annotation, fasta)
    promoters, without = features.promoters_and_reasons(upstream, downstream)
    beds = {
        "genes.bed": features.genes(),
        "CDS.bed": features.coding(),
        "promoters.bed": promoters,
    }
    if not any(beds.values()):
        raise InputError(annotation, "has no genes, transcripts or CDS", "an annotation of genes")
    with writable(out), temporary_folder(out) as staging:
        for name, intervals in beds.items():
            write_bed(staging / name, intervals)
        if features.sequences and genome is None:
            _write_genome(staging / "genome.fa.gz", features)
        out.mkdir(exist_ok=True)
        for file in sorted(staging.iterdir()):
            # File by file: the folder may hold others, which stay.
            os.replace(file, out / file.name)
    for reason, genes in without.items():
        message = f"no promoter for {len(genes):,} genes {reason}: {listed(genes)}"
        warnings.warn(f"{annotation}: {message}", GenomeNote, stacklevel=2)
    return {name: len(intervals) for name, intervals in beds.items()}


def _write_genome(path: Path, annotation: Annotation) -> None:
    with open_bgzip(path) as file:
        for contig, letters in annotation.sequences.items():
            file.write(f">{contig}\n".encode())
            for start in range(0, len(letters), _LINE):
                file.write(letters[start : start + _LINE].encode() + b"\n")
    text = Text(path)
    build(text, Path(f"{path}.fai"), Path(f"{path}.gzi"))
    text.close()
