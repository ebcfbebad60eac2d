"""Commands about regulatory elements: dataset, score-elements, embed."""

import click


@click.command()
@click.argument("peaks", type=click.Path())
@click.argument("genome", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), help="The labelled set, SET.tsv or SET.tsv.gz.")
@click.option("--length", default=512, show_default=True, help="Letters of every window.")
@click.option(
    "--negatives",
    type=click.Choice(["matched", "shuffled"]),
    default="matched",
    show_default=True,
    help="Other windows of the genome with the same GC, repeats and N; or the peaks' letters, dinucleotide-shuffled.",
)
@click.option("--ratio", default=1, type=click.IntRange(min=0), show_default=True, help="Negatives for each peak.")
@click.option("--exclude", multiple=True, type=click.Path(), help="A BED that no window may touch; may be repeated.")
@click.option("--validation", default="", metavar="CONTIGS", help="Held out for validation: chr5,chr11.")
@click.option(
    "--test", default="", metavar="CONTIGS", help="Held out for the test: chr7, or a stretch chr20:1-9000000 (1-based)."
)
@click.option("--signal", type=click.Path(), help="A bigWig or bedGraph whose mean over each window is the label.")
@click.option(
    "--signal-mean",
    type=click.Choice(["mean0", "mean"]),
    default="mean0",
    show_default=True,
    help="mean0: letters without a value count as zero (coverage); mean: they do not count (scores).",
)
@click.option("--keep-duplicates", is_flag=True, help="Count near-duplicates across splits, but keep them.")
@click.option("--seed", default=0, show_default=True, help="Decides which negatives are drawn.")
def dataset(peaks: str, genome: str, out: str, signal_mean: str, exclude: tuple[str, ...], **options) -> None:
    """Turn PEAKS (narrowPeak or BED, 0-based half-open) on a GENOME (FASTA) into a labelled set for finetune.

    A window is centred on the summit of a narrowPeak (column 10), else on the middle of its record, and read on its
    strand; N beyond the end of a contig. Negatives come from the contigs and the split of their peak, and never touch
    a peak. Training and validation rows that share 30 letters in a row, on either strand, with a later split are
    removed. Everything is counted, and the agreement of GC, repeats and N is printed.

    The set is a TSV: #chrom start end (0-based half-open) strand label split sequence source name.
    """
    from orchid_genomics.tasks.dataset import dataset as task

    for line in task(peaks, genome, out, exclude=exclude, covered=signal_mean == "mean", **options):
        click.echo(line)


COMMANDS = (dataset,)
