"""What a sample of a VCF carries, on which of its haplotypes.

The trap: 0/1 says that one haplotype has the alternate and not which, and 0|1 says it only among
records of the same phase set (PS).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from orchid_genomics.errors import InputError
from orchid_genomics.genome.contigs import listed
from orchid_genomics.genome.vcf import Record, Vcf

_FORMAT = 8  # the column that names what samples hold
HAPLOTYPES = 2


@dataclass(frozen=True, slots=True)
class Genotype:
    """The allele numbers of a sample at a record: 0 is REF, None is missing.

    Attributes: `alleles` one a haplotype, in order; `phased` whether the order means anything (so
    it does where all are alike); `phase_set` the name of the set within which it does.
    """

    alleles: tuple[int | None, ...]
    phased: bool
    phase_set: str = ""

    @property
    def is_alike(self) -> bool:
        """Whether all haplotypes have the same allele."""
        return len(set(self.alleles)) == 1

    @property
    def carries(self) -> bool:
        """Whether any haplotype has an alternate."""
        return any(self.alleles)


class Site(NamedTuple):
    """A record with what the sample has there, and the carried records about it in order of
    place.
    """

    record: Record
    genotype: Genotype
    near: tuple["Site", ...] = ()


def sample_column(vcf: Vcf, name: str) -> int:
    """The column of a sample. Raises InputError for a file without it."""
    names = vcf.header[-1].decode("utf-8", "replace").rstrip("\r\n").split("\t")[_FORMAT + 1 :]
    if name not in names:
        possible = listed(names) if names else "a VCF with genotypes"
        raise InputError("phased", f"{vcf.shown} has no sample {name!r}", possible)
    return _FORMAT + 1 + names.index(name)


def read_genotype(line: bytes, column: int) -> Genotype:
    """The genotype in a column of a line; of no allele where the line has none."""
    columns = line.rstrip(b"\r\n").split(b"\t")
    keys = columns[_FORMAT].decode("latin-1").split(":")
    fields = dict(zip(keys, columns[column].decode("latin-1").split(":"), strict=False))
    text = fields.get("GT", "")
    phase_set = fields.get("PS", "").removesuffix(".")
    # Since version 4.4 a mark may stand before the first allele as well.
    plain = text.lstrip("|/")
    words = plain.replace("|", "/").split("/")
    if not all(word == "." or word.isdecimal() for word in words):
        return Genotype((), True)
    alleles = tuple(None if word == "." else int(word) for word in words)
    phased = "/" not in plain or len(set(alleles)) == 1
    return Genotype(alleles, phased, phase_set)


def read_sites(vcf: Vcf, column: int, reach: int) -> Iterator[tuple[int, bytes, Site]]:
    """Every record in order: its line number, its line, and the site with those about it.

    Memory is that of the records within `reach` letters of each other. The file must be in order
    of place (`Survey.ordered`).

    Parameters
    ----------
    vcf, column : the file, and the column of the sample.
    reach : letters between the beginnings of two records that are about each other.
    """
    waiting: list[tuple[int, bytes, Site]] = []
    carried: list[Site] = []

    def ready(last: Site | None) -> Iterator[tuple[int, bytes, Site]]:
        """Those that no later record than `last` can be about."""
        while waiting and (last is None or not _is_near(waiting[0][2], last, reach)):
            number, line, site = waiting.pop(0)
            while carried and not _is_near(carried[0], site, reach):
                carried.pop(0)
            # Carried are in order, and may hold those that only later records need.
            near = tuple(
                each for each in carried if each is not site and _is_near(site, each, reach)
            )
            yield number, line, site._replace(near=near)

    for number, line in vcf.lines():
        site = Site(vcf.parse(number, line), read_genotype(line, column))
        yield from ready(site)
        waiting.append((number, line, site))
        if site.genotype.carries:
            carried.append(site)
    yield from ready(None)


def _is_near(one: Site, other: Site, reach: int) -> bool:
    here, there = one.record, other.record
    return here.contig == there.contig and abs(here.start - there.start) <= reach
