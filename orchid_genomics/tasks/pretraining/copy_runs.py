"""Runs on genomes whose windows hold copies of their own segments: does far context do anything?"""

from collections.abc import Callable, Mapping
from typing import Literal

from orchid_genomics.data.copies import CopiesRecipe, Planted
from orchid_genomics.data.loader import Sampler
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.masked_letters import LetterModel
from orchid_genomics.evaluate.probes import planted_copies
from orchid_genomics.evaluate.probes.planted_copies import LookupEvaluationRecipe
from orchid_genomics.evaluate.score_table import ScoreTable
from orchid_genomics.tasks.pretraining.genome_runs import Genomes, GenomesRecipe
from orchid_genomics.tasks.pretraining.source import SOURCES
from orchid_genomics.train.distributed import Ranks


class CopiesRunRecipe(GenomesRecipe):
    """A run on genomes with copies planted in their windows, whole."""

    kind: Literal["copies"] = "copies"
    copies: CopiesRecipe
    """Segments that are planted a second time in the windows."""
    evaluation: LookupEvaluationRecipe = LookupEvaluationRecipe()
    """What is measured at the end."""


@SOURCES.register("copies")
class CopiesSource(Genomes):
    """Genomes whose windows get copies, measured by what a copy gains."""

    Recipe = CopiesRunRecipe
    has_curve = False

    def __init__(self, recipe: CopiesRunRecipe) -> None:
        super().__init__(recipe, recipe.evaluation.regions)
        self.recipe, copies = recipe, recipe.copies
        for length in (*(stage.length for stage in recipe.stages()), *recipe.evaluation.lengths):
            if copies.most(length) < copies.shortest:
                message = f"a window of {length:,} nt holds no copy of {copies.shortest:,} nt"
                possible = "a shorter copies.shortest or copies.nearest, or longer windows"
                raise RecipeError("copies", f"{message}, {copies.nearest:,} nt away", possible)

    def training(self, length: int, batch: int) -> Sampler:
        """Windows of one length, each with its copy."""
        return Planted(self.corpus.training(length, batch), self.recipe.copies)

    def describe(self, length: int, whole: bool = False) -> list[str]:
        """What is about to be read, and what is planted in it."""
        copies = self.recipe.copies
        size = f"copies of {copies.shortest:,} to {copies.most(length):,} nt"
        planted = f"{size} in {copies.share:.0%} of the windows"
        diverged = f"up to {copies.diverged:.0%} diverged"
        return [*super().describe(length, whole), f"{planted}, {diverged}"]

    def validation(
        self, model: LetterModel, length: int, ranks: Ranks
    ) -> Callable[[], float] | None:
        """Bits on copies planted in validation windows."""
        recipe = self.recipe
        return planted_copies.validation(
            model, self.corpus, recipe.copies, length, measured=recipe.evaluation, ranks=ranks
        )

    def evaluate(
        self,
        model: LetterModel,
        length: int,
        ranks: Ranks,
        say: Callable[[str], None],
        others: Mapping[str, LetterModel] | None = None,
    ) -> list[ScoreTable]:
        """Gain from planted copies and from far natural sequence; of our model alone."""
        measured = self.recipe.evaluation
        return planted_copies.evaluate(model, self.corpus, length, measured, ranks=ranks, say=say)
