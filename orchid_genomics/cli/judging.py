"""Commands that judge scores: mutate, evaluate-variants, calibrate."""

import click


@click.command()
@click.argument("genome", type=click.Path())
@click.argument("annotation", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), help="The VCF to write: .vcf, or .vcf.gz with an index.")
@click.option("--contigs", help="Contigs whose genes are changed, between commas; default all.")
@click.option("--genes", type=click.IntRange(min=1), help="Draw so many genes; default all.")
@click.option("--last", default=0.1, show_default=True, help="Share at the end of each coding sequence left out.")
@click.option("--table", default=1, show_default=True, help="Genetic code, by its NCBI number.")
@click.option("--seed", default=0, show_default=True, help="Which genes are drawn.")
def mutate(
    genome: str, annotation: str, out: str, contigs: str | None, genes: int | None, last: float, table: int, seed: int
) -> None:
    """Write every single-letter change of the coding sequences of ANNOTATION (GFF3 or GenBank) as a VCF.

    Each is classified in the words of bcftools csq (INFO BCSQ): synonymous, missense, stop_gained, start_lost,
    stop_lost. CONTEXT is the change with its neighbours on the coding strand; STOP the stop word that it makes and
    FRAME whether that is read as a codon. Genes that overlap another gene's CDS, or are no whole reading frame, are
    left out and counted. Places in a VCF are 1-based.
    """
    from orchid_genomics.tasks.mutate import mutate as task

    found = task(genome, annotation, out, contigs.split(",") if contigs else (), genes, last, table, seed)
    click.echo(f"genes\t{found.genes:,} of {found.readable:,}")
    for consequence, count in sorted(found.changes.items()):
        click.echo(f"{consequence}\t{count:,}")
    for reason, count in found.dropped.items():
        click.echo(f"left out, {reason}\t{count:,} genes")


COMMANDS = (mutate,)
