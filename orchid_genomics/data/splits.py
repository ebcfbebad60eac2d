"""Which letters of a genome train and which are held out; contig names are mapped before any work.

Regions of a BED may hold out parts of a training contig; windows that touch them are no training
windows.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from orchid_genomics.data.windows import Windows
from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.circular import circular_contigs
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import Regions, merge, union
from orchid_genomics.recipe import RecipePath, Strict
from orchid_genomics.sequence import Interval


class FunctionalRecipe(Strict):
    """A share of a genome's windows that is drawn from around the regions of a BED."""

    bed: RecipePath
    """The regions, 0-based half-open."""
    share: float = Field(gt=0, le=1)
    """Of all windows that are drawn."""


class GenomeRecipe(Strict):
    """One `[[genomes]]` block: a FASTA, how often it is drawn, and what is held out of it.

    An empty `train` means every contig that is in no other split. `regions` keeps training to the
    regions of a BED; `exclude` names BEDs that no training window may touch; letters in the BEDs of
    `soft` train as if they were lower case, with the objective's `soft_weight`. `aliases` is a file
    of other names of the contigs, two in each line (see `genome.contigs.read_aliases`).
    """

    fasta: RecipePath
    """Plain or bgzipped FASTA."""
    aliases: RecipePath | None = None
    """Other names of the contigs, two in each line: see `genome.contigs.read_aliases`."""
    assembly: str | None = None
    """What the genome is called elsewhere, such as "R64-1-1 (sacCer3)"; for the model's card."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """How often it is drawn, beside other genomes and for its size."""
    train: tuple[str, ...] = ()
    """Contigs to train on; none: all that are in no other split."""
    validation: tuple[str, ...] = ()
    """Contigs held out to choose the best weights by."""
    test: tuple[str, ...] = ()
    """Contigs held out for the tables at the end."""
    ignore: tuple[str, ...] = ()
    """Contigs in no split, such as mitochondria."""
    validation_bed: RecipePath | None = None
    """Regions of training contigs held out for validation."""
    test_bed: RecipePath | None = None
    """Regions of training contigs held out for the test."""
    exclude: tuple[RecipePath, ...] = ()
    """BEDs that no training window may touch."""
    soft: tuple[RecipePath, ...] = ()
    """BEDs whose letters train as if they were lower case."""
    regions: RecipePath | None = None
    """A BED that training keeps to."""
    functional: tuple[FunctionalRecipe, ...] = ()
    """Shares of the windows that are drawn from around regions of BEDs."""
    circular: tuple[str, ...] = ()
    """Contigs that are read round their origin."""
    annotation: RecipePath | None = None
    """A GFF3 (`Is_circular=true`) or GenBank (topology `circular`) that says which contigs are."""

    @field_validator("functional")
    @classmethod
    def _shares(cls, functional: tuple[FunctionalRecipe, ...]) -> tuple[FunctionalRecipe, ...]:
        total = sum(part.share for part in functional)
        # Shares such as 0.1 do not sum to 1 exactly.
        if total > 1 + 1e-9:
            raise PydanticCustomError(
                "shares", "the shares sum to {total}; at most 1", {"total": f"{total:g}"}
            )
        return functional


@dataclass(frozen=True)
class Split:
    """One genome, divided: `contigs` names by split, `held_out` disjoint places by split."""

    genome: Genome
    contigs: dict[str, tuple[str, ...]]
    held_out: dict[str, list[Interval]]
    excluded: list[Interval]
    soft: Regions
    """Letters that train as lower case, beside those that are."""

    @classmethod
    def of(cls, recipe: GenomeRecipe, key: str) -> "Split":
        """Open the genome and resolve every name; `key` is the recipe's path to the block, for
        messages.

        Raises InputError for a contig that does not exist, RecipeError for letters in two splits.
        """
        genome = Genome(recipe.fasta, aliases=recipe.aliases)
        named = genome.rename(recipe.circular, f"{key}.circular")
        said = circular_contigs(recipe.annotation, genome) if recipe.annotation else []
        genome.circular = frozenset([*named.values(), *said])
        contigs: dict[str, tuple[str, ...]] = {}
        owner: dict[str, str] = {}
        for split in ("train", "validation", "test", "ignore"):
            names = getattr(recipe, split)
            given = genome.rename(names, f"{key}.{split}")
            contigs[split] = tuple(dict.fromkeys(given[name] for name in names))
            for contig in contigs[split]:
                if owner.setdefault(contig, split) != split:
                    message = f"{contig} is in both {owner[contig]} and {split}"
                    raise RecipeError(key, message, "one split a contig")
        rest = tuple(contig for contig in genome.contigs if contig not in owner)
        contigs["ignore" if recipe.train else "train"] += rest
        held_out = {}
        for split, bed in (("validation", recipe.validation_bed), ("test", recipe.test_bed)):
            whole = [Interval(contig, 0, genome.contigs[contig]) for contig in contigs[split]]
            parts = read_regions(bed, genome) if bed else []
            if bed and not parts:
                advice = f"regions to hold out for {split}, or no {split}_bed"
                raise InputError(bed, "has no record", advice)
            held_out[split] = merge([*whole, *parts])
        _refuse_overlap(held_out, key)
        excluded = [read_regions(bed, genome) for bed in recipe.exclude]
        soft = [read_regions(bed, genome) for bed in recipe.soft]
        light = Regions.from_intervals(sorted(chain.from_iterable(soft)))
        return cls(genome, contigs, held_out, merge(chain.from_iterable(excluded)), light)

    @cached_property
    def held_out_places(self) -> Regions:
        return Regions.from_intervals([*self.held_out["validation"], *self.held_out["test"]])

    def bases(self) -> dict[str, int]:
        """Letters of every split; held-out regions count where they are held out, not in their
        contig.
        """
        sizes = self.genome.contigs
        held = list(chain.from_iterable(self.held_out.values()))
        bases = {}
        for split in ("train", "ignore"):
            inside = set(self.contigs[split])
            bases[split] = sum(sizes[contig] for contig in inside)
            bases[split] -= sum(len(each) for each in held if each.contig in inside)
        for split, intervals in self.held_out.items():
            bases[split] = sum(map(len, intervals))
        return bases

    def overlap(self, windows: Windows, jitter: int) -> int:
        """Held-out letters that the windows, moved by up to `jitter`, could read.

        By counting the letters of unions, and so independently of how `Windows.without` searches.
        """
        names = {name: code for code, name in enumerate(windows.names)}
        # all contigs on one line, with a gap between them so that none are joined
        before = np.cumsum(windows.sizes + 1) - windows.sizes
        rows, starts, ends = windows.letters_read(jitter)
        starts = starts + before[windows.contig[rows]]
        ends = ends + before[windows.contig[rows]]
        held = list(chain.from_iterable(self.held_out.values()))
        offset = np.fromiter((before[names[each.contig]] for each in held), np.int64, len(held))
        held_starts = np.fromiter((each.start for each in held), np.int64, len(held)) + offset
        held_ends = np.fromiter((each.end for each in held), np.int64, len(held)) + offset
        both = np.concatenate([starts, held_starts]), np.concatenate([ends, held_ends])
        return _letters(starts, ends) + _letters(held_starts, held_ends) - _letters(*both)


def read_regions(bed: Path, genome: Genome) -> list[Interval]:
    """The places of a BED, each once, whatever their names and strands.

    Those on contigs that the genome lacks are left out, and said by a GenomeNote.
    """
    bare = {Interval(each.contig, each.start, each.end) for each in read_bed(bed, genome)}
    return sorted(bare)


def _letters(starts: np.ndarray, ends: np.ndarray) -> int:
    starts, ends = union(starts, ends)
    return int((ends - starts).sum())


def _refuse_overlap(held_out: dict[str, list[Interval]], key: str) -> None:
    tests = Regions.from_intervals(held_out["test"])
    for interval in held_out["validation"]:
        start, end = np.array([interval.start]), np.array([interval.end])
        if tests.touches(interval.contig, start, end)[0]:
            message = f"{interval} (1-based) is held out for both validation and test"
            raise RecipeError(key, message, "disjoint splits")
