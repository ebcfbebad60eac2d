"""A genome and a model become the scores of all its substitutions, as a VCF or a track.

The trap: the tiles are those of `score-variants --scores llr_unmasked`, counted from the beginning
of each contig, also where only regions are asked for; or a letter would have two scores.
"""

import hashlib
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.errors import GenomeNote, InputError
from orchid_genomics.files import scratch_folder
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import merge
from orchid_genomics.jobs.engine import Job, run_job
from orchid_genomics.jobs.inputs import Unchanged, open_model_and_genome
from orchid_genomics.jobs.output import destination, kind_of
from orchid_genomics.jobs.summary import Stats, column_lines, value_sums
from orchid_genomics.jobs.task import Format, Task, register
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.elements.element_files import TRACKS
from orchid_genomics.score.reader import Reader
from orchid_genomics.score.substitutions import (
    KINDS,
    SCORE,
    TRACK_VALUES,
    SubstitutionIdentity,
    Substitutions,
    substitution_format,
)
from orchid_genomics.score.tiles import Piece
from orchid_genomics.score.variants.variant_scores import trained_length
from orchid_genomics.sequence import CODE, DNA, Interval
from orchid_genomics.terminal import clock

BLOCK = 1 << 18  # letters that are answered, saved and lost together
_STRETCH = 1 << 22  # letters that are counted at once
_FEW = 8  # tiles; of so few a measurement would be much of the work


class ScoreGenome(Task[SubstitutionIdentity]):
    """The job of `score_genome`."""

    name = "score-genome"
    unit = "tiles"
    counts = "substitutions"
    identity = SubstitutionIdentity

    def format(self, identity: SubstitutionIdentity) -> Format:
        return substitution_format(identity)

    def lines(self, identity: SubstitutionIdentity, summary: Stats) -> Iterable[str]:
        yield f"{summary['letters']:,} letters: {summary['substitutions']:,} substitutions scored"
        if summary["n"]:
            yield f"  not scored: {summary['n']:,} letters N"
        yield from column_lines(summary["columns"])


TASK = ScoreGenome()
register(TASK)


def score_genome(
    model: str | Path,
    genome: str | Path,
    out: str | Path | None = None,
    regions: str | Path | None = None,
    window: int | None = None,
    track: str | None = None,
    plan: bool = False,
    shard: str | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
    aliases: str | Path | None = None,
    circular: Sequence[str | Path] = (),
) -> Stats | None:
    """Score every substitution of a genome, or of the letters that a BED `regions` covers, into
    `out`; see the command's help.

    Parameters
    ----------
    out : the file to write, its ending its format; None is for a `plan`, of a .vcf.gz.
    window : letters of a tile; default as in training.
    track : what a bigWig or bedGraph holds of each letter, one of `TRACK_VALUES`; default mean.
    plan : write nothing, and print (unless `quiet`) what it would take, measured on a few tiles.
    aliases : a file of other names of the contigs of `genome`.
    circular : contigs that are read round their origin, or annotations that say which are.

    Returns
    -------
    dict or None
        The summary, which is also in ``<out>.summary.json`` and, unless `quiet`, on stderr; the
        numbers of a plan; None for a shard.

    Raises
    ------
    InputError
        For inputs or options that cannot be, before any work.
    """
    if out is None:
        if not plan:
            raise InputError("out", "is missing", "a name in .vcf.gz, .bw, ..., or `plan`")
        out = "genome.vcf.gz"
    where = destination(out, (genome, regions), shard, resume)
    kind = kind_of(where.out, KINDS, piped="vcf")
    if track and kind not in TRACKS:
        raise InputError("track", f"is not for .{kind}", "an `out` in .bw or .bedGraph")
    if track and track not in TRACK_VALUES:
        raise InputError("track", f"unknown value {track!r}", ", ".join(TRACK_VALUES))
    unchanged = Unchanged(Path(genome))
    loaded, fasta = open_model_and_genome(model, genome, device, aliases, circular)
    stretches = _whole(fasta) if regions is None else _covered(fasta, regions)
    reader = _reader(loaded, fasta, window)
    identity = SubstitutionIdentity(
        kind=kind,
        model=loaded.hash(),
        genome=fasta.checksum(),
        regions=None if regions is None else _hash(stretches),
        window=reader.window,
        track=(track or "mean") if kind in TRACKS else None,
        contigs=dict(fasta.contigs),
    ).of_inputs(fasta, named=False)
    work = Tiles(reader, stretches, identity, unchanged)
    letters = work.count_letters()
    if not letters:
        what = "genome" if regions is None else "regions"
        raise InputError(what, "has no letter A, C, G or T", "letters to change")
    job = Job(TASK, identity, where, len(work), max(1, BLOCK // reader.core))
    if plan:
        estimate = measure(job, work, letters)
        if not quiet:
            print("\n".join(estimate.lines()))
        return asdict(estimate) | {"out": str(estimate.out)}
    if len(work) > max(job.block, _FEW) and not where.piped:
        _note_room(measure(job, work, letters))
    return run_job(job, work, quiet)


def _reader(model: OrchidModel, genome: Genome, window: int | None) -> Reader:
    """Raises OrchidError for a model that says nothing of letters in sight."""
    reader = Reader(model, genome, window or trained_length(model))
    if not reader.reads_letters:
        raise InputError("model", "has no letters head", "a model that pretrain wrote")
    _ = reader.unmasking  # a model that cannot is refused now
    return reader


def _whole(genome: Genome) -> list[Interval]:
    return [Interval(name, 0, size) for name, size in genome.contigs.items() if size]


def _covered(genome: Genome, bed: str | Path) -> list[Interval]:
    """The letters that a BED covers as disjoint intervals, in the order of the genome."""
    intervals = read_bed(bed, genome).intervals
    if not intervals:
        raise InputError("regions", f"{bed} has no record", "a BED with at least one")
    order = {name: number for number, name in enumerate(genome.contigs)}
    return sorted(merge(intervals), key=lambda each: (order[each.contig], each.start))


def _hash(stretches: Sequence[Interval]) -> str:
    """A checksum of places, so that the same letters are the same job however they are written."""
    rows = "".join(f"{each.contig}\t{each.start}\t{each.end}\n" for each in stretches)
    return hashlib.sha256(rows.encode()).hexdigest()


class Tiles:
    """Stretches of a genome, cut where the tiles of the reader's grid meet.

    A tile that several stretches share is read once for those of them in one block, or in blocks
    that follow each other: a whole circular contig is one tile, of a piece on either side of its
    landmark.
    """

    def __init__(
        self,
        reader: Reader,
        stretches: Sequence[Interval],
        identity: SubstitutionIdentity,
        unchanged: Unchanged,
    ) -> None:
        self.reader, self.stretches = reader, stretches
        self.identity, self.unchanged = identity, unchanged
        self._last: dict[tuple[str, int], np.ndarray] = {}

    def __len__(self) -> int:
        return sum(self.reader.tiles.count(each) for each in self.stretches)

    def __iter__(self) -> Iterator[Piece]:
        for each in self.stretches:
            yield from self.reader.tiles.pieces(each)

    def answer(self, pieces: list[Piece]) -> tuple[Any, Stats]:
        """The stretches as the format takes them, and stats."""
        # a tile of N alone, such as a centromere that nobody has read, costs no pass
        wanted = {
            (piece.interval.contig, piece.tile) for piece in pieces if self.has_letters(piece)
        }
        logs = {tile: values for tile, values in self._last.items() if tile in wanted}
        logs |= self.reader.central(sorted(wanted - logs.keys()))
        last = pieces[-1].interval.contig, pieces[-1].tile
        self._last = {last: logs[last]} if last in logs else {}
        scores = []
        for piece in pieces:
            each = piece.interval
            logs_LV = np.zeros((len(each), DNA.count))
            if (each.contig, piece.tile) in logs:
                logs_LV = logs[each.contig, piece.tile][piece.inside]
            codes_L = self._codes(each)
            scores.append(Substitutions.of(each.contig, each.start, codes_L, logs_LV))
        # One by one as they are written, which is on a second thread: text is made there too.
        return (each.render(self.identity) for each in scores), _stats(scores)

    def forget(self) -> None:
        """Let go of the tile that was read last."""
        self._last = {}

    def check_inputs(self) -> None:
        self.unchanged.check()

    def has_letters(self, piece: Piece) -> bool:
        """Whether any letter of a piece is A, C, G or T."""
        return bool((self._codes(piece.interval) < DNA.count).any())

    def count_letters(self) -> int:
        """The letters A, C, G and T of all stretches."""
        count = 0
        for each in self.stretches:
            for start in range(each.start, each.end, _STRETCH):
                piece = Interval(each.contig, start, min(start + _STRETCH, each.end))
                count += int((self._codes(piece) < DNA.count).sum())
        return count

    def sample(self, count: int) -> list[Piece]:
        """Up to `count` pieces with letters, evenly spaced; one at least."""
        step = max(1, len(self) // count)
        spaced = [piece for i, piece in enumerate(self) if i % step == 0][:count]
        return list(filter(self.has_letters, spaced)) or [next(filter(self.has_letters, self))]

    def _codes(self, piece: Interval) -> np.ndarray:
        return self.reader.genome.tokens(piece.contig, piece.start, piece.end) & CODE


def _stats(scores: Sequence[Substitutions]) -> Stats:
    letters = sum(len(each.codes_L) for each in scores)
    known = sum(int(each.known_L.sum()) for each in scores)
    values = np.concatenate([each.alternates.ravel() for each in scores])
    return {
        "letters": letters,
        "n": letters - known,
        "substitutions": 3 * known,
        "columns": {SCORE: value_sums(values)},
    }


@dataclass(frozen=True)
class Estimate:
    """What a job would take; of a shard, its share.

    Attributes: `tiles`, `core` letters each; `letters` that are scored; `share` of the job;
    `seconds` of all of it and `reading` those in the model; `output` and `parts` bytes; `free`
    bytes where they will lie; `out` the name.
    """

    tiles: int
    core: int
    letters: int
    share: float
    seconds: float
    reading: float
    output: float
    parts: float
    free: int
    out: Path

    @property
    def needed(self) -> float:
        """Bytes while it runs: parts stay until they are joined."""
        return self.parts if self.share < 1 else self.parts + self.output

    def lines(self) -> Iterator[str]:
        """For a person."""
        grid = f"{self.tiles:,} tiles of {self.core:,} letters"
        yield f"{3 * self.letters:,} substitutions of {self.letters:,} letters, in {grid}"
        speed = 3 * self.letters * self.share / self.seconds
        reading = self.reading / self.seconds
        shard = "" if self.share == 1 else " of this shard"
        pace = f"{speed:,.0f} substitutions a second, {reading:.0%} of the time in the model"
        yield f"time{shard}: about {clock(self.seconds)} ({pace})"
        yield self.disk_line()

    def disk_line(self) -> str:
        """What it takes on the disk, and whether that is there."""
        size = f"about {_size(self.output)} in {self.out.name}"
        free = f"{_size(self.free)} are free"
        enough = "" if self.needed <= self.free else ", which is not enough"
        return f"disk: {size}, {_size(self.needed)} while it runs; {free}{enough}"


def measure(job: Job, work: Tiles, letters: int) -> Estimate:
    """Answer a few tiles and write them to a temporary folder, and multiply."""
    form = job.task.format(job.identity)
    form.require()
    pieces = work.sample(work.reader.batch)
    if job.block > 1:
        work.answer(pieces[:1])  # warms up what is slow once, which of a long tile is little
    work.forget()
    before, begun = work.reader.seconds, time.perf_counter()
    answers, stats = work.answer(pieces)
    with scratch_folder() as folder:
        part, whole = folder / "part", folder / f"out.{work.identity.kind}"
        form.write(answers, part)
        seconds = time.perf_counter() - begun
        form.join([part], whole)
        sizes = part.stat().st_size, whole.stat().st_size
    _, n = job.where.shard
    times = letters / (stats["letters"] - stats["n"])
    return Estimate(
        tiles=len(work),
        core=work.reader.core,
        letters=letters,
        share=1 / n,
        seconds=seconds * times / n,
        reading=(work.reader.seconds - before) * times / n,
        output=sizes[1] * times,
        parts=sizes[0] * times / n,
        free=shutil.disk_usage(job.where.out.parent).free,
        out=job.where.out,
    )


def _note_room(estimate: Estimate) -> None:
    """Say before the work where the disk will not hold it; a part of it may be all that is
    wanted.
    """
    if estimate.needed > estimate.free:
        note = f"{estimate.out}: {estimate.disk_line()}"
        warnings.warn(note, GenomeNote, stacklevel=3)


def _size(count: float) -> str:
    """Bytes for a person."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:,.1f} {name}"
    return f"{count / 1e3:,.1f} kB"
