"""Runs on associative recall: sequences made up on the spot, in place of genomes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from orchid_genomics.data.loader import Sampler
from orchid_genomics.data.recall import Recall, RecallRecipe
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.masked_letters import LetterModel
from orchid_genomics.evaluate.probes import associative_recall
from orchid_genomics.evaluate.probes.associative_recall import RecallEvaluationRecipe
from orchid_genomics.evaluate.score_table import ScoreTable
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.sequence import alphabet
from orchid_genomics.tasks.pretraining.source import SOURCES, RunRecipe, check_alphabet
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.loop import Trainable
from orchid_genomics.train.objectives import AnswersRecipe, Objective, RecallAnswers


class RecallRunRecipe(RunRecipe):
    """A run on associative recall, whole."""

    kind: Literal["recall"] = "recall"
    recall: RecallRecipe
    """The sequences that are made up."""
    objective: AnswersRecipe = AnswersRecipe()
    """Which answers are predicted."""
    evaluation: RecallEvaluationRecipe = RecallEvaluationRecipe()
    """What is measured at the end."""

    @property
    def length(self) -> int:
        """Letters of a sequence."""
        return self.recall.length


@SOURCES.register("recall")
class RecallSource:
    """Sequences of associative recall, measured by the share of right answers."""

    Recipe = RecallRunRecipe
    has_curve = False

    def __init__(self, recipe: RecallRunRecipe) -> None:
        check_alphabet(recipe, recipe.recall.alphabet, "these symbols")
        self.recipe, self.alphabet = recipe, alphabet(recipe.recall.alphabet)
        self.name = f"associative recall, {recipe.recall.vocabulary} symbols"
        for number, stage in enumerate(recipe.training.curriculum):
            if stage.length % 2:
                where = f"training.curriculum.{number}.length"
                message = f"{stage.length} letters are no pairs of key and value"
                raise RecipeError(where, message, "an even length")

    def objective(self) -> Objective[Any]:
        """Which values are hidden and to be given."""
        return RecallAnswers(self.recipe.objective, self.alphabet)

    def trainable(self, model: OrchidModel) -> Trainable:
        """The model itself."""
        return model

    def training(self, length: int, batch: int) -> Sampler:
        """Sequences of one length."""
        return Recall(self.recipe.recall, length, batch)

    def describe(self, length: int, whole: bool = False) -> list[str]:
        """What is about to be read."""
        half, answers = self.recipe.recall.vocabulary // 2, self.recipe.objective.answers
        symbols = f"{half} keys, {half} values"
        return [f"sequences of {length:,} letters: {symbols}, answers: {answers}"]

    def validation(self, model: LetterModel, length: int, ranks: Ranks) -> Callable[[], float]:
        """Bits per answer on fresh sequences."""
        recipe = self.recipe
        return associative_recall.validation(
            model, recipe.recall, length, recipe.evaluation, ranks=ranks
        )

    def evaluate(
        self,
        model: LetterModel,
        length: int,
        ranks: Ranks,
        say: Callable[[str], None],
        others: Mapping[str, LetterModel] | None = None,
    ) -> list[ScoreTable]:
        """The share of right answers at every length; of our model alone."""
        recipe = self.recipe
        return associative_recall.evaluate(
            model, recipe.recall, length, recipe.evaluation, ranks=ranks, say=say
        )

    def seen_by(self, provenance: Provenance) -> list[str]:
        """Nothing: sequences are made up anew."""
        return []

    def inputs(self) -> dict[str, str]:
        """No file."""
        return {}

    def origin(self, length: int, stages: Sequence[tuple[int, int, int, int]]) -> dict[str, Any]:
        """No genome; how many sequences of which length were seen."""
        seen = []
        for each, batch, first, last in stages:
            seen.append({"length": each, "sequences": batch * (last - first)})
        return {"genomes": [], "recall": {"symbols": self.recipe.recall.vocabulary, "seen": seen}}
