"""A BED and a model become an HDF5 of vectors (`data.embeddings`); every element has its row, in
order.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orchid_genomics import __version__
from orchid_genomics.data.embeddings import Part, write_embeddings
from orchid_genomics.files import atomic_file
from orchid_genomics.genome.bed import Record
from orchid_genomics.jobs.engine import Job, run_job
from orchid_genomics.jobs.inputs import Unchanged, open_model_and_genome
from orchid_genomics.jobs.output import destination, kind_of
from orchid_genomics.jobs.summary import Stats, reason_lines
from orchid_genomics.jobs.task import Format, Identity, Task, register
from orchid_genomics.score.elements.element_files import ElementFile
from orchid_genomics.score.elements.element_scores import LONGEST, REASONS, check
from orchid_genomics.score.elements.vectors import ElementVectors, Pooling
from orchid_genomics.score.variants.variant_scores import trained_length

BLOCK = 256  # elements that are answered, saved and lost together
_LETTERS = 1 << 19  # of a block, where every letter has a vector


class EmbedIdentity(Identity):
    """What decides a byte of a file of embeddings."""

    summary_fields = ("model", "genome", "input", "pool", "strand", "window", "dtype")

    input: str
    version: str
    model: str
    genome: str
    pool: Pooling
    strand: Literal["both", "forward"]
    window: int
    dtype: Literal["float32", "float16"]

    @property
    def about(self) -> dict[str, Any]:
        """The attributes of the file."""
        return self.model_dump(exclude={"kind", "input", "dtype"}, exclude_none=True)


class Embed(Task[EmbedIdentity]):
    """The job of `embed`."""

    name = "embed"
    unit = "elements"
    identity = EmbedIdentity
    reasons = REASONS

    def format(self, identity: EmbedIdentity) -> Format:
        return VectorsFormat(identity.about, identity.dtype)

    def lines(self, identity: EmbedIdentity, summary: Stats) -> Iterable[str]:
        count = f"{summary['elements']:,} elements: {summary['embedded']:,} embedded"
        each = {"mean": "one vector each", "none": "one vector a letter"}[identity.pool]
        seen = f"in windows of {identity.window:,} nt" if identity.window else "alone"
        yield f"{count}, {each}, seen {seen}"
        yield f"  strand {identity.strand}"
        yield from reason_lines(summary["reasons"], "not embedded", self.reasons)


TASK = Embed()
register(TASK)


def embed(
    model: str | Path,
    genome: str | Path,
    elements: str | Path,
    out: str | Path,
    pool: Pooling = "mean",
    strand: Literal["auto", "both", "forward"] = "auto",
    window: int | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    shard: str | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
    aliases: str | Path | None = None,
    circular: Sequence[str | Path] = (),
) -> Stats | None:
    """Embed the elements of a BED into the HDF5 `out`; see the command's help.

    `aliases` is a file of other names of the contigs of `genome`: two columns, two names a line.
    `circular` names those that are read round their origin, or annotations that say which are.

    Returns the summary, which is also in ``<out>.summary.json`` and, unless `quiet`, on stderr;
    None for a shard. Raises InputError for inputs or options that cannot be, before any work.
    """
    where = destination(out, (elements, genome), shard, resume)
    kind = kind_of(where.out, ("h5", "hdf5"))
    unchanged = Unchanged(Path(genome))
    loaded, fasta = open_model_and_genome(model, genome, device, aliases, circular)
    file = ElementFile.survey(elements, fasta)
    if strand == "auto":
        strand = "forward" if file.stranded else "both"
    head = loaded.recipe.head
    if window is None:
        window = trained_length(loaded) if head is None or head.kind == "letters" else 0
    vectors = ElementVectors(loaded.only_encoder(model), fasta, window, pool, strand)
    identity = EmbedIdentity(
        kind=kind,
        input=file.checksum,
        version=__version__,
        model=loaded.hash(),
        genome=fasta.checksum(),
        pool=pool,
        strand=strand,
        window=window,
        dtype=dtype,
    )
    # Elements beyond LONGEST are refused, and need no room.
    block = BLOCK if pool == "mean" else max(1, min(BLOCK, _LETTERS // min(file.longest, LONGEST)))
    return run_job(
        Job(TASK, identity.of_inputs(fasta), where, len(file), block),
        Elements(file, vectors, unchanged),
        quiet,
    )


@dataclass(frozen=True)
class Elements:
    """The elements of a BED, to be embedded."""

    file: ElementFile
    vectors: ElementVectors
    genome: Unchanged

    def __len__(self) -> int:
        return len(self.file)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.file)

    def answer(self, records: list[Record]) -> tuple[Part, Stats]:
        """A part of the file, and stats."""
        intervals = [self.file.interval(record) for record in records]
        why = [check(interval, self.vectors.genome) for interval in intervals]
        known = [each for each, reason in zip(intervals, why, strict=True) if not reason]
        vectors = iter(self.vectors(known))
        count = 1 if self.vectors.pool == "mean" else 0
        # An element without a vector: one row of NaN, or of its letters none.
        nothing = np.full((count, self.vectors.width), np.nan, np.float32)
        rows = [nothing if reason else next(vectors) for reason in why]
        # Contigs as the BED names them, and not as the genome does.
        written = [record.place for record in records]
        part = {
            "vectors": np.concatenate(rows),
            "letters": np.array([len(row) for row in rows], np.int64),
            "chrom": np.array([interval.contig for interval in written]),
            "start": np.array([interval.start for interval in written], np.int64),
            "end": np.array([interval.end for interval in written], np.int64),
            "strand": np.array([interval.strand for interval in written]),
            "name": np.array([interval.name for interval in written]),
            "why": np.array(why),
        }
        reasons = Counter(reason for reason in why if reason)
        return part, {
            "elements": len(why),
            "embedded": len(known),
            "reasons": dict(sorted(reasons.items())),
        }

    def check_inputs(self) -> None:
        self.file.unchanged.check()
        self.genome.check()


@dataclass(frozen=True)
class VectorsFormat(Format):
    """Parts as npz, joined to one HDF5.

    Attributes: `about` its attributes; `dtype` of the vectors.
    """

    about: dict[str, Any]
    dtype: str

    def write(self, answers: Any, part: Path) -> None:
        with part.open("wb") as file:
            np.savez(file, **answers)

    def join(self, parts: Iterable[Path], out: Path) -> None:
        readers = [partial(_read, part) for part in parts]
        with atomic_file(out) as temporary:
            write_embeddings(temporary, self.about, readers, self.dtype)


def _read(part: Path) -> Part:
    with np.load(part) as saved:
        return dict(saved)
