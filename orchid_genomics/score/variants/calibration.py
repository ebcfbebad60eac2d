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

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.files import atomic_file, writable
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import merge
from orchid_genomics.score.variants.context import CONTEXTS, context_name, contexts, fold
from orchid_genomics.score.variants.scorers import SCORERS, Column
from orchid_genomics.score.variants.variant_scores import Extra, Scoring
from orchid_genomics.sequence import CODE, DNA, Interval, Variant

FORMAT = "orchid-genomics-calibration/1"
FEWEST = 30  # sites of a context; of fewer, nothing is said
# neighbouring letters that are sampled together, for one pass of the model answers them all
_RUN = 16
_TOGETHER = 1536  # changes that are scored at once


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
                message = f"is for the {what} {own}, not {other}"
                raise InputError(self.path, message, "orchid-genomics calibrate, again")
        scores = [column.name for column in scoring.columns]
        if not set(scores) & set(self.backgrounds):
            message = f"is for {', '.join(self.backgrounds)}, not {', '.join(scores)}"
            raise InputError(self.path, message, "`scores` of the calibration")

    def add_to(self, scoring: Scoring) -> None:
        """Let `scoring` give percentile, z and n beside every score that is calibrated; see
        `check`.
        """
        self.check(scoring)
        columns: list[Column] = []
        rows: dict[str, int] = {}
        for i, column in enumerate(scoring.columns):
            if column.name in self.backgrounds:
                columns += self._columns(column)
                rows[column.name] = i

        def compute(variants: Sequence[Variant | None], values: np.ndarray) -> np.ndarray:
            code = contexts(variants, scoring.genome)
            code = fold(code) if self.fold else code
            blocks = [self.compare(name, code, values[:, i]) for name, i in rows.items()]
            return np.concatenate(blocks, axis=1)

        scoring.extras.append(Extra(tuple(columns), compute))

    def compare(self, column: str, code: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Percentile, z and n (N, 3) of scores (N,) whose contexts are `code`; NaN where there is
        no background.

        The percentile is the share of the context's background below the score (ties half), kept
        between 1/n and 1 - 1/n, for a sample of n says nothing finer; z is (score - mean) /
        standard deviation of the context.
        """
        answers = np.full((len(values), 3), np.nan)
        for context in np.unique(code[code >= 0]):
            background = self.backgrounds[column].get(context_name(int(context)))
            if background is None or len(background) < FEWEST:
                continue
            rows = np.flatnonzero((code == context) & np.isfinite(values))
            n, own = len(background), values[rows]
            below = np.searchsorted(background, own, "left")
            not_above = np.searchsorted(background, own, "right")
            answers[rows, 0] = 100 * np.clip((below + not_above) / 2 / n, 1 / n, 1 - 1 / n)
            spread = background.std(ddof=1)
            answers[rows, 1] = (own - background.mean()) / spread if spread > 0 else np.nan
            answers[rows, 2] = n
        return answers

    def _columns(self, column: Column) -> tuple[Column, ...]:
        of = f"of its trinucleotide and alternate letter in the {self.name} {self.digest()}"
        about = {
            "percentile": f"Percentile of {column.name} among changes {of}, kept 1/n off 0 and "
            "100; not pathogenicity",
            "z": f"{column.name} in standard deviations from the mean {of}; not pathogenicity",
            "n": f"Sampled changes {of}",
        }
        return tuple(Column(f"{column.name}_{word}", text) for word, text in about.items())

    def digest(self) -> str:
        """Twelve hex digits of the SHA-256 of all but its path: what outputs name as their
        background.
        """
        return hashlib.sha256(self._text().encode()).hexdigest()[:12]

    def _text(self) -> str:
        # A file that was moved is the same background.
        values = {key: value for key, value in vars(self).items() if key != "path"}
        values["backgrounds"] = {
            column: {context: _shorten(scores) for context, scores in each.items()}
            for column, each in self.backgrounds.items()
        }
        return json.dumps({"format": FORMAT, **values}) + "\n"

    def save(self) -> None:
        """Write the file, whole or not at all."""
        with writable(self.path), atomic_file(self.path) as temporary:
            temporary.write_text(self._text(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Read a file that `save` wrote. Raises InputError for anything else."""
        path, possible = Path(path), "a file of orchid-genomics calibrate"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", possible) from None
        except ValueError:
            raise InputError(path, "is no calibration", possible) from None
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise InputError(path, "is no calibration of this version", possible)
        try:
            backgrounds = {
                column: {context: np.array(scores, float) for context, scores in each.items()}
                for column, each in values.pop("backgrounds").items()
            }
            windows = tuple(values.pop("windows"))
            return cls(path, backgrounds=backgrounds, windows=windows, **values)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise InputError(path, "is damaged", possible) from None


def learn_calibration(
    scoring: Scoring,
    intervals: Sequence[Interval] | None,
    *,
    path: Path,
    name: str,
    sites: int,
    seed: int,
    progress: Callable[[int], object] = lambda _: None,
) -> Calibration:
    """A calibration from sampled letters, all three changes of each.

    Cost: that of scoring 3 x `sites` variants in runs of 16 neighbouring letters.

    Parameters
    ----------
    intervals : where letters are sampled, 0-based half-open; None: the whole genome.
    path, name : where it will be saved, and what it is called.
    sites : letters to sample, at most.
    progress : hears how many changes more are scored.

    Raises
    ------
    InputError : where there is nothing to sample, or a score is none of single letters.
    """
    columns = [column.name for column in scoring.columns]
    for score, scorer in scoring.scorers.items():
        if "SNV" not in scorer.kinds:
            able = [other for other, each in SCORERS.items() if "SNV" in each.kinds]
            message = f"{score} is no score of single letters"
            raise InputError("scores", message, f"possible: {', '.join(able)}")
    letters = sample_letters(scoring.genome, intervals, sites, seed)
    if not letters:
        raise InputError(name, "has no letter A, C, G or T between two known ones", "more sequence")
    variants = []
    for contig, at, ref in letters:
        variants += [Variant(contig, at, ref, alt) for alt in DNA.letters if alt != ref]
    blocks = []
    for first in range(0, len(variants), _TOGETHER):
        blocks.append(scoring(variants[first : first + _TOGETHER]).values)
        progress(len(blocks[-1]))
    values, code = np.concatenate(blocks), contexts(variants, scoring.genome)
    # contexts of both strands are one where every score is the same on either
    folds = all(scorer.strandless for scorer in scoring.scorers.values())
    code = fold(code) if folds else code
    return Calibration(
        path=path,
        model=scoring.model.hash(),
        genome=scoring.genome.checksum(),
        windows=scoring.windows,
        name=name,
        fold=folds,
        sites=len(letters),
        backgrounds={column: _by_context(values[:, i], code) for i, column in enumerate(columns)},
    )


def sample_letters(
    genome: Genome, intervals: Sequence[Interval] | None, sites: int, seed: int
) -> list[tuple[str, int, str]]:
    """Up to `sites` letters (contig, 0-based, letter), sorted, each once, between two known ones.

    Drawn in runs of 16 from the intervals laid end to end, so that every letter is as likely,
    without replacement.
    """
    whole = [Interval(contig, 0, size) for contig, size in genome.contigs.items() if size]
    merged = whole if intervals is None else merge(intervals)
    starts = np.cumsum([0, *(-(-len(interval) // _RUN) for interval in merged)])
    rng = np.random.default_rng(seed)
    letters: list[tuple[str, int, str]] = []
    for run in _draw_runs(rng, int(starts[-1]), -(-sites // _RUN)):
        which = int(np.searchsorted(starts, run, "right")) - 1
        interval = merged[which]
        first = interval.start + (run - int(starts[which])) * _RUN
        end = min(first + _RUN, interval.end)
        # With a neighbour on either side, for a context needs both.
        codes = genome.tokens(interval.contig, first - 1, end + 1) & CODE
        known = codes < DNA.count
        between = known[:-2] & known[1:-1] & known[2:]
        for i in np.flatnonzero(between).tolist():
            letters.append((interval.contig, first + i, DNA.letters[codes[i + 1]]))
        if len(letters) >= sites:
            break
    order = {contig: number for number, contig in enumerate(genome.contigs)}
    return sorted(letters[:sites], key=lambda site: (order[site[0]], site[1]))


def _draw_runs(rng: np.random.Generator, runs: int, wanted: int) -> Iterator[int]:
    """Numbers under `runs` without replacement: a few more than wanted, of a small set all."""
    if runs:
        # Runs in N give nothing, so more are drawn than are wanted; whoever has enough stops.
        yield from map(int, rng.choice(runs, size=min(runs, 4 * wanted + 64), replace=False))


def _by_context(values: np.ndarray, code: np.ndarray) -> dict[str, np.ndarray]:
    """The sorted numbers of every context that has any."""
    usable = np.isfinite(values)
    scores = {context: np.sort(values[usable & (code == context)]) for context in range(CONTEXTS)}
    return {context_name(context): each for context, each in scores.items() if len(each)}


def _shorten(scores: np.ndarray) -> list[float]:
    """Scores as the file has them: five significant digits."""
    # Rounded here already, so that the digest is the same before a file is saved and after.
    return [float(f"{score:.5g}") for score in scores]


def _numbers(windows: Sequence[int]) -> str:
    return ", ".join(map(str, windows))
