"""Commands that judge scores: mutate, evaluate-variants, calibrate."""

import click

from orchid_genomics.cli.options import (
    device,
    lengths,
    listed,
    model_and_genome,
    out,
    quiet,
    seed,
    taking,
)


@click.command(short_help="Every single-letter change of coding sequences, as VCF.")
@click.argument("genome", type=click.Path())
@click.argument("annotation", type=click.Path())
@out("VCF", "The VCF to write: .vcf, or .vcf.gz with an index.")
@click.option(
    "--contigs",
    metavar="CONTIGS",
    callback=listed,
    help="Contigs whose genes are changed, between commas; default all.",
)
@click.option("--genes", type=click.IntRange(min=1), help="Draw so many genes; default all.")
@click.option(
    "--last",
    default=0.1,
    show_default=True,
    help="Share at the end of each coding sequence left out.",
)
@click.option("--table", default=1, show_default=True, help="Genetic code, by its NCBI number.")
@seed("which genes are drawn")
def mutate(genome: str, annotation: str, out: str, **options) -> None:
    """Write every single-letter change of the coding sequences of ANNOTATION (GFF3 or GenBank) on
    GENOME, as a VCF.

    Each is classified in the words of bcftools csq (INFO BCSQ): synonymous, missense, stop_gained,
    start_lost, stop_lost. CONTEXT is the change with its neighbours on the coding strand,
    CODON_LETTER its place in the codon (1 to 3); STOP the stop word that it makes and FRAME whether
    that is read as a codon. Genes that overlap another gene's CDS, or are no whole reading frame,
    are left out and counted. Places in a VCF are 1-based.
    """
    from orchid_genomics.tasks.mutate import mutate as task

    found = task(genome, annotation, out, **options)
    click.echo(f"genes\t{found.genes:,} of {found.readable:,}")
    for consequence, count in sorted(found.changes.items()):
        click.echo(f"{consequence}\t{count:,}")
    for reason, count in found.dropped.items():
        click.echo(f"left out, {reason}\t{count:,} genes")


@click.command(short_help="Learn the background of scores on a genome.")
@taking(model_and_genome)
@out("CAL", "The calibration to write, such as CAL.json.")
@click.option(
    "--neutral",
    type=click.Path(),
    metavar="BED",
    help="Neutral sequence (0-based half-open) to sample in place of all.",
)
@click.option(
    "--scores",
    metavar="A,B",
    callback=listed,
    help="Scores of single-letter changes; default llr_unmasked, the cheapest.",
)
@click.option(
    "--window",
    "windows",
    metavar="N,M",
    callback=lengths,
    help="Letters read around each letter; default as in training.",
)
@click.option(
    "--sites",
    default=20_000,
    type=click.IntRange(min=100),
    show_default=True,
    help="Letters to sample.",
)
@seed("which letters are sampled")
@taking(device + quiet)
def calibrate(model: str, genome: str, out: str, **options) -> None:
    """Learn what the scores of MODEL are on GENOME at large: what score-variants --calibration
    compares with.

    MODEL is a folder that pretrain or finetune wrote, GENOME the FASTA. All three changes of
    letters sampled from the whole genome ("genome background", which is not neutral: some of it is
    under selection), or from --neutral, are scored and kept by trinucleotide and alternate letter,
    both strands as one. score-variants then adds to each score of a single-letter change a
    percentile within that context, kept 1/n off both ends (n is given), and a z, the distance from
    the context's mean in standard deviations; `.` for all else. How unusual a change looks to the
    model is not pathogenicity. A calibration holds for its model, genome, window and score alone;
    for another it is refused.
    """
    from orchid_genomics.tasks.calibrate import calibrate as task
    from orchid_genomics.tasks.calibrate import lines

    found = task(model, genome, out, **options)
    for line in () if options["quiet"] else lines(found):
        click.echo(line)


@click.command("evaluate-variants", short_help="AUROC and AUPRC of scored, labelled variants.")
@click.argument("scored", type=click.Path())
@click.option(
    "--label",
    required=True,
    metavar="KEY",
    help="INFO key or column with the classes, such as CLNSIG.",
)
@click.option(
    "--positive",
    multiple=True,
    metavar="VALUES",
    help="Its positive values, between commas; may be repeated.",
)
@click.option(
    "--negative",
    multiple=True,
    metavar="VALUES",
    help="Its negative values, between commas; may be repeated.",
)
@click.option(
    "--labels",
    type=click.Path(),
    metavar="FILE",
    help="A TSV, VCF or parquet with more columns for the same variants.",
)
@click.option(
    "--score",
    "scores",
    multiple=True,
    metavar="NAME",
    help="A score; -NAME: lower means positive; may be repeated; default all of ours.",
)
@click.option(
    "--consequence",
    metavar="KEY",
    help="Where the consequence stands; default CSQ, BCSQ, ANN, MC ...",
)
@click.option(
    "--cluster", metavar="KEY", help="What is resampled together; default the gene, else 100 kb."
)
@click.option(
    "--strata",
    multiple=True,
    metavar="KEY",
    help="Rank within this too; context: trinucleotide x ALT; may be repeated.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="KEY=VALUES",
    help="Keep variants with one of these values; may be repeated.",
)
@click.option(
    "--regions",
    type=click.Path(),
    metavar="BED",
    help="Keep variants in these places (0-based half-open).",
)
@click.option(
    "--genome", type=click.Path(), metavar="FASTA", help="For contexts and the baselines below."
)
@click.option(
    "--model",
    type=click.Path(),
    metavar="MODEL",
    help="For counts of its training, and random weights.",
)
@click.option(
    "--frequency", metavar="KEY", help="Allele frequency, a baseline: rarer means positive."
)
@click.option(
    "--conservation",
    type=click.Path(),
    metavar="TRACK",
    help="A bigWig or bedGraph, a baseline: higher means positive.",
)
@click.option(
    "--baselines",
    metavar="A,B",
    default="look-up,counts,random",
    show_default=True,
    help="Which of those above; or none.",
)
@click.option(
    "--samples",
    default=1000,
    type=click.IntRange(min=1),
    show_default=True,
    help="Resamples of clusters.",
)
@seed("folds, resamples and random weights")
@click.option("-o", "--out", metavar="JSON", help="Write the same numbers as JSON, too.")
@taking(device)
def evaluate_variants(scored: str, out: str | None, **words) -> None:
    """Say how well the scores of SCORED (VCF, BCF, TSV, parquet) tell positive from negative
    variants.

    AUROC and AUPRC (beside the base rate, the AUPRC of no knowledge) over all labelled variants, by
    type and by consequence (of INFO CSQ, BCSQ, ANN or MC, or a column), with 95 % intervals by
    resampling whole genes, and the first score's lead over each other one on the same variants and
    resamples. Our scores are read with their sign (llr: lower means positive).

    \b
    Baselines: look-up  trinucleotide x ALT, fitted on the genes of other folds (--genome)
               counts   6 letters on both sides, of what the model was trained on (--model)
               random   the same score by a model of the same shape before training (--model)

    Areas over all variants are confounded where classes differ in their contexts; --strata context
    ranks each variant against those of the same trinucleotide and ALT alone (on the coding strand,
    where CSQ gives it).
    """
    from orchid_genomics.tasks.evaluate_variants import evaluate_variants as task
    from orchid_genomics.tasks.evaluate_variants import options_of, save

    found = task(scored, options_of(**words), lambda text: click.echo(f"{text} ...", err=True))
    click.echo(found.text())
    if out:
        save(found, out)


COMMANDS = (mutate, calibrate, evaluate_variants)
