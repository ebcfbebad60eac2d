"""From a recipe to a trained encoder: `pretrain` is what `orchid-genomics pretrain` calls."""

import json
import platform
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from orchid_genomics import __version__, draw
from orchid_genomics.data.corpus import Corpus, DataRecipe
from orchid_genomics.data.loader import batches
from orchid_genomics.data.splits import GenomeRecipe
from orchid_genomics.errors import RecipeError
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.pretrained import ModelRecipe, OrchidModel
from orchid_genomics.recipe import Strict, load
from orchid_genomics.sequence import DNA
from orchid_genomics.train import ranks as processes
from orchid_genomics.train.fit import Fit, Stage, StageRecipe, TrainingRecipe
from orchid_genomics.train.objectives import OBJECTIVES, MaskedRecipe, ObjectiveRecipe
from orchid_genomics.train.optimizer import OptimizerRecipe
from orchid_genomics.train.report import EvaluationRecipe, Protocol, check_regions, evaluate, validation
from orchid_genomics.train.run import BEST, Run, replacing


class PretrainRecipe(Strict):
    """A pretraining run, whole."""

    seed: int = 0
    genomes: tuple[GenomeRecipe, ...] = Field(min_length=1)
    data: DataRecipe = DataRecipe()
    model: OrchidRecipe = OrchidRecipe()
    objective: ObjectiveRecipe = MaskedRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    training: TrainingRecipe = TrainingRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()

    def stages(self) -> tuple[StageRecipe, ...]:
        """The curriculum, or the one stage that `training` and `data` describe."""
        plain = self.training
        one = StageRecipe(length=self.data.length, steps=plain.steps, batch=plain.batch, accumulate=plain.accumulate)
        return plain.curriculum or (one,)

    @property
    def longest(self) -> int:
        """The longest training window, nt."""
        return max(stage.length for stage in self.stages())


def build(recipe: PretrainRecipe) -> OrchidModel:
    """The untrained model of a recipe; the same weights for the same seed."""
    if recipe.model.alphabet != "dna":
        raise RecipeError("model.alphabet", f"{recipe.model.alphabet!r} cannot read a genome", "dna")
    filter = recipe.model.filter
    if filter.longest is None:
        filter = filter.model_copy(update={"longest": float(recipe.longest)})
    torch.manual_seed(recipe.seed)
    return OrchidModel(ModelRecipe(encoder=recipe.model.model_copy(update={"filter": filter}), head=LettersRecipe()))


def pretrain(
    path: str | Path, out: str | Path | None = None, overrides: tuple[str, ...] = (), resume: bool = False
) -> Path:
    """Train the model of a recipe and measure it beside its baselines; returns the model folder.

    `out` is the run folder (default: runs/ and the recipe's name). Raises OrchidError for what a user can mend.
    """
    recipe = load(path, PretrainRecipe, overrides)
    ranks = processes.start(recipe.training.device)
    try:
        return _pretrain(recipe, Path(out or Path("runs") / Path(path).stem), ranks, resume)
    finally:
        ranks.close()


def _pretrain(recipe: PretrainRecipe, folder: Path, ranks: processes.Ranks, resume: bool) -> Path:
    clock = time.monotonic()
    run = Run(folder, recipe, resume, writes=ranks.main)
    corpus = Corpus(recipe.genomes, recipe.data)
    stages = stages_of(recipe, corpus, ranks)
    check_regions(corpus, recipe.evaluation)
    model = build(recipe)
    run.begin()  # the first thing written, once nothing is wrong
    objective = OBJECTIVES[recipe.objective.kind](recipe.objective, DNA)
    length = recipe.stages()[-1].length

    def say(text: str) -> None:
        if ranks.main:
            print(text, file=sys.stderr, flush=True)

    report = corpus.report(length)
    say(summary(model, report))
    check = validation(model, corpus, length, recipe.evaluation, ranks)
    fit = Fit(model, objective, stages, recipe.training, recipe.optimizer, recipe.seed, run, ranks, check)
    progress = fit.run()
    if check and (best := run.load(BEST, ranks.device)) is not None:
        model.load_state_dict(best["model"])
    if corpus.held_out("test"):
        say("measuring the test split")
    protocols = evaluate(model, corpus, length, recipe.evaluation, ranks, say)
    if ranks.main:
        seconds = {"training": progress.seconds, "all": time.monotonic() - clock}
        provenance = provenance_of(recipe, corpus, report, protocols, seconds, ranks)
        model.save_pretrained(run.model, provenance, card(recipe, protocols, provenance))
        run.write(folder / "evaluation.json", [protocol.values() for protocol in protocols])
        if find_spec("matplotlib"):
            with replacing(folder / "curve.png") as part:
                draw.save(draw.training_curve(run.lines(), [protocol.values() for protocol in protocols]), part)
        for protocol in protocols:
            print(protocol.text() + "\n")
        print(f"model: {run.model}")
    return run.model


def stages_of(recipe: PretrainRecipe, corpus: Corpus, ranks: processes.Ranks) -> list[Stage]:
    """The stages of a recipe over its corpus; windows are built, and every check made, before any step."""
    stages = []
    for number, stage in enumerate(recipe.stages()):
        where = f"training.curriculum.{number}" if recipe.training.curriculum else "training"
        processes.check_batch(stage.batch, stage.accumulate, ranks.world, f"{where}.batch")
        training = corpus.training(stage.length, stage.batch)

        def read(first: int, last: int, rows: Any, training: Any = training) -> Any:
            return batches(training, recipe.seed, first, last, rows)

        stages.append(Stage(stage.length, stage.steps, stage.batch, stage.accumulate, read))
    return stages


def summary(model: OrchidModel, report: dict[str, Any]) -> str:
    """What is about to be trained on what, in a few lines."""
    parameters = sum(p.numel() for p in model.parameters())
    lines = [f"{parameters:,} parameters; windows of {report['length']:,} nt, moved by up to {report['jitter']:,} nt"]
    for genome in report["genomes"]:
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in genome["dropped"].items() if count) or "none"
        lines.append(
            f"{Path(genome['fasta']).name}: {genome['windows']:,} training windows ({genome['share']:.0%} of draws), "
            f"dropped: {dropped}; {genome['n_percent']:.2f} % N, {genome['soft_masked_percent']:.1f} % soft-masked"
        )
    lines.append(f"training windows that touch held-out letters: {report['overlap']}")
    return "\n".join(lines)


def provenance_of(
    recipe: PretrainRecipe,
    corpus: Corpus,
    report: dict[str, Any],
    protocols: list[Protocol],
    seconds: dict[str, float],
    ranks: processes.Ranks,
) -> dict[str, Any]:
    """Where a model comes from: inputs by checksum, split, letters seen in training, versions, time and metrics."""
    first, stages = 0, []
    for stage in recipe.stages():
        stages.append((stage.length, stage.batch, first, first + stage.steps))
        first += stage.steps
    seen = corpus.seen(recipe.seed, stages)
    genomes = [
        {
            "fasta": Path(genome.fasta).name,
            "sha256": corpus.genomes[number].checksum(),
            "contigs": corpus.genomes[number].contigs,
            "split": {name: list(contigs) for name, contigs in corpus.splits[number].contigs.items()},
            "seen": seen[str(genome.fasta)],
        }
        for number, genome in enumerate(recipe.genomes)
    ]
    machine = torch.cuda.get_device_name() if ranks.device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    return {
        "version": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{ranks.world} x {machine}",
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "recipe": json.loads(recipe.model_dump_json()),
        "genomes": genomes,
        "report": report,
        "evaluation": [protocol.values() for protocol in protocols],
    }


def card(recipe: PretrainRecipe, protocols: list[Protocol], provenance: dict[str, Any]) -> str:
    """The README.md of a model folder."""
    names = ", ".join(genome["fasta"] for genome in provenance["genomes"])
    tables = "\n\n".join(f"```\n{protocol.text()}\n```" for protocol in protocols)
    return (
        f"# Orchid encoder pretrained on {names}\n\n"
        f"Masked-letter model, width {recipe.model.width}, {recipe.model.depth} layers, {recipe.model.strands} "
        f"strands, windows up to {recipe.longest:,} nt. Written by orchid-genomics {__version__}.\n\n"
        "```python\nfrom orchid_genomics.model.pretrained import OrchidModel\n\n"
        'model = OrchidModel.from_pretrained("this folder")\n```\n\n'
        f"## On the held-out test split, beside its baselines\n\n{tables}\n"
    )
