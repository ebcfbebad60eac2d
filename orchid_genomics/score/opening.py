"""What every job opens and checks before any work, so that its mistakes are said at once and in the same words."""

from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.pretrained import OrchidModel
from orchid_genomics.score.stream import parse_shard
from orchid_genomics.train.ranks import device_of


def destination(
    out: str | Path, source: str | Path | None, shard: str | None, resume: bool
) -> tuple[Path, tuple[int, int]]:
    """Where a job writes, and which part of it: (1, 1) without a `shard`; "-" is standard output.

    Raises InputError for a shard that is none, standard output in parts, or an `out` that is the `source`.
    """
    out, part = Path(out), parse_shard(shard) if shard else (1, 1)
    if str(out) == "-" and (shard or resume):
        raise InputError("--out", "- leaves no parts to resume or merge", "a file")
    if source and out.exists() and Path(source).exists() and out.samefile(source):
        raise InputError("--out", f"{out} is the input", "another name")
    return out, part


def opened(model: str | Path, genome: str | Path, device: str) -> tuple[OrchidModel, Genome]:
    """A model folder on its device ("auto", "cpu" or "cuda") and a FASTA. Raises OrchidError where one is not there."""
    found = Genome(genome)
    return OrchidModel.from_pretrained(model).to(device_of(device)), found
