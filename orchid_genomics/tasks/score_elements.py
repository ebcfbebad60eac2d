"""A BED and a model become a scored BED, or contigs and a model a track; every element is answered,
in order.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.jobs.engine import Job, Stats, stream
from orchid_genomics.jobs.inputs import opened
from orchid_genomics.jobs.output import destination, kind_of
from orchid_genomics.score.elements.element_files import (
    KINDS,
    TRACKS,
    ElementFile,
    form,
    identity_of,
    rendered,
    summit,
)
from orchid_genomics.score.elements.element_scores import (
    REASONS,
    ElementScores,
    ElementScoring,
    Options,
)
from orchid_genomics.score.summary import lines_of, reasons_of, sums_of, told, total
from orchid_genomics.sequence import Interval

TASK = "score-elements"
SAID = (
    "model",
    "genome",
    "input",
    "tile",
    "stride",
    "length",
    "window",
    "passes",
    "background",
    "seed",
    "track",
)
BLOCK = 256  # elements, or tiles, that are answered, saved and lost together


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
) -> Stats | None:
    """Score the elements of a BED, or with `tile` whole contigs ("all": every one), into `out`; see
    the command's help.

    Returns the summary, which is also in ``<out>.summary.json`` and, unless `quiet`, on stderr;
    None for a shard. Raises InputError for inputs or options that cannot be, before any work.
    """
    out, part = destination(out, elements, shard, resume)
    kind = kind_of(out, TRACKS) if tile else kind_of(out, KINDS, piped="tsv")
    if (elements is None) != bool(tile):
        raise InputError(
            "ELEMENTS", "is missing" if not tile else "and --tile are both given", "one of the two"
        )
    loaded, fasta = opened(model, genome, device)
    scoring = ElementScoring(
        loaded, fasta, replace(options or Options(), **({"background": 0} if tile else {}))
    )
    names = [column.name for column in scoring.columns]
    if track and track not in names:
        raise InputError("--track", f"unknown score {track!r}", f"possible: {', '.join(names)}")
    said = {"model": loaded.hash(), "genome": fasta.checksum()[:12], **scoring.said}
    track = (track or names[0]) if kind in TRACKS else None
    if tile:
        tiles = Tiles(scoring, fasta, tile, stride, track)
        identity = identity_of(said | tiles.said, scoring.columns, kind, None, track)
        records, count, answer, unit = tiles, len(tiles), tiles.answer, "tiles"
    else:
        file = ElementFile.survey(elements, fasta)
        identity = identity_of(said | {"input": file.checksum}, scoring.columns, kind, file, track)
        records, count, answer, unit = (
            file,
            file.records,
            _answerer(file, scoring, identity),
            "elements",
        )
    if kind in TRACKS:
        identity["contigs"] = dict(fasta.contigs)
    job = Job(TASK, out, identity, count, BLOCK, part, resume)
    blocks = stream(job, records, answer, form(identity), unit, quiet)
    return None if blocks is None else finish(blocks, identity, out, quiet)


def _answerer(file: ElementFile, scoring: ElementScoring, identity: dict[str, Any]) -> Callable:
    """A function from the records of a block to its answers and stats."""

    def answer(records: list) -> tuple[Any, Stats]:
        places = [file.place(record) for record in records]
        found = scoring(places, [summit(record) for record in records])
        return rendered(identity, records, places, found), _stats(found)

    return answer


class Tiles:
    """Contigs cut into tiles, in order of name; a model with a letters head answers letter by
    letter, a fine-tuned one by a window around each tile of `stride` letters.
    """

    def __init__(
        self,
        scoring: ElementScoring,
        genome: Genome,
        contigs: Sequence[str],
        stride: int,
        track: str,
    ) -> None:
        self.scoring = scoring
        names = (
            list(genome.contigs)
            if list(contigs) == ["all"]
            else [genome.contig(name, "--tile") for name in contigs]
        )
        self.contigs = sorted((name, genome.contigs[name]) for name in set(names))
        self.column = [column.name for column in scoring.columns].index(track)
        self.letters = scoring.likelihood is not None
        self.core = scoring.likelihood.reader.core if self.letters else stride
        if not self.letters and not scoring.length:
            raise InputError(
                "--length",
                "the model does not say what it was trained on",
                "letters of each window",
            )
        if self.core < 1:
            raise InputError("--stride", f"{stride}", "1 letter or more")
        self.said = {"tile": ",".join(name for name, _ in self.contigs), "stride": self.core}

    def __len__(self) -> int:
        return sum(-(-size // self.core) for _, size in self.contigs)

    def __iter__(self) -> Iterator[Interval]:
        for name, size in self.contigs:
            for start in range(0, size, self.core):
                yield Interval(name, start, min(start + self.core, size))

    def answer(self, tiles: list[Interval]) -> tuple[Any, Stats]:
        """Values along every tile, and stats."""
        if self.letters:
            found = [letters[self.column] for letters in self.scoring.likelihood.letters(tiles)]
        else:
            rows = self.scoring(tiles).values[:, self.column].tolist()
            found = [[value] * len(tile) for tile, value in zip(tiles, rows, strict=True)]
        sums = sums_of(np.concatenate([np.asarray(values, np.float64) for values in found]))
        stats = {
            "elements": len(tiles),
            "scored": len(tiles),
            "reasons": {},
            "columns": {"letters": sums},
        }
        return [
            (tile.contig, tile.start, values) for tile, values in zip(tiles, found, strict=True)
        ], stats


def _stats(found: ElementScores) -> Stats:
    reasons = {why: found.why.count(why) for why in sorted({*found.why} - {""})}
    columns = {column.name: sums_of(found.values[:, i]) for i, column in enumerate(found.columns)}
    count = len(found.why)
    return {
        "elements": count,
        "scored": count - sum(reasons.values()),
        "reasons": reasons,
        "columns": columns,
    }


def finish(
    blocks: Sequence[Stats], identity: dict[str, Any], out: Path, quiet: bool = False
) -> Stats:
    """The summary of a job that is whole: said on stderr, written beside its output."""
    whole = total(blocks)
    first = f"{whole['elements']:,} {'tiles' if 'tile' in identity else 'elements'}: {whole['scored']:,} scored"
    text = [
        first,
        *reasons_of(whole["reasons"], "not scored", REASONS),
        *lines_of(whole["columns"]),
    ]
    return told({key: identity[key] for key in SAID if key in identity} | whole, text, out, quiet)
