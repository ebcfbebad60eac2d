"""Runs on genomes: windows of training contigs in, masked bits on held-out contigs out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from orchid_genomics.data.corpus import Corpus, DataRecipe
from orchid_genomics.data.loader import Sampler
from orchid_genomics.data.relatives import Beside, BesideRecipe, RelativeRecipe, open_relatives
from orchid_genomics.data.splits import GenomeRecipe
from orchid_genomics.evaluate import protocols
from orchid_genomics.evaluate.masked_letters import LetterModel
from orchid_genomics.evaluate.probes.beside_relatives import relatives_table
from orchid_genomics.evaluate.protocols import EvaluationRecipe, RegionRecipe
from orchid_genomics.evaluate.score_table import ScoreTable
from orchid_genomics.files import checksum
from orchid_genomics.model.catalogue import ModelName
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.sequence import DNA
from orchid_genomics.tasks.pretraining.genome_tracks import GenomeTracks, TrackRecipe
from orchid_genomics.tasks.pretraining.source import SOURCES, RunRecipe, check_alphabet
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.loop import Trainable
from orchid_genomics.train.objectives import (
    OBJECTIVES,
    MaskedRecipe,
    Objective,
    ObjectiveRecipe,
)
from orchid_genomics.train.rates import TrackedLetters, WithTracks


def _masked_by_default(block: Any) -> Any:
    return {"kind": "masked", **block} if isinstance(block, dict) else block


class GenomesRecipe(RunRecipe):
    """What every run on genomes states."""

    genomes: tuple[GenomeRecipe, ...] = Field(min_length=1)
    """What is read, and what of it is held out."""
    pretrained: ModelName | None = None
    """A model to go on with, by its weights and its shape (in place of `[model]`): a folder, a name
    such as "yeast", or the hub's OWNER/NAME.
    """
    data: DataRecipe = DataRecipe()
    """How genomes are cut into windows."""
    objective: Annotated[ObjectiveRecipe, BeforeValidator(_masked_by_default)] = MaskedRecipe()
    """What is predicted."""

    @property
    def length(self) -> int:
        """The window of `[data]`, nt."""
        return self.data.length

    @property
    def given(self) -> Path | None:
        """The model folder that the run begins with; None for random weights."""
        return self.pretrained


class PretrainRecipe(GenomesRecipe):
    """A pretraining run on genomes, whole."""

    kind: Literal["genomes"] = "genomes"
    tracks: tuple[TrackRecipe, ...] = ()
    """Signals along the genomes that are predicted beside the letters."""
    evaluation: EvaluationRecipe = EvaluationRecipe()
    """What is measured at the end."""
    relatives: tuple[RelativeRecipe, ...] = ()
    """Related genomes whose stretches stand beside the training windows."""
    beside: BesideRecipe = BesideRecipe()
    """How they stand there."""

    @model_validator(mode="after")
    def _names(self) -> "PretrainRecipe":
        names = [track.name for track in self.tracks]
        if len(set(names)) < len(names):
            found = f"two of one name among {', '.join(names)}"
            raise PydanticCustomError("tracks", "{found}", {"found": found})
        # The letters of a window with relatives stand amid a longer row.
        if self.tracks and self.relatives:
            raise PydanticCustomError("tracks", "either tracks, or relatives")
        return self

    @model_validator(mode="after")
    def _scratch(self) -> "PretrainRecipe":
        if self.evaluation.scratch and self.pretrained is None:
            message = (
                "evaluation.scratch stands beside a given model, and none is named by pretrained"
            )
            raise PydanticCustomError("scratch", "{found}", {"found": message})
        return self

    @model_validator(mode="after")
    def _reads_relatives(self) -> "PretrainRecipe":
        # A given model brings its own shape, which is not known here.
        if self.relatives and not self.model.filter.hash_length and self.pretrained is None:
            message = "relatives are read through pointers: model.filter.hash_length = 11"
            raise PydanticCustomError("relatives", "{found}", {"found": message})
        return self


class Genomes:
    """Genomes, cut into windows; every file is opened and every split checked here."""

    alphabet = DNA

    def __init__(self, recipe: GenomesRecipe, regions: Sequence[RegionRecipe]) -> None:
        check_alphabet(recipe, DNA.name, "a genome")
        self.corpus = Corpus(recipe.genomes, recipe.data)
        protocols.check_regions(self.corpus, regions)
        self.name = ", ".join(Path(genome.fasta).name for genome in recipe.genomes)
        self._recipe, self._regions = recipe, regions

    def objective(self) -> Objective[Any]:
        """What is predicted of the windows."""
        chosen = self._recipe.objective
        return OBJECTIVES[chosen.kind](chosen, DNA)

    def trainable(self, model: OrchidModel) -> Trainable:
        """The model itself."""
        return model

    def training(self, length: int, batch: int) -> Sampler:
        """Windows of one length; a stage's checks are made here."""
        return self.corpus.training(length, batch)

    def describe(self, length: int, whole: bool = False) -> list[str]:
        """What is about to be read; `whole` with the letters of every split."""
        report = self.corpus.report(length)
        lines = [f"windows of {report['length']:,} nt, moved by up to {report['jitter']:,} nt"]
        lines += [_summary(genome) for genome in report["genomes"]]
        lines.append(f"training windows that touch held-out letters: {report['overlap']}")
        lines += self._unmeasured()
        if whole:
            lines += [
                f"letters by split: {_counts(genome['bases'])}" for genome in report["genomes"]
            ]
        return lines

    def _unmeasured(self) -> list[str]:
        """What a run without held-out letters will not be able to say."""
        if not self.corpus.held_out("test"):
            possible = "name a test contig in [[genomes]]"
            return [f"no letter is held out for test, so nothing will be measured; {possible}"]
        if not self.corpus.held_out("validation"):
            possible = "name a validation contig in [[genomes]]"
            kept = "the last weights are kept rather than the best"
            return [f"no letter is held out for validation, so {kept}; {possible}"]
        return []

    def seen_by(self, provenance: Provenance) -> list[str]:
        """What of the held-out letters another model has seen in its training, in words."""
        spans = {genome.sha256: genome.seen for genome in provenance.genomes}
        letters = 0
        for number, interval in self.corpus.held_out("test"):
            seen = spans.get(self.corpus.genomes[number].checksum(), {})
            for start, end in seen.get(interval.contig, ()):
                letters += max(0, min(end, interval.end) - max(start, interval.start))
        if not letters:
            return []
        return [f"the given model saw {letters:,} letters of the test split in its own training"]

    def inputs(self) -> dict[str, str]:
        """Every file that is read, and its SHA-256."""
        files = [part.bed for part in self._regions]
        for genome in self._recipe.genomes:
            named = genome.validation_bed, genome.test_bed, genome.regions
            optional = *named, genome.annotation, genome.aliases
            functional = [part.bed for part in genome.functional]
            files += [
                genome.fasta,
                *filter(None, optional),
                *genome.exclude,
                *genome.soft,
                *functional,
            ]
        inputs = {str(path): checksum(path) for path in dict.fromkeys(files)}
        if self._recipe.pretrained is not None:
            given = OrchidModel.from_pretrained(self._recipe.pretrained)
            inputs[str(self._recipe.pretrained)] = given.hash()
        return inputs

    def origin(self, length: int, stages: Iterable[tuple[int, int, int, int]]) -> dict[str, Any]:
        """Genomes by checksum, their split, and the letters seen in `stages` (length, batch, first
        and last step).
        """
        corpus, genomes = self.corpus, []
        seen = corpus.seen(self._recipe.seed, stages)
        for recipe, genome, split in zip(
            self._recipe.genomes, corpus.genomes, corpus.splits, strict=True
        ):
            values = {
                "fasta": Path(recipe.fasta).name,
                "assembly": recipe.assembly,
                "sha256": genome.checksum(),
                "contigs": genome.contigs,
                "split": {name: list(contigs) for name, contigs in split.contigs.items()},
                "seen": seen[str(recipe.fasta)],
            }
            genomes.append(values)
        return {"genomes": genomes, "report": corpus.report(length)}


@SOURCES.register("genomes")
class GenomeSource(Genomes):
    """Genomes as they are, measured by masked letters."""

    Recipe = PretrainRecipe
    has_curve = True

    def __init__(self, recipe: PretrainRecipe) -> None:
        super().__init__(recipe, recipe.evaluation.regions)
        self.recipe = recipe
        # Of their contigs those that train alone are ever looked at in training.
        places = [*self.corpus.held_out("validation"), *self.corpus.held_out("test")]
        self._names = {interval.contig for _, interval in places}
        self.relatives = open_relatives(recipe.relatives, self._names, training=True)
        self.tracks = GenomeTracks(recipe.tracks, self.corpus, recipe.stages())

    def training(self, length: int, batch: int) -> Sampler:
        """Windows of one length, with their relatives beside them if any."""
        windows = self.corpus.training(length, batch)
        if not self.relatives.relatives:
            return windows
        return Beside(windows, self.relatives, self.recipe.beside)

    def describe(self, length: int, whole: bool = False) -> list[str]:
        """What is about to be read, and what stands beside it."""
        lines = super().describe(length, whole)
        for relative in self.relatives.relatives:
            without = ", ".join(sorted(relative.without)) or "none"
            lines.append(f"beside each window: {relative.genome.path.name}, held out: {without}")
        return lines

    def inputs(self) -> dict[str, str]:
        """Every file that is read, and its SHA-256."""
        inputs = super().inputs()
        for relative in self.recipe.relatives:
            inputs[str(relative.fasta)] = checksum(relative.fasta)
        tracks = {str(track.file): checksum(track.file) for track in self.recipe.tracks}
        return inputs | tracks

    def objective(self) -> Objective[Any]:
        """What is predicted of the windows: letters, and tracks if there are any."""
        letters = super().objective()
        if not self.recipe.tracks:
            return letters
        weights = [track.weight for track in self.recipe.tracks]
        return TrackedLetters(letters, self.tracks.values, weights)

    def trainable(self, model: OrchidModel) -> Trainable:
        """The model, with its tracks in the units of the training letters."""
        if not self.recipe.tracks:
            return model
        tracked = WithTracks(model)
        tracked.rates.set_units(*self.tracks.units(self.recipe.seed))
        return tracked

    def validation(
        self, model: LetterModel, length: int, ranks: Ranks
    ) -> Callable[[], float] | None:
        """Masked bits per base on validation windows; None without validation."""
        return protocols.validation(model, self.corpus, length, self.recipe.evaluation, ranks=ranks)

    def evaluate(
        self,
        model: LetterModel,
        length: int,
        ranks: Ranks,
        say: Callable[[str], None],
        others: Mapping[str, LetterModel] | None = None,
    ) -> list[ScoreTable]:
        """Both protocols on the test split, beside other models and the count models."""
        if self.corpus.held_out("test"):
            say("measuring the test split")
        if ranks.main and isinstance(model, OrchidModel):
            most = self.recipe.evaluation.validation_windows
            for line in self.tracks.agreement(model, length, most):
                say(line)
        tables = protocols.evaluate(
            model,
            self.corpus,
            length,
            self.recipe.evaluation,
            ranks=ranks,
            say=say,
            others=others,
        )
        if not self.recipe.relatives:
            return tables
        say("measuring with relatives beside the windows")
        relatives = open_relatives(self.recipe.relatives, self._names, training=False)
        measured = self.recipe.evaluation
        return tables + relatives_table(
            model, self.corpus, length, relatives, measured=measured, ranks=ranks
        )


def _summary(genome: dict[str, Any]) -> str:
    """One genome of `Corpus.report` in a line."""
    reasons = [f"{count:,} {reason}" for reason, count in genome["dropped"].items() if count]
    windows = f"{genome['windows']:,} training windows ({genome['share']:.0%} of draws)"
    letters = f"{genome['n_percent']:.2f} % N, {genome['soft_masked_percent']:.1f} % soft-masked"
    name, dropped = Path(genome["fasta"]).name, ", ".join(reasons) or "none"
    return f"{name}: {windows}, dropped: {dropped}; {letters}"


def _counts(bases: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in bases.items())
