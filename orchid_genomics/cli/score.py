"""Commands that run a model over a file: score-variants, score-genome, score-elements, embed,
merge.
"""

from functools import partial
from typing import Any

import click

from orchid_genomics.cli import options
from orchid_genomics.cli.command import Command, answer_job
from orchid_genomics.score.variants.scorers import SCORERS, default_scores, plain

command = partial(click.command, cls=Command)

_SCORE_VARIANTS = f"""Score every ALT of a VCF: VARIANTS in (.vcf, .vcf.gz, .bcf, or - for
standard input), annotated file out.

MODEL is a folder that pretrain or finetune wrote, or a name (see models); GENOME the FASTA that
the variants were called on.

\b
OUT by its name:
  .vcf.gz .vcf .bcf   every record unchanged and in order, with INFO for each ALT; .vcf.gz
                      and .bcf indexed
  .tsv.gz .tsv        a row for each ALT, 1-based positions
  .parquet            the same (pip install "orchid-genomics[parquet]")
  -                   VCF on standard output

Every ALT is answered: by numbers, or by . with the reason in ORCHID_WHY (REF mismatch, *, off the
contig, N, ...). REF is checked against GENOME; when over 20 % of a sample
differ, nothing is scored and the likely cause is named. A score depends on genome, variant, model
and window alone, never on neighbouring variants. It says what the model expects at a position: it
is not pathogenicity.

\b
Scores (default: {",".join(default_scores("letters"))} for a pretrained model,
{",".join(default_scores("head"))} for a fine-tuned one, {",".join(default_scores(""))} without a
head):
{plain()}

<DEL>, <DUP> and <INV> with END or SVLEN, and breakends with a mate on the same contig, are scored
as the letters that they stand for. Other symbolic ALTs have no score, and neither has an event
longer than half the window.
"""


@command(
    "score-variants",
    help=_SCORE_VARIANTS,
    epilog=options.JOB_NOTE,
    short_help="Score every ALT of a VCF.",
)
@options.model
@options.genome
@options.file_argument("variants")
@options.out("OUT", "The file to write; its ending is its format.")
@options.scores(f"Scores, several in one pass: {', '.join(SCORERS)}; default see above.")
@options.windows(
    "Letters read around each variant; default as in training. Several lengths give a column each, "
    "and the summary says whether context helped."
)
@click.option(
    "--on-ref-mismatch",
    "on_mismatch",
    type=click.Choice(["skip", "error", "use-genome"]),
    default="skip",
    show_default=True,
    help="If REF is not what the genome has: give no score, stop before any work, or score against "
    "the genome's letters.",
)
@click.option(
    "--calibration",
    metavar="CAL",
    type=click.Path(),
    help="A background from calibrate: adds percentile, z and n to each score of single letters. "
    "Not pathogenicity.",
)
@click.option(
    "--phased",
    metavar="SAMPLE",
    help="Score a sample's haplotypes against the reference: each variant that it carries together "
    "with the others on that haplotype within half the window; columns _HAP1 and _HAP2.",
)
@click.option("--prefix", default="ORCHID", show_default=True, help="Prefix of the INFO names.")
@options.relatives
@options.job
def score_variants(as_json: bool, **words: Any) -> None:
    from orchid_genomics.tasks.score_variants import score_variants as task

    answer_job(task(**words), as_json)


@command(
    "score-genome",
    epilog=options.JOB_NOTE,
    short_help="Score every substitution of a genome.",
)
@options.model
@options.genome
@options.out(
    "OUT",
    "The file to write; its ending is its format. A plan without it is of a .vcf.gz.",
    required=False,
)
@click.option(
    "--regions",
    metavar="BED",
    type=click.Path(),
    help="Only the letters that this BED covers (0-based half-open); default the whole genome.",
)
@click.option("--window", type=int, help="Letters of a tile; default as in training.")
@click.option(
    "--track",
    metavar="VALUE",
    help="Of a bigWig or bedGraph: mean or min of a letter's three scores, or A, C, G or T, the "
    "score of that one; default mean.",
)
@click.option(
    "--plan",
    is_flag=True,
    help="Write nothing; print how many substitutions there are, how long they would take "
    "(measured on a few tiles) and their size on the disk beside what is free.",
)
@options.job
def score_genome(as_json: bool, **words: Any) -> None:
    """Score all three substitutions of every letter of a genome, in one pass of overlapping tiles.

    MODEL is a folder that pretrain wrote, or a name (see models); GENOME the FASTA. The scores are
    those of score-variants with --scores llr_unmasked, whatever --regions leaves out: the tiles lie
    on the same grid.

    \b
    OUT by its name:
      .vcf.gz .vcf             a record for each letter, 1-based, with its three ALTs and
                               ORCHID_LLR_UNMASKED, a number for each; .vcf.gz indexed, for
                               bcftools annotate and vep --custom
      .bw .bigWig .bedGraph[.gz]   one value for each letter (--track)
      -                        VCF on standard output

    Soft-masked letters are scored like others; N has no record. In a score < 0 the model expects
    the alternate less than the reference: it is not pathogenicity.
    """
    from orchid_genomics.tasks.score_genome import score_genome as task

    if as_json and words["plan"]:
        # Its lines are its answer, and so is the JSON.
        words["quiet"] = True
    answer_job(task(**words), as_json)


@command(
    "score-elements",
    epilog=options.JOB_NOTE,
    short_help="Score every element of a BED, or every letter.",
)
@options.model
@options.genome
@options.file_argument("elements", required=False)
@options.out("OUT", "The file to write; its ending is its format.")
@click.option(
    "--passes",
    default=1,
    show_default=True,
    help="1: one pass, all letters in sight, corrected by Bayes. K, such as 8: K passes, each with "
    "every K-th letter masked.",
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
@options.seed("which windows are drawn")
@click.option(
    "--length",
    type=click.IntRange(min=0),
    help="Fine-tuned: letters read around each summit or middle; default as in training; 0: the "
    "element itself.",
)
@click.option(
    "--tile",
    metavar="CONTIGS",
    callback=options.split_names,
    help="In place of ELEMENTS: whole contigs, between commas, or all.",
)
@click.option(
    "--stride",
    default=128,
    show_default=True,
    help="With --tile, fine-tuned: how many letters share a value.",
)
@click.option(
    "--track", metavar="SCORE", help="The score of a bigWig or bedGraph; default the first."
)
@options.job
def score_elements(
    passes: int,
    window: int | None,
    background: int,
    seed: int,
    length: int | None,
    as_json: bool,
    **words: Any,
) -> None:
    """Score every element of a BED: ELEMENTS in (0-based half-open; plain or gzipped), scored file
    out.

    MODEL is a folder that pretrain or finetune wrote, or a name (see models); GENOME the FASTA.

    \b
    A fine-tuned MODEL: probabilities (p_LABEL), or numbers in the labels' units, of
    as many letters as in training around each summit (narrowPeak) or middle.
    A pretrained MODEL:
      loglik     mean log-likelihood of the element's letters, each given all the
                 others, in nats; 0: certain, -1.39: chance
      entropy    mean entropy of the model's letters, in bits; 2: no idea
      *_z        both in standard deviations from the mean of n windows of the same
                 genome: of --background windows of about the same length (steps of
                 2**0.5) those within .02 of the element's GC, or the 30 nearest if
                 those are fewer (ask for more where GC is extreme)
    A single pass reads letters that are not masked; what seeing them gives away is
    removed by Bayes (see llr_unmasked of score-variants). On yeast promoters its
    ranking agrees with that of 64 masked passes at r = .95; that of 8 passes at .97.

    \b
    OUT by its name:
      .bed.gz .bed             the columns of ELEMENTS (six at least), then the scores
      .tsv.gz .tsv .parquet    the same as a table; - is TSV on standard output
      .bw .bigWig .bedGraph[.gz]   one score along the genome, the mean where elements
                               overlap; with --tile a value for every letter (pretrained)
                               or every --stride letters (fine-tuned, read on +)

    Every element is answered, in order: by numbers, or by . with the reason (unknown_contig,
    off_contig, all_n, too_long: over 131,072 letters). A score depends on genome, element, model
    and options alone, never on neighbouring elements; an element on - is read there, and a
    pretrained model gives the same score on either strand.
    """
    from orchid_genomics.score.elements.element_scores import Options
    from orchid_genomics.tasks.score_elements import score_elements as task

    how = Options(window, passes, background, seed, length)
    answer_job(task(options=how, **words), as_json)


@command(epilog=options.JOB_NOTE, short_help="Vectors of every element of a BED, as HDF5.")
@options.model
@options.genome
@options.elements
@options.out("OUT", "The HDF5 to write, OUT.h5.")
@click.option(
    "--pool",
    type=click.Choice(["mean", "none"]),
    default="mean",
    show_default=True,
    help="mean: one vector for each element; none: one for each of its letters, 5' to 3' on its "
    "strand.",
)
@click.option(
    "--strand",
    type=click.Choice(["auto", "both", "forward"]),
    default="auto",
    show_default=True,
    help="both: the half of the channels that both strands share; forward: all of them; auto: "
    "forward if the BED has + and -.",
)
@click.option(
    "--window",
    type=click.IntRange(min=0),
    help="Letters read around each piece of an element; default as in training (pretrained), or 0: "
    "the element alone (fine-tuned).",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Of the vectors.",
)
@options.job
def embed(as_json: bool, **words: Any) -> None:
    """Embed every element of a BED: ELEMENTS in (0-based half-open), an HDF5 of vectors out.

    MODEL is a folder that pretrain or finetune wrote, or a name (see models); GENOME the FASTA. The
    file holds the vectors, chunked and compressed, the elements in their order, and the hashes of
    model and genome. Every element has its row: NaN, with a reason in `why`, if it cannot be read
    (unknown_contig, off_contig, all_n, too_long: over 131,072 letters). The layout is described in
    orchid_genomics.data.embeddings, whose Embeddings reads it; so does any HDF5 library.

    An element's vectors depend on genome, element, model and options alone. Where finetune keeps
    several networks (`info` says how many), they are those of the best one on validation.
    """
    from orchid_genomics.tasks.embed import embed as task

    answer_job(task(**words), as_json)


@command(short_help="Join the parts that --shard left.")
@options.file_argument("shards", nargs=-1, required=True)
@options.out("OUT", "The file to write; its ending is that of the OUT of the shards.")
@options.answers
def merge(as_json: bool, **words: Any) -> None:
    """Join the parts of one job: SHARDS are the OUT.parts folders that --shard left.

    Checks that they belong to one job (same input, model, genome and options) and that no part is
    missing. The output is, once decompressed, byte-identical to that of a run without shards. The
    folders stay; remove them when you have seen the result. Positions stay as the format has them:
    VCF 1-based, BED 0-based half-open.
    """
    from orchid_genomics.tasks.merge import merge as task

    answer_job(task(**words), as_json)


COMMANDS = (score_variants, score_genome, score_elements, embed, merge)
