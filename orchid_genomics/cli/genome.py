"""Commands about genomes and their annotations."""

import click

from orchid_genomics.cli.options import out


@click.command(short_help="GFF3 or GenBank to BEDs.")
@click.argument("annotation", type=click.Path())
@out("FOLDER", "The folder to write; made when missing.")
@click.option(
    "--genome",
    type=click.Path(),
    metavar="FASTA",
    help="A FASTA whose contig names and ends the features must fit.",
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
def features(annotation: str, out: str, genome: str | None, upstream: int, downstream: int) -> None:
    """Turn an ANNOTATION (GFF3 or GenBank, plain or gzipped) into BEDs.

    Writes genes.bed, CDS.bed (every part of a coding sequence) and promoters.bed into the folder;
    from GenBank also genome.fa.gz with its index, unless --genome is given. GFF3 and GenBank places
    are 1-based and closed; the BEDs are 0-based half-open. Promoters follow the strand of the gene
    and are cut at the ends of the contig.
    """
    from orchid_genomics.tasks.features import features as task

    for name, rows in task(annotation, out, genome, upstream, downstream).items():
        click.echo(f"{name}\t{rows:,} rows")


COMMANDS = (features,)
