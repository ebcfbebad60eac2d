"""A BED and a model become a scored BED, or contigs and a model a track; every element is answered,
in order.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.genome.bed import Record
from orchid_genomics.genome.contigs import GenomeNote
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.jobs.engine import Job, run_job
from orchid_genomics.jobs.inputs import Unchanged, open_model_and_genome
from orchid_genomics.jobs.output import destination, kind_of
from orchid_genomics.jobs.summary import Stats, column_lines, reason_lines, value_sums
from orchid_genomics.jobs.task import Format, Task, Work, register
from orchid_genomics.score.elements.element_files import (
    KINDS,
    TRACKS,
    ElementFile,
    ElementIdentity,
    element_format,
    render,
)
from orchid_genomics.score.elements.element_scores import (
    REASONS,
    ElementScores,
    ElementScoring,
    Options,
)
from orchid_genomics.score.tiles import Piece
from orchid_genomics.score.tiles import Tiles as ContigTiles
from orchid_genomics.sequence import Interval

BLOCK = 256  # elements, or tiles, that are answered, saved and lost together


class ScoreElements(Task[ElementIdentity]):
    """The job of `score_elements`."""

    name = "score-elements"
    unit = "elements"
    identity = ElementIdentity
    reasons = REASONS

    def format(self, identity: ElementIdentity) -> Format:
        return element_format(identity)

    def lines(self, identity: ElementIdentity, summary: Stats) -> Iterable[str]:
        what = "elements" if identity.tile is None else "tiles"
        yield f"{summary['elements']:,} {what}: {summary['scored']:,} scored"
        yield from reason_lines(summary["reasons"], "not scored", self.reasons)
        yield from column_lines(summary["columns"])


TASK = ScoreElements()
register(TASK)


def score_elements(
    model: str | Path,
    genome: str | Path,
    elements: str | Path | None,
    out: str | Path,
    options: Options | None = None,
    tile: Sequence[str] = (),
    stride: int = 128,
    track: str | None = None,
    shard: str | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
    aliases: str | Path | None = None,
    circular: Sequence[str | Path] = (),
) -> Stats | None:
    """Score the elements of a BED, or with `tile` whole contigs ("all": every one), into `out`; see
    the command's help.

    `aliases` is a file of other names of the contigs of `genome`: two columns, two names a line.
    `circular` names those that are read round their origin, or annotations that say which are.

    Returns the summary, which is also in ``<out>.summary.json`` and, unless `quiet`, on stderr;
    None for a shard. Raises InputError for inputs or options that cannot be, before any work.
    """
    where = destination(out, (elements, genome), shard, resume)
    kind = kind_of(where.out, TRACKS) if tile else kind_of(where.out, KINDS, piped="tsv")
    if (elements is None) != bool(tile):
        message = "and `tile` are both given" if tile else "is missing"
        raise InputError("elements", message, "one of the two")
    unchanged = Unchanged(Path(genome))
    loaded, fasta = open_model_and_genome(model, genome, device, aliases, circular)
    options = options or Options()
    if tile:
        # A background is of whole elements; z of every letter of a genome is no track.
        options = replace(options, background=0)
    scoring = ElementScoring(loaded, fasta, options)
    names = [column.name for column in scoring.columns]
    if track and track not in names:
        raise InputError("track", f"unknown score {track!r}", f"possible: {', '.join(names)}")
    track = (track or names[0]) if kind in TRACKS else None
    identity = ElementIdentity(
        kind=kind,
        model=loaded.hash(),
        genome=fasta.checksum()[:12],
        track=track,
        columns=tuple((column.name, column.about) for column in scoring.columns),
        # These three are of a file of elements, which overwrites them below.
        width=0,
        ordered=True,
        farthest=0,
        contigs=dict(fasta.contigs) if kind in TRACKS else None,
        **scoring.settings,
    )
    work: Work
    if elements is None:
        work = Tiles(scoring, fasta, tile, stride, track or names[0])
        identity = identity.model_copy(update=work.settings)
    else:
        file = ElementFile.survey(elements, fasta)
        if not file.ordered and kind.endswith(".gz"):
            note = "is not sorted by place; answered in its order, without index"
            warnings.warn(f"{file.shown}: {note}", GenomeNote, stacklevel=2)
        identity = identity.model_copy(update=file.settings)
        work = Elements(file, scoring, identity, unchanged)
    return run_job(Job(TASK, identity.of_inputs(fasta), where, len(work), BLOCK), work, quiet)


@dataclass(frozen=True)
class Elements:
    """The elements of a BED, to be scored."""

    file: ElementFile
    scoring: ElementScoring
    identity: ElementIdentity
    genome: Unchanged

    def __len__(self) -> int:
        return len(self.file)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.file)

    def answer(self, records: list[Record]) -> tuple[Any, Stats]:
        """Scored elements as the format takes them, and stats."""
        intervals = [self.file.interval(record) for record in records]
        scores = self.scoring(intervals, [record.summit(self.file.shown) for record in records])
        return render(self.identity, records, intervals, scores), _stats(scores)

    def check_inputs(self) -> None:
        self.file.unchanged.check()
        self.genome.check()


class Tiles:
    """Contigs cut into tiles, in order of name.

    A model with a letters head answers letter by letter, a fine-tuned one by a window around each
    tile of `stride` letters.
    """

    def __init__(
        self,
        scoring: ElementScoring,
        genome: Genome,
        contigs: Sequence[str],
        stride: int,
        track: str,
    ) -> None:
        self.scoring, self.unchanged = scoring, Unchanged(genome.path)
        if list(contigs) == ["all"]:
            names = set(genome.contigs)
        else:
            names = {genome.contig(name, "tile") for name in contigs}
        # In order of name, as the index of a bigWig wants them.
        self.contigs = sorted((name, genome.contigs[name]) for name in names)
        self.column = [column.name for column in scoring.columns].index(track)
        self.genome = genome
        if scoring.likelihood:
            self.core = scoring.likelihood.reader.core
            self.tiles = scoring.likelihood.reader.tiles
            return
        self.core = stride
        self.tiles = ContigTiles(genome, stride)
        if not scoring.length:
            message = "the model does not say what it was trained on"
            raise InputError("length", message, "letters of each window")
        if stride < 1:
            raise InputError("stride", f"{stride}", "1 letter or more")

    @property
    def settings(self) -> dict[str, Any]:
        """What of an identity the tiles decide."""
        return {"tile": ",".join(name for name, _ in self.contigs), "stride": self.core}

    def __len__(self) -> int:
        whole = [Interval(name, 0, size) for name, size in self.contigs if size]
        return sum(self.tiles.count(contig) for contig in whole)

    def __iter__(self) -> Iterator[Piece]:
        for name, size in self.contigs:
            if size:
                yield from self.tiles.pieces(Interval(name, 0, size))

    def answer(self, pieces: list[Piece]) -> tuple[Any, Stats]:
        """Values along every tile, and stats."""
        # The whole of each tile: its window lies around its own middle.
        tiles = [self.tiles.interval(piece.interval.contig, piece.tile) for piece in pieces]
        if self.scoring.likelihood:
            letters = self.scoring.likelihood.letters(tiles)
            values = [
                scores[self.column][piece.inside]
                for piece, scores in zip(pieces, letters, strict=True)
            ]
        else:
            column = self.scoring(tiles).values[:, self.column]
            values = [
                np.full(len(piece.interval), value)
                for piece, value in zip(pieces, column, strict=True)
            ]
        stats = {
            "elements": len(tiles),
            "scored": len(tiles),
            "reasons": {},
            "columns": {"letters": value_sums(np.concatenate(values))},
        }
        starts = [(piece.interval.contig, piece.interval.start) for piece in pieces]
        return [(*start, along) for start, along in zip(starts, values, strict=True)], stats

    def check_inputs(self) -> None:
        self.unchanged.check()


def _stats(scores: ElementScores) -> Stats:
    reasons = Counter(why for why in scores.why if why)
    columns = {column.name: scores.values[:, i] for i, column in enumerate(scores.columns)}
    return {
        "elements": len(scores.why),
        "scored": len(scores.why) - reasons.total(),
        "reasons": dict(sorted(reasons.items())),
        "columns": {name: value_sums(values) for name, values in columns.items()},
    }
