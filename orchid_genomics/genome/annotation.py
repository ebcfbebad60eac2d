"""Genes, coding sequences and promoters of an annotation, GFF3 or GenBank; 0-based half-open.

The trap: on a circular contig a gene may run over the origin. It is two places then, but one gene,
with one 5' end and one promoter.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.files import read_lines
from orchid_genomics.genome.contigs import GenomeNote, note_skipped
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.feature import Feature, around_origin
from orchid_genomics.genome.genbank import read_genbank
from orchid_genomics.genome.gff import TRANSCRIPTS, is_gene, read_gff
from orchid_genomics.sequence import Interval


@dataclass(frozen=True)
class Annotation:
    """The features of a file in file order.

    Attributes
    ----------
    path : Path
    features : tuple of Feature
    lengths : mapping
        Letters of the contigs whose length is known.
    circular : frozenset
        The contigs that are said to be circular.
    sequences : mapping
        The letters that a GenBank file carries.
    """

    path: Path
    features: tuple[Feature, ...]
    lengths: Mapping[str, int]
    circular: frozenset[str] = frozenset()
    sequences: Mapping[str, str] = field(default_factory=dict)

    def genes(self) -> list[Interval]:
        """Genes of every sort (`gene`, `*_gene`, `pseudogene`), named by their locus.

        Where a file has none, the transcripts that stand at the top of it. A gene over a circular
        origin is two intervals.
        """
        return _unique(chain.from_iterable(map(self.parts, self._genes())))

    def coding(self) -> list[Interval]:
        """Every part of every CDS, named by its gene; parts that isoforms share come once."""
        coding = (feature for feature in self.features if feature.kind == "CDS")
        return _unique(chain.from_iterable(map(self.parts, coding)))

    def promoters(self, upstream: int = 500, downstream: int = 0) -> list[Interval]:
        """The letters around the 5' end of every gene, on its strand, cut at the contig's ends.

        Raises InputError where the length of a contig is needed and not known.
        """
        return self.promoters_and_reasons(upstream, downstream)[0]

    def promoters_and_reasons(
        self, upstream: int = 500, downstream: int = 0
    ) -> tuple[list[Interval], dict[str, list[str]]]:
        """`promoters`, and the names of the genes that have none, by the reason."""
        promoters: list[Interval] = []
        without: dict[str, list[str]] = {}
        for gene in self._genes():
            if gene.interval.strand not in "+-":
                without.setdefault("without a strand", []).append(gene.interval.name)
                continue
            promoter = self._promoter(gene.interval, upstream, downstream)
            if promoter is None:
                reason = "at the end of their contig, with no letter before them"
                without.setdefault(reason, []).append(gene.interval.name)
            else:
                promoters.append(promoter)
        return _unique(promoters), without

    def parts(self, feature: Feature) -> list[Interval]:
        """Where a feature lies: one interval, or two where it runs over the origin."""
        interval = feature.interval
        if interval.contig in self.circular and interval.contig in self.lengths:
            return around_origin(interval, self.lengths[interval.contig])
        return [interval]

    def _genes(self) -> list[Feature]:
        genes = [feature for feature in self.features if is_gene(feature)]
        if genes:
            return self._join_at_origin(genes)
        transcripts = (feature for feature in self.features if feature.kind in TRANSCRIPTS)
        tops = [feature for feature in transcripts if "Parent" not in feature.attributes]
        return self._join_at_origin(tops)

    def _join_at_origin(self, features: list[Feature]) -> list[Feature]:
        """The same, with the two rows of one ID that meet at a circular origin as one feature: two
        genes would have two promoters.
        """
        starts: dict[tuple[str, str, str], Feature] = {}
        for feature in features:
            if feature.interval.start == 0 and feature.interval.contig in self.circular:
                starts[_row_key(feature)] = feature
        joined: list[Feature] = []
        absorbed: set[int] = set()
        for feature in features:
            own = feature.interval
            other = starts.get(_row_key(feature)) if "ID" in feature.attributes else None
            if other is not None and other is not feature:
                length = self.lengths.get(own.contig)
                if own.end == length:
                    absorbed.add(id(other))
                    feature = replace(
                        feature, interval=replace(own, end=own.end + len(other.interval))
                    )
            joined.append(feature)
        return [feature for feature in joined if id(feature) not in absorbed]

    def _promoter(self, gene: Interval, upstream: int, downstream: int) -> Interval | None:
        if gene.contig not in self.lengths:
            message = f"the length of contig {gene.contig!r} is not in the file"
            raise InputError(self.path, message, "`genome`, a FASTA, or a ##sequence-region line")
        length = self.lengths[gene.contig]
        five_prime, start = gene.start, gene.start - upstream
        end = gene.start + downstream
        if gene.strand == "-":
            five_prime, start = gene.end - 1, gene.end - downstream
            end = gene.end + upstream
        # from where the 5' end lies; where nothing is left there, from the other side of the origin
        turns = [five_prime // length]
        if gene.contig in self.circular:
            turns += [turns[0] - 1, turns[0] + 1]
        for turn in turns:
            first, last = max(0, start - turn * length), min(end - turn * length, length)
            if first < last:
                return replace(gene, start=first, end=last)
        return None


def _row_key(feature: Feature) -> tuple[str, str, str]:
    """What the rows of one feature have in common."""
    return feature.interval.contig, feature.interval.strand, feature.attributes.get("ID", "")


def read_annotation(path: str | Path, genome: Genome | None = None) -> Annotation:
    """Read GFF3 (Ensembl, RefSeq) or GenBank, plain or gzipped, a file or a pipe.

    Parameters
    ----------
    path : str or Path
    genome : Genome, optional
        Contigs are renamed to its own. Features on contigs that it lacks are left out, and said by
        a GenomeNote.

    Raises
    ------
    InputError
        With the number of a wrong line; for GTF; for a feature off its contig; and with both lists
        of names where no contig is the genome's.
    """
    path = Path(path)
    lines = read_lines(path)
    first = next((numbered for numbered in lines if numbered[1].strip()), None)
    if first is None:
        raise InputError(path, "is empty", "GFF3 or GenBank")
    lines = chain([first], lines)
    records = (read_genbank if first[1].startswith("LOCUS") else read_gff)(path, lines)
    if not records.features:
        raise InputError(path, "has no features", "GFF3 or GenBank with genes")
    for note in records.notes:
        warnings.warn(f"{path}: {note}", GenomeNote, stacklevel=2)
    features, circular = records.features, records.circular
    lengths = records.lengths
    if genome is not None:
        features, names = _on_genome(features, genome, path)
        circular = {names[contig] for contig in circular if contig in names}
        lengths = genome.contigs
        sizes = lengths
    else:
        sizes = records.lengths if records.sequences else {}
    owner = "the file" if genome is None else genome.path.name
    for feature in features:
        length = sizes.get(feature.interval.contig)
        # over the origin a feature may go round once
        turns = 2 if feature.interval.contig in circular else 1
        if length is not None and feature.interval.end > turns * length:
            where = f"{path} line {feature.line}" if feature.line else path
            raise _off_contig(where, feature.interval, length, owner)
    return Annotation(path, tuple(features), dict(lengths), frozenset(circular), records.sequences)


def _on_genome(
    features: list[Feature], genome: Genome, path: Path
) -> tuple[list[Feature], dict[str, str]]:
    """The features on contigs of the genome, under its names; and those names by the file's."""
    contigs = list(dict.fromkeys(feature.interval.contig for feature in features))
    names = genome.shared(contigs, path)
    if not names:
        # Raises, with both lists of names.
        genome.rename(contigs, path)
    placed: list[Feature] = []
    unknown: Counter[str] = Counter()
    for feature in features:
        own = feature.interval
        if own.contig not in names:
            unknown[own.contig] += 1
            continue
        contig = names[own.contig]
        placed.append(replace(feature, interval=replace(own, contig=contig)))
    if unknown:
        note_skipped(path, "features", unknown, genome.path.name)
    return placed, names


def _off_contig(where: object, interval: Interval, length: int, owner: str) -> InputError:
    message = f"end {interval.end:,} is off contig {interval.contig}"
    return InputError(where, message, f"ends up to {length:,} in {owner}")


def _unique(intervals: Iterable[Interval]) -> list[Interval]:
    return list(dict.fromkeys(intervals))
