"""What every job opens first, in the same order, so that what is wrong with it is said at once.

The trap: an input that is rewritten in place while a job reads it gives answers of both; so a job
asks an `Unchanged` again after everything that it has read.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.genome.circular import mark_circular
from orchid_genomics.genome.contigs import GenomeNote
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.device import device_of
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.provenance import GenomeOrigin


def open_model_and_genome(
    model: str | Path,
    genome: str | Path,
    device: str,
    aliases: str | Path | None = None,
    circular: Sequence[str | Path] = (),
) -> tuple[OrchidModel, Genome]:
    """A model folder on its device ("auto", "cpu" or "cuda") and a FASTA.

    `aliases` is a file of other names of its contigs (see `genome.contigs.read_aliases`), and
    `circular` says which are read round their origin (see `genome.circular.mark_circular`).

    A GenomeNote says where the model was trained on other genomes. Raises OrchidError where one of
    them is not there.
    """
    # The genome first: it is quickly opened, and a model may take a while.
    fasta = Genome(genome, aliases=aliases)
    mark_circular(fasta, circular, "circular")
    loaded = OrchidModel.from_pretrained(model).to(device_of(device))
    note = foreign_genome(loaded.provenance.genomes, fasta)
    if note:
        warnings.warn(f"{model}: {note}", GenomeNote, stacklevel=2)
    return loaded, fasta


def foreign_genome(origins: Sequence[GenomeOrigin], genome: Genome) -> str:
    """What to say where a genome is none of those that a model was trained on; "" where it is one,
    or where the model does not say.

    A genome is known by its checksum, or by the lengths of its contigs: files of one genome differ
    in compression, case and names.
    """
    lengths = Counter(genome.contigs.values())
    for origin in origins:
        shared = lengths & Counter(origin.contigs.values())
        letters = sum(length * count for length, count in shared.items())
        # Lengths first: the checksum reads the whole file.
        if 2 * letters >= sum(genome.contigs.values()) or origin.sha256 == genome.checksum():
            return ""
    if not origins:
        return ""
    names = [Path(origin.fasta).name for origin in origins]
    return f"was trained on {', '.join(names)}, and {genome.path.name} is another genome"


class Unchanged:
    """A file as it is now; `check` raises InputError once its size or time of change is another."""

    def __init__(self, path: Path, shown: str = "") -> None:
        self.path, self.shown = path, shown or str(path)
        self._state = self._look()

    def check(self) -> None:
        if self._look() != self._state:
            message = "was changed while it was read"
            raise InputError(self.shown, message, "a file that nobody writes to; begin anew")

    def _look(self) -> tuple[int, ...] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        # The inode too: a file that was renamed over this one may have its size and time.
        return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev
