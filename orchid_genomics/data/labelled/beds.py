"""Labelled elements: BEDs on a genome, or one FASTA for each class.

A place is read as its BED says, or as `length` letters around its summit or middle, on its strand;
N beyond its contig. The trap: training and scoring must read the same letters, so both ask
`data.peaks` where a window lies.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from orchid_genomics.data.labelled.schema import LabelledRecipe, Rows
from orchid_genomics.data.peaks import window
from orchid_genomics.errors import InputError
from orchid_genomics.files import read_lines
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.circular import mark_circular
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.recipe import RecipePath, Strict
from orchid_genomics.sequence import DNA, Interval


class ClassBed(Strict):
    """A BED whose records share a label; without one, the name column is the label."""

    bed: RecipePath
    """Its records are places of this label."""
    label: str | None = None
    """The label; the name column if not given."""


class BedRecipe(LabelledRecipe):
    """Places on a genome."""

    kind: Literal["bed"] = "bed"
    fasta: RecipePath
    """The genome that places lie on."""
    aliases: RecipePath | None = None
    """Other names of the contigs, two in each line: see `genome.contigs.read_aliases`."""
    classes: tuple[ClassBed, ...] = Field(min_length=1)
    """A BED for each class."""
    length: int | None = Field(default=None, gt=0)
    """Letters around the summit (narrowPeak) or middle of every record; not given, the record."""
    circular: tuple[str, ...] = ()
    """Contigs that are read round their origin."""
    annotation: RecipePath | None = None
    """A GFF3 (`Is_circular=true`) or GenBank (topology `circular`) that says which contigs are."""


class ClassFasta(Strict):
    """A FASTA whose records share a label."""

    fasta: RecipePath
    """Its records are sequences of this label."""
    label: str
    """The label."""


class FastaRecipe(LabelledRecipe):
    """One FASTA a class."""

    kind: Literal["fasta"] = "fasta"
    classes: tuple[ClassFasta, ...] = Field(min_length=2)
    """A FASTA for each class."""


def read_beds(recipe: BedRecipe) -> Rows:
    """The records of every BED. Raises InputError with file and line for a place off the genome, or
    without a label.
    """
    genome = Genome(recipe.fasta, aliases=recipe.aliases)
    said = () if recipe.annotation is None else (recipe.annotation,)
    mark_circular(genome, (*recipe.circular, *said), "data.circular")
    where, places, labels, tokens = [], [], [], []
    for part in recipe.classes:
        bed = read_bed(part.bed, genome)
        # a record that is read as it is needs no summit, and a wrong one does not matter
        summits = [None] * len(bed) if recipe.length is None else bed.summits()
        for number, (place, summit) in enumerate(zip(bed, summits, strict=True), 1):
            # From here on the place is what is read, and no longer the record.
            if recipe.length is not None:
                place = window(place, recipe.length, summit)
                place = _on_circle(place, genome)
            where.append(f"{part.bed} record {number}")
            places.append(place)
            labels.append(part.label if part.label is not None else place.name)
            tokens.append(genome.tokens(place.contig, place.start, place.end, place.strand))
    name = ", ".join(part.bed.name for part in recipe.classes)
    return Rows(name, where, tokens, labels, places=[_bare(place) for place in places])


def read_fastas(recipe: FastaRecipe) -> Rows:
    """The records of every FASTA, plain or gzipped. Raises InputError with the line."""
    where, tokens, labels = [], [], []
    for part in recipe.classes:
        for line, letters in _records(part.fasta):
            where.append(f"{part.fasta} line {line}")
            tokens.append(DNA.encode(letters, where[-1]))
            labels.append(part.label)
    return Rows(", ".join(part.fasta.name for part in recipe.classes), where, tokens, labels)


def _records(path: Path) -> list[tuple[int, str]]:
    """Line and letters of every record of a FASTA of short sequences, read in one go."""
    records: list[tuple[int, list[str]]] = []
    for number, line in read_lines(path):
        if line.startswith(">"):
            records.append((number, []))
        elif line.strip():
            if not records:
                where = f"{path} line {number}"
                message = "is no FASTA (no > before the letters)"
                raise InputError(where, message, "> and a name first")
            records[-1][1].append(line.strip())
    if not records:
        raise InputError(path, "has no record", "a FASTA")
    return [(number, "".join(parts)) for number, parts in records]


def _on_circle(place: Interval, genome: Genome) -> Interval:
    """A window as the table of a labelled set has it: on a contig without ends from one of its
    letters on.
    """
    size = genome.contigs[place.contig]
    if place.contig not in genome.circular or len(place) > size:
        return place
    start = place.start % size
    return replace(place, start=start, end=start + len(place))


def _bare(place: Interval) -> Interval:
    return Interval(place.contig, place.start, place.end, place.strand)
