"""Commands that make files from genomes: features, dataset, mutate, conserve."""

from dataclasses import asdict
from functools import partial
from typing import Any

import click

from orchid_genomics.cli import options
from orchid_genomics.cli.command import Command, answer

command = partial(click.command, cls=Command)


@command(short_help="GFF3 or GenBank to BEDs.")
@options.file_argument("annotation")
@options.out("FOLDER", "The folder to write; created if missing.")
@click.option(
    "--genome",
    type=click.Path(),
    metavar="FASTA",
    help="A FASTA whose contigs the features must fit; those on others are left out and said.",
)
@click.option(
    "--upstream",
    default=500,
    show_default=True,
    help="Letters of a promoter before the gene's 5' end.",
)
@click.option(
    "--downstream",
    default=0,
    show_default=True,
    help="Letters of a promoter after the gene's 5' end.",
)
@options.aliases
@options.answers
def features(as_json: bool, quiet: bool, **words: Any) -> None:
    """Turn an ANNOTATION (GFF3 or GenBank, plain or gzipped) into BEDs.

    Writes genes.bed, CDS.bed (every part of a coding sequence) and promoters.bed into the folder;
    from GenBank also genome.fa.gz with its index, unless --genome is given. Positions in GFF3 and
    GenBank are 1-based and closed; the BEDs are 0-based half-open. Promoters follow the strand of
    the gene and are cut at the ends of the contig.
    """
    from orchid_genomics.tasks.features import features as task

    rows = task(**words)
    lines = [f"{name}\t{count:,} rows" for name, count in rows.items()]
    answer(rows, lines, as_json=as_json, quiet=quiet)


@command(short_help="Peaks to a labelled set.")
@options.file_argument("peaks")
@options.genome
@options.out("SET", "The labelled set to write, SET.tsv or SET.tsv.gz.")
@click.option("--length", default=512, show_default=True, help="Letters in each window.")
@click.option(
    "--negatives",
    type=click.Choice(["matched", "shuffled"]),
    default="matched",
    show_default=True,
    help="matched: other windows of the genome with the same GC, repeats and N; shuffled: the "
    "peaks' own letters, dinucleotides kept.",
)
@click.option(
    "--ratio",
    default=1,
    type=click.IntRange(min=0),
    show_default=True,
    help="Negatives for each peak.",
)
@click.option(
    "--exclude",
    multiple=True,
    type=click.Path(),
    metavar="BED",
    help="Regions that no window may touch; may be repeated.",
)
@click.option(
    "--validation", default="", metavar="CONTIGS", help="Held out for validation: chr5,chr11."
)
@click.option(
    "--test",
    default="",
    metavar="CONTIGS",
    help="Held out for the test: chr7, or a stretch chr20:1-9000000 (1-based).",
)
@click.option(
    "--signal",
    type=click.Path(),
    metavar="TRACK",
    help="A bigWig or bedGraph; its mean over each window becomes the label.",
)
@click.option(
    "--signal-mean",
    type=click.Choice(["mean0", "mean"]),
    default="mean0",
    show_default=True,
    help="mean0: letters without a value count as zero (coverage); mean: they do not count "
    "(scores).",
)
@click.option(
    "--keep-duplicates",
    is_flag=True,
    help="Keep near-duplicates across splits; they are counted all the same.",
)
@options.aliases
@options.circular
@options.seed("which negatives are drawn")
@options.answers
def dataset(as_json: bool, quiet: bool, **words: Any) -> None:
    """Turn PEAKS (narrowPeak or BED, 0-based half-open) on a GENOME (FASTA) into a labelled set for
    finetune.

    Each window is centred on the summit of its record (column 10 of a narrowPeak or IDR file), or
    on the middle of a record that has none, and is read on its strand; beyond the end of a contig
    it reads N. What lies on contigs that GENOME lacks is left out and counted. Negatives come from
    the same contigs and split as their peak and never touch a peak. Training and validation rows
    that share 30 consecutive letters, on either strand, with a later split are removed. The report
    counts all of this and prints how well GC, repeats and N agree.

    The set is a TSV: #chrom start end (0-based half-open) strand label split sequence source name.
    """
    from orchid_genomics.tasks.dataset import dataset as task

    report = task(**words)
    values = report.values | {"report": report.lines}
    answer(values, report.lines, as_json=as_json, quiet=quiet)


@command(short_help="Every single-letter change of coding sequences, as VCF.")
@options.genome
@options.file_argument("annotation")
@options.out("VCF", "The VCF to write: .vcf, or .vcf.gz with an index.")
@click.option(
    "--contigs",
    metavar="CONTIGS",
    callback=options.split_names,
    help="Contigs whose genes are changed, between commas; default all.",
)
@click.option("--genes", type=click.IntRange(min=1), help="How many genes to draw; default all.")
@click.option(
    "--last",
    default=0.1,
    show_default=True,
    help="Share at the end of each coding sequence to leave out.",
)
@click.option(
    "--table",
    type=int,
    help="Genetic code of every contig, by its NCBI number; default what their CDS say "
    "(transl_table), else 1, and that of mitochondria.",
)
@click.option(
    "--mitochondrial",
    type=int,
    help="Genetic code of chrM, MT and Mito; default 3 (yeast) or 2 (vertebrates), "
    "in whichever more genes can be read.",
)
@options.aliases
@options.seed("which genes are drawn")
@options.answers
def mutate(as_json: bool, quiet: bool, **words: Any) -> None:
    """Write every single-letter change of the coding sequences of ANNOTATION (GFF3 or GenBank) on
    GENOME, as a VCF.

    Each change is classified in the terms of bcftools csq (INFO BCSQ): synonymous, missense,
    stop_gained, start_lost, stop_lost. CONTEXT is the change with its neighbours on the coding
    strand, CODON_LETTER its position in the codon (1 to 3); STOP is the stop codon's letters if the
    change makes one, and FRAME says whether they are read as a codon. Genes that overlap the CDS of
    another gene, or are not a whole reading frame, are left out and counted. Positions in a VCF are
    1-based.
    """
    from orchid_genomics.tasks.mutate import mutate as task

    written = task(**words)
    answer(asdict(written), written.lines(), as_json=as_json, quiet=quiet)


@command(short_help="Letters that related genomes share, as a track.")
@options.genome
@options.file_argument("relatives", nargs=-1, required=True)
@options.out("TRACK", "The track to write: .bw, .bedGraph or .bedGraph.gz.")
@click.option(
    "--k",
    type=click.IntRange(8, 31),
    help="Letters of a k-mer; default by the size of the largest relative, 16 for yeast.",
)
@options.answers
def conserve(as_json: bool, quiet: bool, **words: Any) -> None:
    """Write how many of the RELATIVES (FASTA) hold a k-mer over each letter of GENOME, from 0 to 1.

    A k-mer counts on either strand, wherever it stands: nothing is aligned. One changed letter
    between shared ones shows as that letter alone; changes less than k letters apart hide what lies
    between them too. Relatives at 85 to 99 % identity say the most. Letters N get no value;
    places in the track are 0-based half-open.
    """
    from orchid_genomics.tasks.conserve import conserve as task

    shares = task(**words)
    lines = [f"{path}\t{share:.1%} of the letters conserved" for path, share in shares.items()]
    answer(
        {str(path): share for path, share in shares.items()}, lines, as_json=as_json, quiet=quiet
    )


COMMANDS = (features, dataset, mutate, conserve)
