"""What every pretraining run states, and what it asks of the sequences that it reads."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from orchid_genomics.data.loader import Sampler
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.masked_letters import LetterModel
from orchid_genomics.evaluate.score_table import ScoreTable
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.recipe import Strict
from orchid_genomics.registry import Registry
from orchid_genomics.sequence import Alphabet
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.loop import StageRecipe, Trainable, TrainingRecipe
from orchid_genomics.train.objectives import Objective
from orchid_genomics.train.optimizer import OptimizerRecipe

_KIND = "genomes"  # of a recipe that names none


class RunRecipe(Strict):
    """What every run states, whatever it reads."""

    kind: str
    """What is read: genomes, copies or recall."""
    seed: int = 0
    """Decides everything random; the same seed gives the same weights."""
    licence: str | None = None
    """What may be done with the model, as SPDX has it, such as CC-BY-4.0; for its card."""
    model: OrchidRecipe = OrchidRecipe()
    """The encoder's shape."""
    optimizer: OptimizerRecipe = OptimizerRecipe()
    """AdamW and its schedule."""
    training: TrainingRecipe = TrainingRecipe()
    """How long, how wide, how often."""

    @property
    @abstractmethod
    def length(self) -> int:
        """The window, letters, of a run without a curriculum."""

    @property
    def given(self) -> Path | None:
        """The model folder that the run begins with; None for random weights."""
        return None

    @model_validator(mode="after")
    def _adapts(self) -> "RunRecipe":
        # Random weights that nothing trains would stay random.
        if self.training.adapter and self.given is None:
            message = "training.adapter updates a given model, and none is named by pretrained"
            raise PydanticCustomError("adapter", "{found}", {"found": message})
        return self

    def stages(self) -> tuple[StageRecipe, ...]:
        """The curriculum, or the one stage that `training` and the source's length describe."""
        plain = self.training
        if plain.curriculum:
            return plain.curriculum
        one = StageRecipe(
            length=self.length, steps=plain.steps, batch=plain.batch, accumulate=plain.accumulate
        )
        return (one,)

    @property
    def longest(self) -> int:
        """The longest training window, letters."""
        return max(stage.length for stage in self.stages())


class Source(Protocol):
    """What a run reads and is measured on; everything that can be wrong with its files is found
    when it is made.
    """

    Recipe: ClassVar[type[RunRecipe]]
    has_curve: ClassVar[bool]
    """Whether bits against letters read is a picture that says something."""
    alphabet: Alphabet
    name: str
    """What a model card calls it."""

    def __init__(self, recipe: Any) -> None: ...

    def objective(self) -> Objective[Any]:
        """What is predicted of it."""
        ...

    def trainable(self, model: Any) -> Trainable:
        """What the loop trains of a model: itself, unless it predicts more than letters."""
        ...

    def training(self, length: int, batch: int) -> Sampler:
        """The rows of steps of one length; a stage's checks are made here."""
        ...

    def describe(self, length: int, whole: bool = False) -> list[str]:
        """What is about to be read, in a few lines; `whole` with the letters of every split."""
        ...

    def validation(
        self, model: LetterModel, length: int, ranks: Ranks
    ) -> Callable[[], float] | None:
        """A function that gives a number, lower is better; None without anything held out."""
        ...

    def evaluate(
        self,
        model: LetterModel,
        length: int,
        ranks: Ranks,
        say: Callable[[str], None],
        others: Mapping[str, LetterModel] | None = None,
    ) -> list[ScoreTable]:
        """The tables at the end, on rank 0; empty where nothing is held out.

        `others` are models that stand beside ours, by what to call them.
        """
        ...

    def seen_by(self, provenance: Provenance) -> list[str]:
        """What of the held-out letters another model has seen in its training, in words."""
        ...

    def inputs(self) -> dict[str, str]:
        """Every file that is read, and its SHA-256."""
        ...

    def origin(self, length: int, stages: Sequence[tuple[int, int, int, int]]) -> dict[str, Any]:
        """What provenance says of it, with what was seen in `stages` (length, batch, first and last
        step).
        """
        ...


SOURCES: Registry[type[Source]] = Registry("source")


def run_recipe(values: Any, where: str) -> type[RunRecipe]:
    """The schema of a run by the `kind` of its plain values: what `recipe.load` asks.

    Raises RecipeError for a kind that nobody registered, or a block of another one.
    """
    blocks = values if isinstance(values, dict) else {}
    kind = blocks.get("kind", _KIND)
    if not isinstance(kind, str):
        raise RecipeError(where, f"kind: {kind!r}", f"possible: {', '.join(SOURCES)}")
    source = SOURCES.pick(kind, where)
    if "genomes" in blocks and "recall" in blocks:
        message = "names two sources, genomes and recall"
        raise RecipeError(where, message, "either [[genomes]] or [recall]")
    for other in SOURCES:
        if other in blocks and other not in source.Recipe.model_fields:
            message = f"has [{other}], and its kind is {kind!r}"
            raise RecipeError(where, message, f'kind = "{other}", or no [{other}]')
    if kind == _KIND and _KIND not in blocks:
        raise RecipeError(where, "names nothing to train on", "either [[genomes]] or [recall]")
    return source.Recipe


def open_source(recipe: RunRecipe) -> Source:
    """The source of a recipe, opened and checked. Raises RecipeError and what its files do."""
    return SOURCES[recipe.kind](recipe)


def check_alphabet(recipe: RunRecipe, needed: str, what: str) -> None:
    """Raise RecipeError where the model's alphabet cannot read `what`."""
    if recipe.model.alphabet != needed:
        message = f"{recipe.model.alphabet!r} cannot read {what}"
        raise RecipeError("model.alphabet", message, needed)
