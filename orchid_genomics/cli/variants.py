"""Commands about variants: score-variants, merge."""

import click

from orchid_genomics.cli.options import (
    RESUMED,
    lengths,
    listed,
    model_and_genome,
    out,
    quiet,
    resumable,
    taking,
)
from orchid_genomics.score.variants.scorers import SCORERS, plain

_HELP = f"""Score every ALT of a VCF: VARIANTS in (.vcf, .vcf.gz, .bcf, or - for standard input), annotated file out.

MODEL is a folder that pretrain or finetune wrote, GENOME the FASTA that the variants were called on.

\b
OUT by its name:
  .vcf.gz .vcf .bcf   every record as it was, in its order, with INFO for each ALT; .vcf.gz and .bcf indexed
  .tsv.gz .tsv        a row for each ALT, places 1-based
  .parquet            the same (pip install "orchid-genomics[parquet]")
  -                   VCF on standard output

Every ALT is answered: by numbers, or by . with the reason in ORCHID_WHY (REF mismatch, symbolic, breakend, *, off the
contig, N, ...). REF is checked against GENOME; when over 20 % of a sample differ, nothing is scored and you are told
what it looks like. A score depends on genome, variant, model and window alone, never on the variants beside it. It
compares what the model expects of a place: it is not pathogenicity.

\b
Scores (default: llr,indel for a pretrained model, delta for a fine-tuned one, embedding without a head):
{plain()}

Symbolic ALTs have no score. An event longer than half the window has none either.
"""


@click.command("score-variants", help=_HELP, epilog=RESUMED, short_help="Score every ALT of a VCF.")
@taking(model_and_genome)
@click.argument("variants", type=click.Path())
@out("OUT", "The file to write; its ending is its format.")
@click.option(
    "--scores",
    metavar="A,B",
    callback=listed,
    help=f"Scores, several in one pass: {', '.join(SCORERS)}; default see above.",
)
@click.option(
    "--window",
    "windows",
    metavar="N,M",
    callback=lengths,
    help="Letters read around each variant; default as in training. Several give a column each, and the "
    "summary says whether context helped.",
)
@click.option(
    "--on-ref-mismatch",
    "on_mismatch",
    type=click.Choice(["skip", "error", "use-genome"]),
    default="skip",
    show_default=True,
    help="A REF that the genome does not have: no score, stop before any work, or score against the genome's letters.",
)
@click.option(
    "--calibration",
    metavar="CAL",
    type=click.Path(),
    help="A background from calibrate: adds percentile, z and n to each score of single letters. Not pathogenicity.",
)
@click.option(
    "--prefix", default="ORCHID", show_default=True, help="What the INFO names begin with."
)
@taking(resumable)
def score_variants(model: str, genome: str, variants: str, **options) -> None:
    from orchid_genomics.tasks.score_variants import score_variants as task

    task(model, genome, variants, **options)


@click.command(short_help="Join the parts that --shard left.")
@click.argument("shards", nargs=-1, required=True, type=click.Path())
@out("OUT", "The file to write; its ending is that of the OUT of the shards.")
@taking(quiet)
def merge(shards: tuple[str, ...], out: str, quiet: bool) -> None:
    """Put the parts of one job together: SHARDS are the OUT.parts folders that --shard left.

    Checks that they belong to one job (same input, model, genome and options) and that no part is
    missing. The bytes, decompressed, are those of a run without shards. The folders stay; remove
    them when you have seen the result. Places stay as the format has them: VCF 1-based, BED 0-based
    half-open.
    """
    from orchid_genomics.tasks.merge import merge as task

    task(shards, out, quiet)


COMMANDS = (score_variants, merge)
