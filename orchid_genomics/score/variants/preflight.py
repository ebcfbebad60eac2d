"""Before any work on variants: do their contigs and REF letters fit this genome, or is it another
build?
"""

import warnings
from dataclasses import dataclass

from orchid_genomics.errors import InputError
from orchid_genomics.genome.contigs import shared
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.vcf import Record, Survey, Vcf
from orchid_genomics.score.variants.variant_scores import check, mismatch
from orchid_genomics.sequence import CODE, DNA, Variant

MOST = 0.2  # share of sampled records whose REF may differ
FEWEST = 3  # and so many, at least: one slip in a file of two is no other build


def contigs_of(survey: Survey, genome: Genome, where: str) -> dict[str, str]:
    """The genome's name of every contig of a file that it has. Raises InputError with both lists
    when it has none.
    """
    names = shared(survey.contigs, genome.contigs, where, genome.path.name)
    if survey.records and not names:
        genome.rename(survey.contigs, where)
    return names


@dataclass
class Preflight:
    """REF letters of the sample against the genome's: how many could be read, how many differ, how
    many are the ALT.
    """

    checked: int = 0
    differ: int = 0
    swapped: int = 0
    first: str = ""

    def add(self, record: Record, contig: str, genome: Genome) -> None:
        place = Variant(contig, record.start, record.ref, "")
        if place.start < 0 or place.end > genome.contigs[contig] or set(record.ref) - set("ACGT"):
            return
        here = DNA.decode(genome.tokens(contig, place.start, place.end) & CODE)
        if "N" in here:
            return
        self.checked += 1
        if here != record.ref:
            self.differ += 1
            self.swapped += any(
                alt == DNA.decode(genome.tokens(contig, place.start, place.start + len(alt)) & CODE)
                for alt in record.alts
                if alt and not set(alt) - set("ACGT")
            )
            self.first = self.first or f"{record} where the genome has {here}"


def preflight(vcf: Vcf, survey: Survey, names: dict[str, str], genome: Genome) -> Preflight:
    """Check an evenly spaced sample, the same for every shard. Raises InputError when over 20 % of
    it differ in REF.
    """
    found = Preflight()
    for record in (vcf.parse(number, line) for number, line in survey.sample):
        if record.contig in names:
            found.add(record, names[record.contig], genome)
    if found.differ >= FEWEST and found.differ > MOST * found.checked:
        many = f"REF is not the genome's at {found.differ:,} of {found.checked:,} sampled records"
        swapped = f"; the genome has ALT at {found.swapped:,} of them: are REF and ALT swapped?"
        advice = (
            swapped[2:]
            if found.swapped > found.differ / 2
            else f"wrong build? {genome.path.name} must be its genome"
        )
        raise InputError(vcf.shown, f"{many} (the first: {found.first})", advice)
    if not survey.ordered:
        found_ = "is not sorted by place; it is answered in its order, without an index"
        warnings.warn(f"{vcf.shown}: {found_}", UserWarning, stacklevel=2)
    return found


def all_match(vcf: Vcf, names: dict[str, str], genome: Genome) -> None:
    """Raises InputError at the first record whose REF is not the genome's; reads the whole file."""
    for record in vcf.records():
        for variant in record.alleles(names.get(record.contig)):
            if isinstance(variant, Variant) and check(variant, genome) == "ref_mismatch":
                raise mismatch(variant, genome)
