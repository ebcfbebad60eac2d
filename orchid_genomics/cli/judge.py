"""Commands that say what scores are worth: evaluate, calibrate, evaluate-variants."""

from functools import partial
from typing import Any

import click

from orchid_genomics.cli import options
from orchid_genomics.cli.command import Command, answer, echo

command = partial(click.command, cls=Command)


@command(short_help="Score a fine-tuned model on labelled data.")
@options.model
@options.file_argument("data")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test", "all"]),
    help="Rows to score; default see above.",
)
@click.option(
    "--sequence", metavar="COLUMN", help="The column of sequences of a table; default sequence."
)
@click.option("--label", metavar="COLUMN", help="The column of labels of a table; default label.")
@options.json_out("Write the scores as JSON, too.")
@options.device
@options.answers
def evaluate(
    model: str,
    data: str,
    split: str | None,
    sequence: str | None,
    label: str | None,
    out: str | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score MODEL, a folder that finetune wrote, on DATA: a table (TSV, CSV), HDF5, or a recipe
    with [data].

    By default scores the test rows of data that have a split (contigs of a recipe, a split column,
    or the split of fine-tuning for its own files), else all rows. Thresholds are those that
    fine-tuning chose on its validation rows. Positions in DATA are 0-based half-open.
    """
    from orchid_genomics.tasks.evaluate import evaluate as task
    from orchid_genomics.terminal import silence

    columns = {"sequence": sequence, "label": label}
    given = {name: column for name, column in columns.items() if column}
    lines = task(model, data, split, out, columns=given, device=device, as_json=as_json)
    with silence(quiet):
        for line in lines:
            echo(line)


@command(short_help="Learn the background of scores on a genome.")
@options.model
@options.genome
@options.out("CAL", "The calibration to write, such as CAL.json.")
@click.option(
    "--neutral",
    type=click.Path(),
    metavar="BED",
    help="Neutral sequence (0-based half-open) to sample instead of the whole genome.",
)
@options.scores(
    "Scores of single-letter changes; default those of score-variants; "
    "llr_unmasked is the cheapest."
)
@options.windows("Letters read around each letter; default as in training.")
@click.option(
    "--sites",
    default=20_000,
    type=click.IntRange(min=100),
    show_default=True,
    help="Letters to sample.",
)
@options.seed("which letters are sampled")
@options.aliases
@options.circular
@options.device
@options.answers
def calibrate(as_json: bool, **words: Any) -> None:
    """Learn what the scores of MODEL are on GENOME at large: what score-variants --calibration
    compares with.

    MODEL is a folder that pretrain or finetune wrote, or a name (see models); GENOME the FASTA.
    Letters are sampled from the whole genome ("genome background", which is not neutral: some of it
    is under selection), or from --neutral; all three changes of each are scored and kept by
    trinucleotide and alternate letter, both strands as one. score-variants then adds to each score
    of a single-letter change a percentile within that context, kept 1/n away from both ends (n is
    given), and a z, the distance from the context's mean in standard deviations; `.` for everything
    else. How unusual a change looks to the model is not pathogenicity. A calibration holds only for
    its own model, genome, window and score; it is refused for any other.
    """
    from orchid_genomics.tasks.calibrate import calibrate as task
    from orchid_genomics.tasks.calibrate import lines

    calibration = task(**words)
    values = {
        "calibration": str(calibration.path),
        "name": calibration.name,
        "sites": calibration.sites,
        "windows": calibration.windows,
        "contexts": {name: len(each) for name, each in calibration.backgrounds.items()},
    }
    answer(values, lines(calibration), as_json=as_json, quiet=words["quiet"])


@command("evaluate-variants", short_help="AUROC and AUPRC of scored, labelled variants.")
@options.file_argument("scored")
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
    help="A TSV, CSV, VCF or parquet with more columns for the same variants.",
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
    help="Where the consequence is found; default CSQ, BCSQ, ANN, MC ...",
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
    help="Keep variants in these regions.",
)
@click.option(
    "--genome", type=click.Path(), metavar="FASTA", help="For contexts and the baselines below."
)
@click.option(
    "--model",
    type=options.ModelName(),
    metavar="MODEL",
    help="For counts of its training data, and random weights.",
)
@options.aliases
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
    help="Which of those below; or none.",
)
@click.option(
    "--samples",
    default=1000,
    type=click.IntRange(min=1),
    show_default=True,
    help="How often clusters are resampled.",
)
@options.seed("folds, resamples and random weights")
@options.json_out("Write the same numbers as JSON, too.")
@options.device
@options.answers
def evaluate_variants(
    scored: str, out: str | None, as_json: bool, quiet: bool, **words: Any
) -> None:
    """Say how well the scores of SCORED (VCF, BCF, TSV, parquet) tell positive from negative
    variants.

    AUROC and AUPRC (beside the base rate, the AUPRC of knowing nothing) over all labelled variants,
    by type and by consequence (from INFO CSQ, BCSQ, ANN or MC, or a column), with 95 % intervals by
    resampling whole genes, and the first score's lead over each other one on the same variants and
    resamples. Our own scores are read with their sign (llr: lower means positive). Positions in a
    VCF or a table are 1-based, in a BED 0-based half-open.

    \b
    Baselines: look-up  trinucleotide x ALT, fitted on the genes of other folds (--genome)
               counts   6 letters on both sides, of what the model was trained on (--model)
               random   the same score by a model of the same shape before training (--model)

    Areas over all variants are confounded if classes differ in their contexts; --strata context
    ranks each variant only against those of the same trinucleotide and ALT (on the coding strand,
    if CSQ gives it).
    """
    from orchid_genomics.tasks.evaluate_variants import evaluate_variants as task
    from orchid_genomics.tasks.evaluate_variants import options_of, save
    from orchid_genomics.terminal import remark, silence

    with silence(quiet):
        result = task(scored, options_of(**words), lambda text: remark(f"{text} ..."))
    answer(result.values(), [result.text()], as_json=as_json)
    if out:
        save(result, out)


COMMANDS = (evaluate, calibrate, evaluate_variants)
