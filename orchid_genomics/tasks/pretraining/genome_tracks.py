"""The tracks of a pretraining run: which letters of a step have which values, and in what units."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from pydantic import Field

from orchid_genomics.data.corpus import Corpus
from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.genome.signal import Track
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.recipe import RecipePath, Strict
from orchid_genomics.sequence import CODE, Interval
from orchid_genomics.train.loop import StageRecipe

_ROWS = 256  # training windows that say in what units a track is


class TrackRecipe(Strict):
    """One `[[tracks]]` block: a signal along a genome, predicted beside the letters.

    A Gaussian of mean and log-variance at every letter; letters without a value do not count.
    """

    file: RecipePath
    """A bigWig or bedGraph, such as phyloP."""
    name: str = Field(default="rate", pattern=r"^\w{1,32}$")
    """What the score calls it: rate_NAME."""
    genome: int = Field(default=0, ge=0)
    """Which of `[[genomes]]`, from 0."""
    weight: float = Field(default=0.1, gt=0)
    """What a nat of the track counts in units of a nat of the letters."""


class GenomeTracks:
    """Tracks over the windows of a corpus.

    Parameters
    ----------
    recipes : sequence of TrackRecipe
    corpus : Corpus
    stages : sequence of StageRecipe
        Of the run: they say which windows a step reads.

    Raises
    ------
    InputError, RecipeError
        For a file that is none, of another genome, or of a genome that is not there.
    """

    def __init__(
        self, recipes: Sequence[TrackRecipe], corpus: Corpus, stages: Sequence[StageRecipe]
    ) -> None:
        self.recipes, self.corpus, self.stages = tuple(recipes), corpus, tuple(stages)
        self.ends = list(accumulate(stage.steps for stage in stages))
        self.tracks = []
        for number, recipe in enumerate(recipes):
            if recipe.genome not in range(len(corpus.genomes)):
                where = f"tracks.{number}.genome"
                possible = f"0 to {len(corpus.genomes) - 1}"
                raise RecipeError(where, f"no genome {recipe.genome}", possible)
            track = Track(recipe.file, corpus.genomes[recipe.genome])
            for contig in corpus.splits[recipe.genome].contigs["train"]:
                # A contig of another length is refused here and not amid the training.
                track.values(contig, 0, 1)
            self.tracks.append(track)

    def values(self, seed: int, step: int, rows: Sequence[int]) -> np.ndarray:
        """The tracks (B, L, T) of the rows of a step, NaN where nothing is known."""
        number = next(at for at, end in enumerate(self.ends) if step < end)
        stage = self.stages[number]
        sampler = self.corpus.training(stage.length, stage.batch)
        places = sampler.places(seed, step, rows)
        values_BLT = np.full((len(rows), stage.length, len(self.tracks)), np.nan, np.float32)
        for row, (genome, place) in enumerate(places):
            values_BLT[row] = self._along(genome, place)
        return values_BLT

    def _along(self, genome: int, place: Interval) -> np.ndarray:
        """The tracks (L, T) of one place, on its strand."""
        columns = []
        for recipe, track in zip(self.recipes, self.tracks, strict=True):
            column = np.full(len(place), np.nan, np.float32)
            if recipe.genome == genome:
                column = track.values(place.contig, place.start, place.end)
            columns.append(column[::-1] if place.strand == "-" else column)
        return np.stack(columns, 1)

    def units(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread (T,) float32 of the first training windows' values.

        Raises InputError for a track without two different values there.
        """
        stage = self.stages[0]
        steps = min(stage.steps, max(1, _ROWS // stage.batch))
        rows = range(stage.batch)
        values = np.concatenate([self.values(seed, step, rows) for step in range(steps)])
        values_NT = values.reshape(-1, len(self.tracks)).astype(np.float64)
        shifts, scales = [], []
        for recipe, column in zip(self.recipes, values_NT.T, strict=True):
            known = column[~np.isnan(column)]
            if not len(known) or known.min() == known.max():
                message = "has no two values in the training windows"
                raise InputError(recipe.file, message, "a track of this genome that varies")
            shifts.append(known.mean())
            scales.append(known.std())
        return np.array(shifts, np.float32), np.array(scales, np.float32)

    @torch.inference_mode()
    def agreement(self, model: OrchidModel, length: int, most: int) -> list[str]:
        """A line a track: the correlation of its predicted mean on test windows, letters in sight.

        Parameters
        ----------
        model
            The trained model.
        length
            Letters of a window.
        most
            Read only so many windows of each genome, evenly spaced.
        """
        if not self.tracks:
            return []
        model.eval()
        numbers = [n for n, split in enumerate(self.corpus.splits) if split.held_out["test"]]
        pairs: list[list[np.ndarray]] = [[] for _ in self.tracks]
        device = next(model.parameters()).device
        for number, windows in zip(numbers, self.corpus.evaluation("test", length), strict=True):
            for at in np.unique(np.linspace(0, len(windows) - 1, most).astype(int)).tolist():
                codes_BL = torch.from_numpy(windows.tokens(at) & CODE)[None].to(device)
                _, (mean_BLT, _) = model.encode_with_rates(codes_BL)
                truth_LT = self._along(number, windows.interval(at))
                for track, column in enumerate(mean_BLT[0].cpu().numpy().T):
                    both = np.stack((column, truth_LT[:, track]), 1)[windows.own(at)]
                    pairs[track].append(both[~np.isnan(both).any(1)])
        return [
            _line(recipe, np.concatenate(rows))
            for recipe, rows in zip(self.recipes, pairs, strict=True)
            if rows
        ]


def _line(recipe: TrackRecipe, pairs_N2: np.ndarray) -> str:
    if len(pairs_N2) < 2 or (pairs_N2.std(0) == 0).any():
        return f"track {recipe.name}: no two values on the test windows"
    r = np.corrcoef(pairs_N2.T)[0, 1]
    return f"track {recipe.name}: correlation {r:.3f} on {len(pairs_N2):,} test letters"
