"""The background of a model's scores on a genome, learned from sampled sites and written to one
file.
"""

from collections.abc import Sequence
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.jobs.inputs import open_model_and_genome
from orchid_genomics.jobs.progress import Progress
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.variants.calibration import FEWEST, Calibration, learn_calibration
from orchid_genomics.score.variants.scorers import SCORERS, choose_scores
from orchid_genomics.score.variants.variant_scores import Scoring


def calibrate(
    model: str | Path,
    genome: str | Path,
    out: str | Path,
    neutral: str | Path | None = None,
    scores: Sequence[str] | None = None,
    windows: Sequence[int] | None = None,
    sites: int = 20_000,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
    aliases: str | Path | None = None,
    circular: Sequence[str | Path] = (),
) -> Calibration:
    """Learn and write the background of scores on a genome.

    Parameters
    ----------
    model, genome
        The model folder, and the FASTA.
    out
        The calibration to write.
    neutral
        A BED (0-based half-open) that bounds the sites; without one they are drawn from the whole
        genome.
    scores
        Scores of single-letter changes; by default those that `score_variants` gives by default, so
        that the two fit together. llr_unmasked costs the fewest passes.
    windows
        Letters read around each letter; by default as in training.
    sites, seed
        How many letters are sampled, and which.
    device, quiet
        Where the model runs, and whether progress is shown.
    aliases
        A file of other names of the genome's contigs; see `genome.contigs.read_aliases`.
    circular
        Contigs that are read round their origin, or annotations that say which are.

    Raises
    ------
    InputError
        A score of no single letters, a BED without a usable letter, or a folder that is not there.
    """
    out = Path(out)
    # Before the work, which is long, and not when the file is written.
    if not out.parent.is_dir():
        raise InputError(out, "its folder is not there", "a folder that is")
    loaded, fasta = open_model_and_genome(model, genome, device, aliases, circular)
    intervals, name = None, "genome background"
    if neutral is not None:
        intervals = list(read_bed(neutral, fasta))
        name = f"neutral background ({Path(neutral).name})"
    scoring = Scoring(loaded, fasta, scores or _default_scores(loaded), windows)
    with Progress(3 * sites, 3 * sites, 0, "changes", quiet) as progress:
        calibration = learn_calibration(
            scoring,
            intervals,
            path=out,
            name=name,
            sites=sites,
            seed=seed,
            progress=progress.add,
        )
    calibration.save()
    return calibration


def _default_scores(model: OrchidModel) -> tuple[str, ...]:
    """The default scores of a model that say something of a single letter."""
    return tuple(name for name in choose_scores(None, model) if "SNV" in SCORERS[name].kinds)


def lines(calibration: Calibration) -> list[str]:
    """What was learned, for a person: how many sites, and the sizes and spreads of the contexts."""
    windows = ", ".join(map(str, calibration.windows))
    sites = f"{calibration.sites:,} sites, three changes each, window {windows}"
    text = [f"{calibration.name}: {sites}"]
    for column, backgrounds in calibration.backgrounds.items():
        sizes = sorted(map(len, backgrounds.values()))
        few = sum(size < FEWEST for size in sizes)
        means = sorted((float(scores.mean()), context) for context, scores in backgrounds.items())
        (low, lowest), (high, highest) = means[0], means[-1]
        text.append(f"{column}: {len(sizes)} contexts of {sizes[0]:,} to {sizes[-1]:,} changes")
        text.append(f"  mean {low:+.3f} at {lowest} to {high:+.3f} at {highest}")
        if few:
            silent = f"{few} contexts have under {FEWEST} changes and will answer nothing"
            text.append(f"  {silent}; more sites would help")
    return text
