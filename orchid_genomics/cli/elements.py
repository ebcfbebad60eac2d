"""Commands about regulatory elements: dataset, score-elements, embed."""

import click

from orchid_genomics.cli.options import (
    RESUMED,
    listed,
    model_and_genome,
    out,
    resumable,
    seed,
    taking,
)


@click.command(short_help="Peaks to a labelled set.")
@click.argument("peaks", type=click.Path())
@click.argument("genome", type=click.Path())
@out("SET", "The labelled set to write, SET.tsv or SET.tsv.gz.")
@click.option("--length", default=512, show_default=True, help="Letters of every window.")
@click.option(
    "--negatives",
    type=click.Choice(["matched", "shuffled"]),
    default="matched",
    show_default=True,
    help="Other windows of the genome with the same GC, repeats and N; or the peaks' letters, dinucleotide-shuffled.",
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
    help="No window may touch it; may be repeated.",
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
    help="A bigWig or bedGraph whose mean over each window is the label.",
)
@click.option(
    "--signal-mean",
    type=click.Choice(["mean0", "mean"]),
    default="mean0",
    show_default=True,
    help="mean0: letters without a value count as zero (coverage); mean: they do not count (scores).",
)
@click.option(
    "--keep-duplicates", is_flag=True, help="Count near-duplicates across splits, but keep them."
)
@seed("which negatives are drawn")
def dataset(
    peaks: str, genome: str, out: str, signal_mean: str, exclude: tuple[str, ...], **options
) -> None:
    """Turn PEAKS (narrowPeak or BED, 0-based half-open) on a GENOME (FASTA) into a labelled set for
    finetune.

    A window is centred on the summit of a narrowPeak (column 10), else on the middle of its record,
    and read on its strand; N beyond the end of a contig. Negatives come from the contigs and the
    split of their peak, and never touch a peak. Training and validation rows that share 30 letters
    in a row, on either strand, with a later split are removed. Everything is counted, and the
    agreement of GC, repeats and N is printed.

    The set is a TSV: #chrom start end (0-based half-open) strand label split sequence source name.
    """
    from orchid_genomics.tasks.dataset import dataset as task

    for line in task(peaks, genome, out, exclude=exclude, covered=signal_mean == "mean", **options):
        click.echo(line)


@click.command(
    "score-elements", epilog=RESUMED, short_help="Score every element of a BED, or every letter."
)
@taking(model_and_genome)
@click.argument("elements", type=click.Path(), required=False)
@out("OUT", "The file to write; its ending is its format.")
@click.option(
    "--passes",
    default=1,
    show_default=True,
    help="1: one pass, all letters in sight, corrected by Bayes. K, such as 8: every pass masks each K-th letter.",
)
@click.option(
    "--window",
    type=int,
    help="Letters read around each piece of an element; default as in training.",
)
@click.option(
    "--background",
    default=200,
    type=click.IntRange(min=0),
    show_default=True,
    help="Windows drawn from the genome for each step of length; 0: no z.",
)
@seed("which windows are drawn")
@click.option(
    "--length",
    type=click.IntRange(min=0),
    help="Fine-tuned: letters read around each summit or middle; default as in training; 0: the element itself.",
)
@click.option(
    "--tile",
    metavar="CONTIGS",
    callback=listed,
    help="In place of ELEMENTS: whole contigs, between commas, or all.",
)
@click.option(
    "--stride",
    default=128,
    show_default=True,
    help="With --tile, fine-tuned: letters that share a value.",
)
@click.option(
    "--track", metavar="SCORE", help="The score of a bigWig or bedGraph; default the first."
)
@taking(resumable)
def score_elements(
    model: str,
    genome: str,
    elements: str | None,
    out: str,
    passes: int,
    window: int | None,
    background: int,
    seed: int,
    length: int | None,
    **options,
) -> None:
    """Score every element of a BED: ELEMENTS in (0-based half-open; plain or gzipped), scored file
    out.

    MODEL is a folder that pretrain or finetune wrote, GENOME the FASTA.

    \b
    A fine-tuned MODEL: probabilities (p_LABEL), or numbers in the labels' units, of
    as many letters as in training around each summit (narrowPeak) or middle.
    A pretrained MODEL:
      loglik     mean log-likelihood of the element's letters, each given all the
                 others, in nats; 0: certain, -1.39: chance
      entropy    mean entropy of the model's letters, in bits; 2: no idea
      *_z        both in standard deviations from the mean of n windows of the same
                 genome: of --background windows of about the same length (steps of
                 2**0.5) those within .02 of the element's GC, the 30 nearest where
                 those are fewer (ask for more where GC is extreme)
    One pass in sight reads letters that are not masked; what training showed of such
    letters is taken off by Bayes (see llr_unmasked of score-variants). On yeast
    promoters it ranks elements as 64 masked passes do at r = .95; 8 passes at .97.

    \b
    OUT by its name:
      .bed.gz .bed             the columns of ELEMENTS (six at least), then the scores
      .tsv.gz .tsv .parquet    the same as a table; - is TSV on standard output
      .bw .bigWig .bedGraph[.gz]   one score along the genome, the mean where elements
                               overlap; with --tile a value for every letter (pretrained)
                               or every --stride letters (fine-tuned, read on +)

    Every element is answered, in order: by numbers, or by . with the reason (unknown_contig,
    off_contig, all_n,
    too_long: over 131,072 letters). A score depends on genome, element, model and options alone,
    never on the elements beside it; an element on - is read there, and a pretrained model says the
    same of both strands.
    """
    from orchid_genomics.score.elements.element_scores import Options
    from orchid_genomics.tasks.score_elements import score_elements as task

    how = Options(window, passes, background, seed, length)
    task(model, genome, elements, out, how, **options)


@click.command(epilog=RESUMED, short_help="Vectors of every element of a BED, as HDF5.")
@taking(model_and_genome)
@click.argument("elements", type=click.Path())
@out("OUT", "The HDF5 to write, OUT.h5.")
@click.option(
    "--pool",
    type=click.Choice(["mean", "none"]),
    default="mean",
    show_default=True,
    help="mean: one vector an element; none: one for each of its letters, 5' to 3' on its strand.",
)
@click.option(
    "--strand",
    type=click.Choice(["auto", "both", "forward"]),
    default="auto",
    show_default=True,
    help="both: the half of the channels that both strands share; forward: all; auto: forward if the BED has + and -.",
)
@click.option(
    "--window",
    type=click.IntRange(min=0),
    help="Letters read around each piece of an element; default as in training (pretrained), 0: the element alone "
    "(fine-tuned).",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Of the vectors.",
)
@taking(resumable)
def embed(model: str, genome: str, elements: str, out: str, **options) -> None:
    """Embed every element of a BED: ELEMENTS in (0-based half-open), an HDF5 of vectors out.

    MODEL is a folder that pretrain or finetune wrote, GENOME the FASTA. The file holds the vectors,
    chunked and compressed, the elements in their order, and the hashes of model and genome; every
    element has its row, NaN with a reason in `why` where it cannot be read (unknown_contig,
    off_contig, all_n, too_long: over 131,072 letters). The schema is in
    orchid_genomics.data.embeddings, whose Embeddings reads it; so does any HDF5 library.

    An element's vectors depend on genome, element, model and options alone.
    """
    from orchid_genomics.tasks.embed import embed as task

    task(model, genome, elements, out, **options)


COMMANDS = (dataset, score_elements, embed)
