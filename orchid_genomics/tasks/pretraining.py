"""What a run reads and is measured on: genomes, with copies planted or as they are, or sequences of
recall.

One recipe and one class each. A source gives its `alphabet`, training batches of any length
(`training`), the words that a run says of it (`lines`, `name`), the files that it reads (`inputs`),
the function that validates, the tables at the end (`evaluate`), and what provenance says of it
(`origin`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import nn

from orchid_genomics.data.copies import CopiesRecipe, Planted
from orchid_genomics.data.corpus import Corpus, DataRecipe
from orchid_genomics.data.recall import Recall, RecallRecipe
from orchid_genomics.data.sampling import Training
from orchid_genomics.data.splits import GenomeRecipe
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate import protocols as report
from orchid_genomics.evaluate.probes import associative_recall as recall
from orchid_genomics.evaluate.probes import planted_copies as lookup
from orchid_genomics.evaluate.probes.associative_recall import RecallEvaluationRecipe
from orchid_genomics.evaluate.probes.planted_copies import LookupEvaluationRecipe
from orchid_genomics.evaluate.protocols import EvaluationRecipe
from orchid_genomics.evaluate.score_table import ScoreTable
from orchid_genomics.files import checksum
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import DNA, alphabet
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.loop import StageRecipe, TrainingRecipe
from orchid_genomics.train.objectives import AnswersRecipe, MaskedRecipe, ObjectiveRecipe
from orchid_genomics.train.optimizer import OptimizerRecipe


class _RunRecipe(Strict):
    """What every run states, whatever it reads."""

    seed: int = 0
    model: OrchidRecipe = OrchidRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    training: TrainingRecipe = TrainingRecipe()

    def stages(self) -> tuple[StageRecipe, ...]:
        """The curriculum, or the one stage that `training` and the source's length describe."""
        plain = self.training
        one = StageRecipe(
            length=self.length, steps=plain.steps, batch=plain.batch, accumulate=plain.accumulate
        )
        return plain.curriculum or (one,)

    @property
    def longest(self) -> int:
        """The longest training window, letters."""
        return max(stage.length for stage in self.stages())


class PretrainRecipe(_RunRecipe):
    """A pretraining run on genomes, whole."""

    genomes: tuple[GenomeRecipe, ...] = Field(min_length=1)
    data: DataRecipe = DataRecipe()
    objective: ObjectiveRecipe = MaskedRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()

    @property
    def length(self) -> int:
        return self.data.length


class LookupRunRecipe(PretrainRecipe):
    """A run on genomes with copies planted in their windows, whole."""

    copies: CopiesRecipe
    evaluation: LookupEvaluationRecipe = LookupEvaluationRecipe()


class RecallRunRecipe(_RunRecipe):
    """A run on associative recall, whole."""

    recall: RecallRecipe
    objective: AnswersRecipe = AnswersRecipe()
    evaluation: RecallEvaluationRecipe = RecallEvaluationRecipe()

    @property
    def length(self) -> int:
        return self.recall.length


RunRecipe = PretrainRecipe | LookupRunRecipe | RecallRunRecipe


def run_recipe(values: Any, where: str) -> type[RunRecipe]:
    """The schema of a run by the source that its plain values name. Raises RecipeError for none or
    two.
    """
    given = [name for name in ("genomes", "recall") if isinstance(values, dict) and name in values]
    if len(given) != 1:
        found = "names two sources, genomes and recall" if given else "names nothing to train on"
        raise RecipeError(where, found, "either [[genomes]] or [recall]")
    if given == ["recall"]:
        return RecallRunRecipe
    return LookupRunRecipe if "copies" in values else PretrainRecipe


class GenomeSource:
    """Genomes, cut into windows; every file is opened and every split checked here."""

    drawn = True  # bits per base against letters read is a picture that says something

    def __init__(self, recipe: PretrainRecipe) -> None:
        self.recipe, self.alphabet = recipe, DNA
        self.corpus = Corpus(recipe.genomes, recipe.data)
        report.check_regions(self.corpus, recipe.evaluation)
        self.name = ", ".join(Path(genome.fasta).name for genome in recipe.genomes)

    def training(self, length: int, batch: int) -> Training:
        """Windows of one length; a stage's checks are made here."""
        return self.corpus.training(length, batch)

    def lines(self, length: int, whole: bool = False) -> list[str]:
        """What is about to be read, `whole` with the letters of every split."""
        found = self.corpus.report(length)
        lines = [f"windows of {found['length']:,} nt, moved by up to {found['jitter']:,} nt"]
        for genome in found["genomes"]:
            dropped = (
                ", ".join(
                    f"{count:,} {reason}" for reason, count in genome["dropped"].items() if count
                )
                or "none"
            )
            lines.append(
                f"{Path(genome['fasta']).name}: {genome['windows']:,} training windows ({genome['share']:.0%} of "
                f"draws), dropped: {dropped}; {genome['n_percent']:.2f} % N, "
                f"{genome['soft_masked_percent']:.1f} % soft-masked"
            )
        lines.append(f"training windows that touch held-out letters: {found['overlap']}")
        for genome in found["genomes"] if whole else ():
            lines.append(
                "letters by split: "
                + ", ".join(f"{name} {n:,}" for name, n in genome["bases"].items())
            )
        return lines

    def validation(self, model: nn.Module, length: int, ranks: Ranks) -> Callable[[], float] | None:
        """Masked bits per base on validation windows; None without validation."""
        return report.validation(model, self.corpus, length, self.recipe.evaluation, ranks)

    def evaluate(
        self, model: nn.Module, length: int, ranks: Ranks, say: Callable[[str], None]
    ) -> list[ScoreTable]:
        """Both protocols on the test split, beside the count models."""
        if self.corpus.held_out("test"):
            say("measuring the test split")
        return report.evaluate(model, self.corpus, length, self.recipe.evaluation, ranks, say)

    def inputs(self) -> dict[str, str]:
        """Every file that is read, and its SHA-256."""
        files = [Path(part.bed) for part in self.recipe.evaluation.regions]
        for genome in self.recipe.genomes:
            beds = (genome.validation_bed, genome.test_bed, genome.regions, *genome.exclude)
            files += [
                Path(path)
                for path in (genome.fasta, *beds, *(part.bed for part in genome.functional))
                if path
            ]
        return {str(path): checksum(path) for path in dict.fromkeys(files)}

    def origin(self, length: int, stages: Sequence[tuple[int, int, int, int]]) -> dict[str, Any]:
        """Genomes by checksum, their split, the letters seen in `stages` (length, batch, first and
        last step).
        """
        seen = self.corpus.seen(self.recipe.seed, stages)
        genomes = [
            {
                "fasta": Path(genome.fasta).name,
                "sha256": opened.checksum(),
                "contigs": opened.contigs,
                "split": {name: list(contigs) for name, contigs in split.contigs.items()},
                "seen": seen[str(genome.fasta)],
            }
            for genome, opened, split in zip(
                self.recipe.genomes, self.corpus.genomes, self.corpus.splits, strict=True
            )
        ]
        return {"genomes": genomes, "report": self.corpus.report(length)}


class CopiesSource(GenomeSource):
    """Genomes whose windows get copies of their own segments."""

    drawn = False

    def __init__(self, recipe: LookupRunRecipe) -> None:
        super().__init__(recipe)
        for length in (*(stage.length for stage in recipe.stages()), *recipe.evaluation.lengths):
            if recipe.copies.most(length) < recipe.copies.shortest:
                found = f"a window of {length:,} nt holds no copy of {recipe.copies.shortest:,} nt"
                possible = "a shorter copies.shortest or copies.nearest, or longer windows"
                raise RecipeError("copies", f"{found}, {recipe.copies.nearest:,} nt away", possible)

    def training(self, length: int, batch: int) -> Planted:
        """Windows of one length, each with its copy."""
        return Planted(super().training(length, batch), self.recipe.copies)

    def lines(self, length: int, whole: bool = False) -> list[str]:
        """What is about to be read, and what is planted in it."""
        copies = self.recipe.copies
        planted = f"copies of {copies.shortest:,} to {copies.most(length):,} nt in {copies.share:.0%} of the windows"
        return [*super().lines(length, whole), f"{planted}, up to {copies.diverged:.0%} diverged"]

    def validation(self, model: nn.Module, length: int, ranks: Ranks) -> Callable[[], float] | None:
        """Bits on copies planted in validation windows."""
        measured = self.recipe.evaluation
        return lookup.validation(model, self.corpus, self.recipe.copies, length, measured, ranks)

    def evaluate(
        self, model: nn.Module, length: int, ranks: Ranks, say: Callable[[str], None]
    ) -> list[ScoreTable]:
        """Gain from planted copies and from far natural sequence, on the test split."""
        return lookup.evaluate(model, self.corpus, length, self.recipe.evaluation, ranks, say)


class RecallSource:
    """Sequences of associative recall, made up on the spot."""

    drawn = False

    def __init__(self, recipe: RecallRunRecipe) -> None:
        self.recipe, self.alphabet = recipe, alphabet(recipe.recall.alphabet)
        for number, stage in enumerate(recipe.training.curriculum):
            if stage.length % 2:
                where = f"training.curriculum.{number}.length"
                raise RecipeError(
                    where, f"{stage.length} letters are no pairs of key and value", "an even length"
                )
        self.name = f"associative recall, {recipe.recall.vocabulary} symbols"

    def training(self, length: int, batch: int) -> Recall:
        """Sequences of one length."""
        return Recall(self.recipe.recall, length, batch)

    def lines(self, length: int, whole: bool = False) -> list[str]:
        """What is about to be read."""
        half = self.recipe.recall.vocabulary // 2
        return [
            f"sequences of {length:,} letters: {half} keys, {half} values, answers: {self.recipe.objective.answers}"
        ]

    def validation(self, model: nn.Module, length: int, ranks: Ranks) -> Callable[[], float]:
        """Bits per answer on fresh sequences."""
        return recall.validation(model, self.recipe.recall, length, self.recipe.evaluation, ranks)

    def evaluate(
        self, model: nn.Module, length: int, ranks: Ranks, say: Callable[[str], None]
    ) -> list[ScoreTable]:
        """The share of right answers at every length."""
        return recall.evaluate(
            model, self.recipe.recall, length, self.recipe.evaluation, ranks, say
        )

    def inputs(self) -> dict[str, str]:
        """No file."""
        return {}

    def origin(self, length: int, stages: Sequence[tuple[int, int, int, int]]) -> dict[str, Any]:
        """No genome; how many sequences of which length were seen."""
        seen = [
            {"length": each, "sequences": batch * (last - first)}
            for each, batch, first, last in stages
        ]
        return {"genomes": [], "recall": {"symbols": self.recipe.recall.vocabulary, "seen": seen}}


Source = GenomeSource | CopiesSource | RecallSource


def opened(recipe: RunRecipe) -> Source:
    """The source of a recipe. Raises RecipeError where the model's alphabet cannot read it, and
    what its files do.
    """
    is_recall = isinstance(recipe, RecallRunRecipe)
    needed = recipe.recall.alphabet if is_recall else DNA.name
    if recipe.model.alphabet != needed:
        what = "these symbols" if is_recall else "a genome"
        raise RecipeError("model.alphabet", f"{recipe.model.alphabet!r} cannot read {what}", needed)
    if is_recall:
        return RecallSource(recipe)
    return CopiesSource(recipe) if isinstance(recipe, LookupRunRecipe) else GenomeSource(recipe)
