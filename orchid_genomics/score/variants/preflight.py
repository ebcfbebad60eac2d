"""Before any work on variants: do their contigs and REF letters fit this genome?

The trap: a file of another build has most of its contigs, and a third of its REF letters, right.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from orchid_genomics.errors import InputError
from orchid_genomics.genome.contigs import GenomeNote
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.structural import Rearrangement
from orchid_genomics.genome.vcf import Record, Survey, Vcf
from orchid_genomics.score.variants.variant_scores import check, fill_n, mismatch_error
from orchid_genomics.sequence import CODE, DNA, Variant

MOST = 0.2  # share of sampled records whose REF may differ
FEWEST = 3  # and so many, at least: one slip in a file of two is no other build


def contigs_of(survey: Survey, genome: Genome, where: str) -> dict[str, str]:
    """The genome's name of every contig of a file that it has.

    Raises InputError with both lists when it has none.
    """
    names = genome.shared(survey.contigs, where)
    if survey.records and not names:
        genome.rename(survey.contigs, where)
    return names


@dataclass
class Preflight:
    """REF letters of a sample against the genome's.

    Attributes: `checked` how many could be read; `differ` how many of those are not the genome's;
    `swapped` how many of those have an ALT that is; `first` the first that differs, in words.
    """

    checked: int = 0
    differ: int = 0
    swapped: int = 0
    first: str = ""

    def add(self, record: Record, contig: str, genome: Genome) -> None:
        end = record.start + len(record.ref)
        if record.start < 0 or end > genome.contigs[contig] or set(record.ref) - set("ACGT"):
            return
        here = _letters(genome, contig, record.start, len(record.ref))
        if "N" in here:
            return
        self.checked += 1
        if here == record.ref:
            return
        self.differ += 1
        self.first = self.first or f"{record} where the genome has {here}"
        for alt in record.alts:
            plain = alt and not set(alt) - set("ACGT")
            if plain and alt == _letters(genome, contig, record.start, len(alt)):
                self.swapped += 1
                break


def preflight(vcf: Vcf, survey: Survey, names: Mapping[str, str], genome: Genome) -> Preflight:
    """Check an evenly spaced sample, the same for every shard.

    Raises InputError when over 20 % of it differ in REF.
    """
    sample = Preflight()
    for number, line in survey.sample:
        record = vcf.parse(number, line)
        if record.contig in names:
            sample.add(record, names[record.contig], genome)
    if sample.differ >= FEWEST and sample.differ > MOST * sample.checked:
        share = f"{sample.differ:,} of {sample.checked:,} sampled records"
        message = f"REF is not the genome's at {share} (the first: {sample.first})"
        if sample.swapped > sample.differ / 2:
            count = f"the genome has ALT at {sample.swapped:,} of them"
            raise InputError(vcf.shown, message, f"{count}: are REF and ALT swapped?")
        raise InputError(vcf.shown, message, f"wrong build? {genome.path.name} must be its genome")
    if survey.ref_n:
        note = f"REF has N at {survey.ref_n:,} records; the genome's letters are read there"
        warnings.warn(f"{vcf.shown}: {note}", GenomeNote, stacklevel=2)
    if not survey.ordered:
        note = "is not sorted by place; it is answered in its order, without an index"
        warnings.warn(f"{vcf.shown}: {note}", UserWarning, stacklevel=2)
    return sample


def _letters(genome: Genome, contig: str, start: int, size: int) -> str:
    return DNA.decode(genome.tokens(contig, start, start + size) & CODE)


def all_match(vcf: Vcf, names: Mapping[str, str], genome: Genome) -> None:
    """Raises InputError at the first record whose REF is not the genome's; reads the whole file."""
    for record in vcf.records():
        for allele in record.alleles(names.get(record.contig)):
            variant = allele.recorded if isinstance(allele, Rearrangement) else allele
            if (
                isinstance(variant, Variant)
                and check(fill_n(variant, genome), genome) == "ref_mismatch"
            ):
                raise mismatch_error(variant, genome)
