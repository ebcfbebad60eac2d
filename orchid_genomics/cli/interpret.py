"""Commands that say why a model predicts what it predicts: explain."""

from functools import partial
from textwrap import wrap
from typing import Any

import click

from orchid_genomics.cli import options
from orchid_genomics.cli.command import Command, answer_job
from orchid_genomics.explain.methods import METHODS, Options

command = partial(click.command, cls=Command)


def _methods() -> str:
    """The methods, each with what it is, as lines of help."""
    lines = []
    for name in METHODS:
        # What another package adds is imported when it is used, not when help is shown.
        method = METHODS.present().get(name)
        summary = method.summary if method else "(of another package)"
        first, *more = wrap(summary, 66)
        lines.append(f"  {name:<12} {first}")
        lines += [f"  {'':<12} {line}" for line in more]
    return "\n".join(lines)


def _references() -> str:
    """The methods that compare with references, and with how many."""
    counts = [(name, method.references) for name, method in METHODS.present().items()]
    return ", ".join(f"{count} for {name}" for name, count in counts if count)


_HELP = f"""Say which letters of ELEMENTS, regions of a BED (0-based half-open), a prediction of
MODEL stands on.

MODEL is a folder that pretrain or finetune wrote, or a name (see models); GENOME the FASTA. Every
region is answered; those that cannot be explained are counted with the reason (unknown_contig,
off_contig, all_n, too_long, no_contrast, all_zero).

\b
--method
{_methods()}
--target
  pll          pretrained: the sum of log p over the region's letters, all shown
  pll-hidden   the same in eight passes, each letter hidden while it is predicted
  A@100        log p of A at letter 100 (0-based, as read), hidden; or A@center
  NAME, 3      fine-tuned: an output by name or number; of a track also NAME@100
OUT by its name
  .h5          one_hot, hypothetical (N, 4, L), projected (N, L), difference,
               error, steps, intervals; effects (ism), dependency (N, L, L), and
               contrasts: how many references differ at each letter
  .npz         the same arrays (held in memory)
  .bw .bigWig .bedGraph[.gz]   projected, one value per nt, for browsers to draw
               as letters; the mean where regions overlap

Arrays run along a region as it is read, on its strand; tracks run along the forward strand. The
other strand gives the mirrored numbers.
"""


@command(help=_HELP, epilog=options.JOB_NOTE, short_help="Which letters a prediction stands on.")
@options.model
@options.genome
@options.elements
@options.out(
    "OUT",
    "The file to write; its ending is its format; may be repeated: the same numbers in several.",
    multiple=True,
)
@click.option(
    "--method",
    type=click.Choice(list(METHODS)),
    default=Options.method,
    show_default=True,
    help="See above.",
)
@click.option(
    "--target", metavar="TARGET", help="What is explained; default pll, or the head's only output."
)
@click.option("--window", type=int, help="Letters read around each region; default as in training.")
@click.option(
    "--references",
    type=click.IntRange(min=1),
    help=f"Dinucleotide shuffles to compare with; default {_references()}.",
)
@options.seed("which shuffles are drawn")
@click.option(
    "--tolerance",
    default=1e-3,
    show_default=True,
    help="How far sums may be off, as a share of the difference.",
)
@click.option(
    "--most-steps",
    default=1024,
    show_default=True,
    help="Most gradients that integrated may take for a region.",
)
@click.option(
    "--html",
    is_flag=True,
    help="Also OUT.html: logos, maps and a table on one page for any browser.",
)
@click.option(
    "--session",
    is_flag=True,
    help="Also OUT.igv.xml and OUT.ucsc.txt, which show OUT.bw as letters.",
)
@click.option(
    "--annotation",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="A BED, GFF3 or GenBank to show on the page and in the session; may be repeated.",
)
@click.option(
    "--motifs",
    metavar="MOTIFS",
    help="Also OUT.motifs.tsv: seqlets matched to a motif file, or jaspar:fungi.",
)
@options.job
def explain(
    model: str, genome: str, elements: str, out: tuple[str, ...], as_json: bool, **words: Any
) -> None:
    """Call the task of the same name."""
    from orchid_genomics.tasks.explain import Beside
    from orchid_genomics.tasks.explain import explain as task

    names = ("method", "target", "window", "references", "seed", "tolerance", "most_steps")
    how = Options(**{name: words.pop(name) for name in names})
    beside = Beside(*(words.pop(name) for name in ("html", "session", "annotation", "motifs")))
    summary = task(model, genome, elements, out, options=how, beside=beside, **words)
    answer_job(summary, as_json)


COMMANDS = (explain,)
