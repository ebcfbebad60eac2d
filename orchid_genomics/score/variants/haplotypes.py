"""A sample's haplotypes against the reference: each of its variants together with the others that
stand beside it on the same haplotype.

The trap: what is about a record comes with it (`genome.genotypes.read_sites`), so that a score
still follows from the record, the sample's haplotype, genome, model and window, whatever block or
shard the record is answered in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from orchid_genomics.genome.genotypes import HAPLOTYPES, Genotype, Site
from orchid_genomics.genome.structural import Rearrangement
from orchid_genomics.genome.vcf import Allele
from orchid_genomics.score.variants.scorers import Column
from orchid_genomics.score.variants.variant_scores import Scores, Scoring
from orchid_genomics.sequence import CODE, DNA, Variant


class HaplotypeScoring(Scoring):
    """Scores of a sample's haplotypes: every column once a haplotype, its name ending in _hap1 or
    _hap2.

    Parameters are those of `Scoring`, with one window.
    """

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the first haplotype, then those of the second."""
        own = self.own_columns
        return tuple(
            replace(
                each,
                name=f"{each.name}_hap{number}",
                about=f"Haplotype {number} of the sample, all its variants there. {each.about}",
            )
            for number in range(1, HAPLOTYPES + 1)
            for each in own
        )

    def score_sites(self, sites: Sequence[Site], contigs: Mapping[str, str]) -> Scores:
        """A row for every ALT of sites, as `Scoring` gives it for records.

        Parameters
        ----------
        sites : with what is about them.
        contigs : the genome's name of each contig of the file that it has.
        """
        rows = [row for site in sites for row in self._rows(site, contigs)]
        # Together: where both haplotypes have the same letters, the passes are shared.
        flat = self([allele for row in rows for allele in row])
        wide = flat.values.reshape(len(rows), -1)
        why, kinds, events = [], [], []
        for first in range(0, len(flat.why), HAPLOTYPES):
            both = range(first, first + HAPLOTYPES)
            # What is scored goes before what is carried and cannot be, and that before the rest.
            best = min(both, key=lambda row: (bool(flat.why[row]), flat.why[row] == "not_carried"))
            why.append(flat.why[best])
            kinds.append(flat.kinds[best])
            events.append(flat.events[best])
        return Scores(self.columns, wide, why, kinds, events)

    def _rows(self, site: Site, contigs: Mapping[str, str]) -> Iterator[tuple[Allele, ...]]:
        """For each ALT what each haplotype has there, or why none."""
        contig = contigs.get(site.record.contig)
        for number, allele in enumerate(site.record.alleles(contig), 1):
            if isinstance(allele, str):
                yield (allele,) * HAPLOTYPES
                continue
            reason, own = self.resolve(allele)
            answers: list[Allele] = []
            for haplotype in range(HAPLOTYPES):
                unknown = reason or _not_there(site.genotype, number, haplotype)
                if unknown or own is None or _is_turned(allele):
                    answers.append(unknown or allele)
                    continue
                others = self._others(site, haplotype, contig)
                answers.append(self._join(own, others) or allele)
            yield tuple(answers)

    def _others(self, site: Site, haplotype: int, contig: str | None) -> list[Variant]:
        """What else the haplotype has about a site, as letters; what cannot be read is left out."""
        others = []
        for each in _same_set(site):
            number = _allele(each.genotype, haplotype) or 0
            for allele in each.record.alleles(contig)[number - 1 : number] if number else ():
                if not isinstance(allele, str) and not _is_turned(allele):
                    others.append(self.resolve(allele)[1])
        return [each for each in others if each is not None]

    def _join(self, own: Variant, others: Sequence[Variant]) -> Variant | None:
        """A variant and the others that fit into the middle half of the window with it, the nearest
        first; what overlaps a nearer one is left out. None where there is no other.
        """
        short = own.trimmed()
        kept, longest = [short], self.longest(own.contig)
        nearest = sorted(
            (each.trimmed() for each in others),
            key=lambda each: (_gap(short, each), each.start, each.alt),
        )
        for each in nearest:
            fits = _size([*kept, each]) <= longest
            if fits and not any(_overlap(each, one) for one in kept):
                kept.append(each)
        return None if len(kept) == 1 else self._spell_together(kept)

    def _spell_together(self, variants: Sequence[Variant]) -> Variant:
        """Several changes of a contig that do not overlap, as one."""
        ordered = sorted(variants, key=lambda each: (each.start, each.end))
        contig, first = ordered[0].contig, ordered[0].start
        last = max(each.end for each in ordered)
        ref = self._letters(contig, first, last)
        parts, at = [], first
        for each in ordered:
            parts += [ref[at - first : each.start - first], each.alt]
            at = each.end
        return Variant(contig, first, ref, "".join([*parts, ref[at - first :]]))

    def _letters(self, contig: str, start: int, end: int) -> str:
        # Two insertions at one place overlap, so the range is never empty.
        return DNA.decode(self.genome.tokens(contig, start, end) & CODE)


def _not_there(genotype: Genotype, number: int, haplotype: int) -> str:
    """Why a haplotype has no allele `number`, or "" where it has."""
    if len(genotype.alleles) > HAPLOTYPES:
        return "ploidy"
    if number in genotype.alleles and not genotype.phased:
        return "unphased"
    return "" if _allele(genotype, haplotype) == number else "not_carried"


def _is_turned(allele: Allele) -> bool:
    """Whether an allele is an inversion: its letters answer to none before, so it stands alone."""
    return isinstance(allele, Rearrangement) and allele.kind == "inversion"


def _allele(genotype: Genotype, haplotype: int) -> int | None:
    """The allele of a haplotype; None where there is none, as on the second of one."""
    alleles = genotype.alleles
    return alleles[haplotype] if haplotype < len(alleles) else None


def _same_set(site: Site) -> list[Site]:
    """The sites about one whose haplotypes are known beside its own.

    Where the site itself is on both haplotypes, the phase set is that of the nearest site that is
    not.
    """
    known = [
        each
        for each in site.near
        if each.genotype.phased and len(each.genotype.alleles) <= HAPLOTYPES
    ]
    apart = [each for each in known if not each.genotype.is_alike]
    name = site.genotype.phase_set
    if site.genotype.is_alike and apart:
        place = site.record.start
        nearest = min(apart, key=lambda each: (abs(each.record.start - place), each.record.start))
        name = nearest.genotype.phase_set
    return [each for each in known if each.genotype.is_alike or each.genotype.phase_set == name]


def _gap(one: Variant, other: Variant) -> int:
    """Letters between two changes."""
    return max(other.start - one.end, one.start - other.end, 0)


def _overlap(one: Variant, other: Variant) -> bool:
    """Whether two changes are of one place, so that they cannot both be made."""
    first, second = sorted((one, other), key=lambda each: (each.start, each.end))
    both_insert = first.start == first.end == second.start == second.end
    return both_insert or first.end > second.start


def _size(variants: Sequence[Variant]) -> int:
    """Letters of the range of several changes, before or after, whichever is more."""
    start = min(each.start for each in variants)
    before = max(each.end for each in variants) - start
    return max(before, before + sum(len(each.alt) - len(each.ref) for each in variants))
