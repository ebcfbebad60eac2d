"""The models that come along, as lines for a person or as JSON: read from their folders, without
torch.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.score_table import scores_of
from orchid_genomics.files import finite
from orchid_genomics.model.catalogue import FILES, MODELS, PROVENANCE
from orchid_genomics.model.provenance import Provenance

_HEADER = ("name", "genome", "bits", "of counts", "window", "licence", "MB")


@dataclass(frozen=True)
class ModelEntry:
    """One model that comes along."""

    name: str
    genome: str
    bits: float | None
    """Masked bits per base of the test contigs; fewer are better, and 2 is a fair draw."""
    counts: float | None
    """The same of the best count model."""
    window: int | None
    """Letters of a window in training."""
    licence: str | None
    bytes: int
    path: str


def models(as_json: bool = False) -> Iterator[str]:
    """Lines about the models that come along with this package and others; one JSON array with
    `as_json`.

    Raises InputError for a folder that is damaged.
    """
    entries = [_entry(name, Path(folder)) for name, folder in MODELS.items()]
    if as_json:
        yield json.dumps(finite([asdict(entry) for entry in entries]), indent=2)
        return
    rows = [_HEADER, *(_cells(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    yield "Any command takes the name as its MODEL; a model folder of that name here goes first."
    yield "bits: per masked base on the test contigs; fewer are better, 2 is chance."


def model_names() -> list[str]:
    """Names of the models that come along, without a look into their folders."""
    return list(MODELS)


def _entry(name: str, folder: Path) -> ModelEntry:
    path = folder / PROVENANCE
    origin = Provenance.read(path)
    bits, counts = None, None
    if origin.evaluation:
        try:
            rows = scores_of(origin.evaluation[0])
            own, *others = [row[0].mean for row in rows.values()]
        # Of values that provenance holds plain.
        except (KeyError, TypeError, IndexError, ValueError) as error:
            message = f"is damaged or not of this tool ({type(error).__name__}: {error})"
            raise InputError(path, message, "the file that pretrain wrote") from None
        bits, counts = own, min(others, default=None)
    genomes = [genome.assembly or genome.fasta for genome in origin.genomes]
    files = [folder / each for each in FILES]
    size = sum(file.stat().st_size for file in files if file.is_file())
    return ModelEntry(
        name=name,
        genome=", ".join(genomes),
        bits=bits,
        counts=counts,
        window=origin.window,
        licence=origin.licence,
        bytes=size,
        path=str(folder),
    )


def _cells(entry: ModelEntry) -> tuple[str, ...]:
    bits, counts = ("-" if each is None else f"{each:.4f}" for each in (entry.bits, entry.counts))
    window = f"{entry.window:,} nt" if entry.window else "-"
    licence, size = entry.licence or "not stated", f"{entry.bytes / 1e6:.1f}"
    return entry.name, entry.genome or "-", bits, counts, window, licence, size
