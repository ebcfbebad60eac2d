"""A BED and a model become an HDF5 of vectors (`data.embeddings`); every element has its row, in
order.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orchid_genomics import __version__
from orchid_genomics.data.embeddings import Part, write_embeddings
from orchid_genomics.files import replacing
from orchid_genomics.genome.bed import Record
from orchid_genomics.jobs.engine import Job, Stats, stream
from orchid_genomics.jobs.inputs import opened
from orchid_genomics.jobs.output import destination, kind_of
from orchid_genomics.score.elements.element_files import ElementFile
from orchid_genomics.score.elements.element_scores import LONGEST, REASONS, check
from orchid_genomics.score.elements.vectors import ElementVectors, Pooling
from orchid_genomics.score.summary import reasons_of, told, total
from orchid_genomics.score.variants.variant_scores import trained_length

TASK = "embed"
SAID = ("model", "genome", "input", "pool", "strand", "window", "dtype")
BLOCK = 256  # elements that are answered, saved and lost together
_LETTERS = 1 << 19  # of a block, where every letter has a vector


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
) -> Stats | None:
    """Embed the elements of a BED into the HDF5 `out`; see the command's help.

    Returns the summary, which is also in ``<out>.summary.json`` and, unless `quiet`, on stderr;
    None for a shard. Raises InputError for inputs or options that cannot be, before any work.
    """
    out, part = destination(out, elements, shard, resume)
    kind = kind_of(out, ("h5", "hdf5"))
    loaded, fasta = opened(model, genome, device)
    file = ElementFile.survey(elements, fasta)
    if strand == "auto":
        strand = "forward" if file.stranded else "both"
    head = loaded.recipe.head
    if window is None:
        window = trained_length(loaded) if head is None or head.kind == "letters" else 0
    vectors = ElementVectors(loaded.encoder, fasta, window, pool, strand)
    about = {"version": __version__, "model": loaded.hash(), "genome": fasta.checksum()}
    about |= {"pool": pool, "strand": strand, "window": window}
    identity = {"input": file.checksum, **about, "dtype": dtype, "kind": kind, "about": list(about)}
    block = BLOCK if pool == "mean" else max(1, min(BLOCK, _LETTERS // min(file.longest, LONGEST)))
    job = Job(TASK, out, identity, file.records, block, part, resume)
    blocks = stream(job, file, _answerer(file, vectors), form(identity), "elements", quiet)
    return None if blocks is None else finish(blocks, identity, out, quiet)


def _answerer(file: ElementFile, vectors: ElementVectors) -> Callable:
    """A function from the records of a block to its part of the file, and stats."""

    def answer(records: Sequence[Record]) -> tuple[Part, Stats]:
        places = [file.place(record) for record in records]
        why = [check(place, vectors.genome) for place in places]
        found = iter(
            vectors([place for place, reason in zip(places, why, strict=True) if not reason])
        )
        none = np.full((1 if vectors.pool == "mean" else 0, vectors.width), np.nan, np.float32)
        rows = [none if reason else next(found) for reason in why]
        shown = [record.place for record in records]
        part = {
            "vectors": np.concatenate(rows),
            "letters": np.array([len(row) for row in rows], np.int64),
            "chrom": np.array([place.contig for place in shown]),
            "start": np.array([place.start for place in shown], np.int64),
            "end": np.array([place.end for place in shown], np.int64),
            "strand": np.array([place.strand for place in shown]),
            "name": np.array([place.name for place in shown]),
            "why": np.array(why),
        }
        reasons = {reason: why.count(reason) for reason in sorted({*why} - {""})}
        return part, {"elements": len(why), "embedded": why.count(""), "reasons": reasons}

    return answer


@dataclass(frozen=True)
class VectorsFormat:
    """Parts as npz, joined to one HDF5. Parameters: `about` its attributes; `dtype` of the vectors."""

    about: dict[str, Any]
    dtype: str

    def write(self, answers: Part, part: Path) -> None:
        with part.open("wb") as file:
            np.savez(file, **answers)

    def join(self, parts: Iterable[Path], out: Path) -> None:
        with replacing(out) as temporary:
            write_embeddings(
                temporary, self.about, [partial(_read, part) for part in parts], self.dtype
            )


def _read(part: Path) -> Part:
    with np.load(part) as saved:
        return dict(saved)


def form(identity: dict[str, Any]) -> VectorsFormat:
    """How the parts of a job are written and joined."""
    return VectorsFormat({name: identity[name] for name in identity["about"]}, identity["dtype"])


def finish(
    blocks: Sequence[Stats], identity: dict[str, Any], out: Path, quiet: bool = False
) -> Stats:
    """The summary of a job that is whole: said on stderr, written beside its output."""
    whole = total(blocks)
    how = {"mean": "one vector each", "none": "one vector a letter"}[identity["pool"]]
    seen = f"in windows of {identity['window']:,} nt" if identity["window"] else "alone"
    first = f"{whole['elements']:,} elements: {whole['embedded']:,} embedded, {how}, seen {seen}"
    text = [
        first,
        f"  strand {identity['strand']}",
        *reasons_of(whole["reasons"], "not embedded", REASONS),
    ]
    return told({key: identity[key] for key in SAID} | whole, text, out, quiet)
