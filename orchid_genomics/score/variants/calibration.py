"""What a score is worth beside the same change elsewhere: a background of sampled sites, context by
context.

The trap: a background belongs to one model, genome, window and score. And it says how unusual a
change looks to the model, never that it is pathogenic.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.files import replacing, writable
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import merge
from orchid_genomics.score.variants.context import CONTEXTS, context_name, contexts, folded
from orchid_genomics.score.variants.scorers import SCORERS, Column
from orchid_genomics.score.variants.variant_scores import Scoring
from orchid_genomics.sequence import DNA, Interval, Variant

FORMAT = "orchid-genomics-calibration/1"
FEWEST = 30  # sites of a context; of fewer, nothing is said
_RUN = (
    16  # neighbouring letters that are sampled together, for one pass of the model answers them all
)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Backgrounds of the scores of one model on one genome.

    Attributes: `name` "genome background", or the neutral BED; `fold` whether a context and its
    reverse complement are one; `sites` that were sampled; `backgrounds` of every column and context
    the sorted scores.
    """

    path: Path
    model: str
    genome: str
    windows: tuple[int, ...]
    name: str
    fold: bool
    sites: int
    backgrounds: dict[str, dict[str, np.ndarray]]

    def check(self, scoring: Scoring) -> None:
        """Raises InputError where the calibration is that of another model, genome, window or
        score.
        """
        pairs = (
            ("model", self.model, scoring.model.hash()),
            ("genome (sha256)", self.genome[:12], scoring.genome.checksum()[:12]),
            ("window", _numbers(self.windows), _numbers(scoring.windows)),
        )
        for what, own, other in pairs:
            if own != other:
                raise InputError(
                    self.path,
                    f"is for the {what} {own}, not {other}",
                    "orchid-genomics calibrate, again",
                )
        scores = [column.name for column in scoring.columns]
        if not set(scores) & set(self.backgrounds):
            found = f"is for {', '.join(self.backgrounds)}, not {', '.join(scores)}"
            raise InputError(self.path, found, "--scores of the calibration")

    def add_to(self, scoring: Scoring) -> None:
        """Let `scoring` give percentile, z and n beside every score that is calibrated; see
        `check`.
        """
        self.check(scoring)
        own = [
            (i, column)
            for i, column in enumerate(scoring.columns)
            if column.name in self.backgrounds
        ]
        columns = tuple(replaced for _, column in own for replaced in self._columns(column))
        scoring.more.append(
            (columns, self._function(scoring.genome, [(i, column.name) for i, column in own]))
        )

    def judged(self, column: str, code: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Percentile, z and n (N, 3) of scores (N,) whose contexts are `code`; NaN where there is
        no background.

        The percentile is the share of the context's background below the score (ties half), kept
        between 1/n and 1 - 1/n, for a sample of n says nothing finer; z is (score - mean) /
        standard deviation of the context.
        """
        found = np.full((len(values), 3), np.nan)
        for one in np.unique(code[code >= 0]):
            background = self.backgrounds[column].get(context_name(int(one)))
            if background is None or len(background) < FEWEST:
                continue
            rows = np.flatnonzero((code == one) & np.isfinite(values))
            n = len(background)
            below, to = (
                np.searchsorted(background, values[rows], side) for side in ("left", "right")
            )
            found[rows, 0] = 100 * np.clip((below + to) / 2 / n, 1 / n, 1 - 1 / n)
            spread = background.std(ddof=1)
            found[rows, 1] = (values[rows] - background.mean()) / spread if spread > 0 else np.nan
            found[rows, 2] = n
        return found

    def _columns(self, column: Column) -> tuple[Column, ...]:
        by = f"of its trinucleotide and alternate letter in the {self.name} {self.digest()}"
        about = {
            "percentile": f"Percentile of {column.name} among changes {by}, kept 1/n off 0 and 100; not pathogenicity",
            "z": f"{column.name} in standard deviations from the mean {by}; not pathogenicity",
            "n": f"Sampled changes {by}",
        }
        return tuple(Column(f"{column.name}_{word}", text) for word, text in about.items())

    def _function(self, genome: Genome, own: list[tuple[int, str]]) -> Callable:
        def judge(variants: Sequence[Variant | None], values: np.ndarray) -> np.ndarray:
            code = contexts(variants, genome)
            code = folded(code) if self.fold else code
            return np.concatenate(
                [self.judged(name, code, values[:, i]) for i, name in own], axis=1
            )

        return judge

    def digest(self) -> str:
        """Twelve hex digits of the SHA-256 of all but its path: what outputs name as their
        background.
        """
        return hashlib.sha256(self._text().encode()).hexdigest()[:12]

    def _text(self) -> str:
        values = {key: value for key, value in vars(self).items() if key != "path"}
        values["backgrounds"] = {
            column: {
                context: [float(f"{score:.5g}") for score in scores]
                for context, scores in each.items()
            }
            for column, each in self.backgrounds.items()
        }
        return json.dumps({"format": FORMAT, **values}) + "\n"

    def save(self) -> None:
        """Write the file, whole or not at all."""
        with writable(self.path), replacing(self.path) as temporary:
            temporary.write_text(self._text(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Read a file that `save` wrote. Raises InputError for anything else."""
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                path, f"cannot be read ({error.strerror})", "a file of orchid-genomics calibrate"
            ) from None
        except ValueError:
            raise InputError(
                path, "is no calibration", "a file of orchid-genomics calibrate"
            ) from None
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise InputError(
                path, "is no calibration of this version", "a file of orchid-genomics calibrate"
            )
        try:
            backgrounds = {
                column: {context: np.array(scores, float) for context, scores in each.items()}
                for column, each in values.pop("backgrounds").items()
            }
            return cls(
                path, backgrounds=backgrounds, windows=tuple(values.pop("windows")), **values
            )
        except (KeyError, TypeError, AttributeError, ValueError):
            raise InputError(path, "is damaged", "a file of orchid-genomics calibrate") from None


def learned(
    path: Path,
    scoring: Scoring,
    places: Sequence[Interval] | None,
    name: str,
    sites: int,
    seed: int,
    done: Callable[[int], Any] = lambda _: None,
) -> Calibration:
    """A calibration from `sites` sampled letters of `places` (None: the whole genome), all three
    changes of each.

    `done` hears how many changes more are scored. Raises InputError where there is nothing to
    sample or a score is none of single letters. Cost: that of scoring 3 x sites variants in runs of
    16 neighbouring letters.
    """
    columns = [column.name for column in scoring.columns]
    for score in scoring.scores:
        if "SNV" not in SCORERS[score].kinds:
            able = [other for other, scorer in SCORERS.items() if "SNV" in scorer.kinds]
            raise InputError(
                "--scores", f"{score} is no score of single letters", f"possible: {', '.join(able)}"
            )
    drawn = sampled(scoring.genome, places, sites, seed)
    if not drawn:
        raise InputError(name, "has no letter A, C, G or T between two known ones", "more sequence")
    variants = [
        Variant(c, at, ref, alt) for c, at, ref in drawn for alt in DNA.letters if alt != ref
    ]
    found = []
    for at in range(0, len(variants), 1536):
        found.append(scoring(variants[at : at + 1536]).values)
        done(len(found[-1]))
    values, code = np.concatenate(found), contexts(variants, scoring.genome)
    fold = (
        "delta" not in scoring.scores
    )  # all else is the same read on either strand, a head need not be
    code = folded(code) if fold else code
    backgrounds = {column: _by_context(values[:, i], code) for i, column in enumerate(columns)}
    model, genome = scoring.model.hash(), scoring.genome.checksum()
    return Calibration(
        path, model, genome, tuple(scoring.windows), name, fold, len(drawn), backgrounds
    )


def sampled(
    genome: Genome, places: Sequence[Interval] | None, sites: int, seed: int
) -> list[tuple[str, int, str]]:
    """Up to `sites` letters (contig, 0-based place, letter), sorted, each once, between two known
    letters.

    Drawn in runs of 16 from the places laid end to end, so that every letter is as likely, without
    replacement.
    """
    whole = [Interval(contig, 0, size) for contig, size in genome.contigs.items() if size]
    merged = whole if places is None else merge(places)
    starts = np.cumsum([0, *(-(-len(place) // _RUN) for place in merged)])
    rng, found = np.random.default_rng(seed), []
    for run in _draws(rng, int(starts[-1]), -(-sites // _RUN)):
        which = int(np.searchsorted(starts, run, "right")) - 1
        place, first = merged[which], merged[which].start + (run - int(starts[which])) * _RUN
        letters = genome.tokens(place.contig, first - 1, min(first + _RUN, place.end) + 1) & 0x7F
        known = (letters[:-2] < 4) & (letters[1:-1] < 4) & (letters[2:] < 4)
        found += [
            (place.contig, first + int(i), DNA.letters[letters[i + 1]])
            for i in np.flatnonzero(known)
        ]
        if len(found) >= sites:
            break
    order = {contig: number for number, contig in enumerate(genome.contigs)}
    return sorted(found[:sites], key=lambda site: (order[site[0]], site[1]))


def _draws(rng: np.random.Generator, runs: int, wanted: int) -> Iterator[int]:
    """Numbers under `runs` without replacement: a few more than wanted, and in a small set all of
    them.
    """
    if runs:
        yield from map(int, rng.choice(runs, size=min(runs, 4 * wanted + 64), replace=False))


def _by_context(values: np.ndarray, code: np.ndarray) -> dict[str, np.ndarray]:
    usable = np.isfinite(values)
    found = {context_name(one): np.sort(values[usable & (code == one)]) for one in range(CONTEXTS)}
    return {context: scores for context, scores in found.items() if len(scores)}


def _numbers(windows: Sequence[int]) -> str:
    return ", ".join(map(str, windows))
