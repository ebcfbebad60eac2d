"""What every job opens first, in the same order, so that what is wrong with it is said at once."""

from pathlib import Path

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.device import device_of
from orchid_genomics.model.folder import OrchidModel


def open_model_and_genome(
    model: str | Path, genome: str | Path, device: str
) -> tuple[OrchidModel, Genome]:
    """A model folder on its device ("auto", "cpu" or "cuda") and a FASTA.

    Raises OrchidError where one is not there.
    """
    fasta = Genome(genome)  # first, for it is quickly opened and a model may take a while
    return OrchidModel.from_pretrained(model).to(device_of(device)), fasta
