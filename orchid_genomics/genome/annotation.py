"""Genes, CDS and promoters of an annotation; GFF3 and GenBank are 1-based and closed, all here is
0-based half-open.
"""

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from orchid_genomics.errors import InputError
from orchid_genomics.files import read_lines
from orchid_genomics.genome.bed import on_genome
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import Interval

_TRANSCRIPTS = ("mRNA", "transcript")
_WHOLE = ("chromosome", "region", "contig", "scaffold", "supercontig")
_NAMES = ("gene_id", "locus_tag", "ID", "Name", "gene")


@dataclass(frozen=True)
class Feature:
    """One line of an annotation: what it is, where, and its attributes (the first value of each)."""

    kind: str
    place: Interval
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Annotation:
    """The features of a file in file order. Attributes: `lengths`, letters of the contigs whose
    length is known; `sequences`, the letters that a GenBank file carries.
    """

    path: Path
    features: tuple[Feature, ...]
    lengths: Mapping[str, int]
    sequences: Mapping[str, str] = field(default_factory=dict)

    def genes(self) -> list[Interval]:
        """Genes of every sort (`gene`, `*_gene`, `pseudogene`), named by their locus.

        Where a file has none, the transcripts that stand at the top of it.
        """
        found = [part for part in self.features if _is_gene(part)]
        tops = [
            part
            for part in self.features
            if part.kind in _TRANSCRIPTS and "Parent" not in part.attributes
        ]
        return _unique(part.place for part in found or tops)

    def coding(self) -> list[Interval]:
        """Every part of every CDS, named by its gene; parts that isoforms share come once."""
        return _unique(part.place for part in self.features if part.kind == "CDS")

    def promoters(self, upstream: int = 500, downstream: int = 0) -> list[Interval]:
        """The letters around the 5' end of every gene that has a strand, on that strand, cut at the
        contig's ends.

        Raises InputError where the length of a contig is needed and not known.
        """
        places = (
            _promoter(gene, upstream, downstream) for gene in self.genes() if gene.strand in "+-"
        )
        return _unique(self._cut(contig, start, end, gene) for contig, start, end, gene in places)

    def _cut(self, contig: str, start: int, end: int, gene: Interval) -> Interval | None:
        if contig not in self.lengths:
            found = f"the length of contig {contig!r} is not in the file"
            raise InputError(self.path, found, "--genome FASTA, or a ##sequence-region line")
        start, end = max(0, start), min(end, self.lengths[contig])
        return Interval(contig, start, end, gene.strand, gene.name) if start < end else None


def read_annotation(path: str | Path, genome: Genome | None = None) -> Annotation:
    """Read GFF3 (Ensembl, RefSeq) or GenBank, plain or gzipped; features across a circular origin
    become two.

    With a genome, contigs are renamed to its own and every feature must lie on them. Raises
    InputError with the line number for a wrong line, for GTF, and with both lists of names for an
    unknown contig.
    """
    path = Path(path)
    first = next((line for _, line in read_lines(path) if line.strip()), None)
    if first is None:
        raise InputError(path, "is empty", "GFF3 or GenBank")
    annotation, lines = _genbank(path) if first.startswith("LOCUS") else _gff(path)
    if not annotation.features:
        raise InputError(path, "has no features", "GFF3 or GenBank with genes")
    if genome is None:
        return annotation
    places = on_genome([part.place for part in annotation.features], genome, path, lines)
    features = tuple(
        Feature(part.kind, place, part.attributes)
        for part, place in zip(annotation.features, places, strict=True)
    )
    return Annotation(path, features, dict(genome.contigs), annotation.sequences)


def _gff(path: Path) -> tuple[Annotation, list[int]]:
    rows, lines, lengths = [], [], {}
    for number, line in read_lines(path):
        if line.startswith(("##FASTA", ">")):
            break
        if line.startswith("##sequence-region"):
            words = line.split()
            if len(words) == 4 and words[2] == "1" and words[3].isdecimal():
                lengths[unquote(words[1])] = int(words[3])
        if not line.strip() or line.startswith("#"):
            continue
        row = _gff_row(line, f"{path} line {number}")
        if row.kind in _WHOLE and row.place.start == 0:
            lengths.setdefault(row.place.contig, row.place.end)
        rows.append(row)
        lines.append(number)
    circular = {row.place.contig for row in rows if row.attributes.get("Is_circular") == "true"}
    parents = {row.attributes["ID"]: row for row in rows if "ID" in row.attributes}
    features, numbers = [], []
    for row, number in zip(rows, lines, strict=True):
        name = _locus(row, parents) if _is_gene(row) or row.kind in ("CDS", *_TRANSCRIPTS) else ""
        for place in _around(row.place, name, lengths if row.place.contig in circular else {}):
            features.append(Feature(row.kind, place, row.attributes))
            numbers.append(number)
    return Annotation(path, tuple(features), lengths), numbers


def _gff_row(line: str, where: str) -> Feature:
    words = line.split("\t")
    if len(words) != 9:
        raise InputError(where, f"{len(words)} columns between tabs", "the 9 columns of GFF3")
    if re.match(r'\w+ "', words[8]):
        raise InputError(where, "is GTF or GFF2", "GFF3, such as gffread in.gtf -o out.gff3 writes")
    if not (words[3].isdecimal() and words[4].isdecimal()):
        raise InputError(where, f"place {words[3]!r} to {words[4]!r}", "whole numbers, 1-based")
    start, end = int(words[3]) - 1, int(words[4])
    if not 0 <= start < end:
        raise InputError(where, f"place {words[3]} to {words[4]}", "1-based, start not above end")
    if words[6] not in ("+", "-", ".", "?"):
        raise InputError(where, f"strand {words[6]!r}", "+, -, . or ?")
    pairs = (pair.strip().partition("=") for pair in words[8].split(";") if "=" in pair)
    attributes = {key: unquote(value.split(",")[0]) for key, _, value in pairs}
    strand = "." if words[6] == "?" else words[6]
    return Feature(words[2], Interval(unquote(words[0]), start, end, strand), attributes)


def _is_gene(part: Feature) -> bool:
    top = "Parent" not in part.attributes
    return top and (part.kind in ("gene", "pseudogene") or part.kind.endswith("_gene"))


def _locus(row: Feature, parents: Mapping[str, Feature]) -> str:
    """The name of the gene above a row, without the prefix (gene:, gene-) that Ensembl and RefSeq
    put on it.
    """
    seen: set[str] = set()
    while (above := row.attributes.get("Parent")) in parents and above not in seen:
        seen.add(above)
        row = parents[above]
    name = next((row.attributes[key] for key in _NAMES if key in row.attributes), "")
    return re.sub(r"^(gene|transcript|mRNA|rna|cds|CDS)[:-]", "", name).replace("\t", " ")


def _around(place: Interval, name: str, lengths: Mapping[str, int]) -> Iterator[Interval]:
    """A place, or its two parts where it runs across the end of a circular contig."""
    length = lengths.get(place.contig, place.end)
    if place.start < length:
        yield Interval(place.contig, place.start, min(place.end, length), place.strand, name)
    if place.end > length:
        yield Interval(
            place.contig, max(0, place.start - length), place.end - length, place.strand, name
        )


def _promoter(gene: Interval, upstream: int, downstream: int) -> tuple[str, int, int, Interval]:
    if gene.strand == "-":
        return gene.contig, gene.end - downstream, gene.end + upstream, gene
    return gene.contig, gene.start - upstream, gene.start + downstream, gene


def _unique(places: Iterable[Interval | None]) -> list[Interval]:
    return list(dict.fromkeys(place for place in places if place is not None))


def _genbank(path: Path) -> tuple[Annotation, list[int]]:
    from Bio import SeqIO  # a third of a second to import
    from Bio.Seq import UndefinedSequenceError

    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    features, lengths, sequences = [], {}, {}
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if packed
            else path.open(encoding="utf-8") as text
        ):
            for record in SeqIO.parse(text, "genbank"):
                if record.id in lengths:
                    raise InputError(path, f"two records are named {record.id!r}", "one name each")
                lengths[record.id], sequences[record.id] = len(record.seq), str(record.seq)
                for part in record.features:
                    features.extend(_genbank_parts(part, record.id, len(record.seq)))
    except UndefinedSequenceError:
        raise InputError(
            path, f"record {record.id} has no sequence", "GenBank (full), with an ORIGIN"
        ) from None
    except (ValueError, AssertionError, OSError, EOFError) as error:
        raise InputError(
            path, f"is no GenBank file ({str(error).splitlines()[0]})", "LOCUS to //"
        ) from None
    return Annotation(path, tuple(features), lengths, sequences), [0] * len(features)


def _genbank_parts(part, contig: str, length: int) -> Iterator[Feature]:
    """A feature of Biopython as places: every part of a CDS, or of one across the origin; else its
    whole span.
    """
    attributes = {key: values[0] for key, values in part.qualifiers.items() if values}
    name = next(
        (attributes[key] for key in ("locus_tag", "gene", "protein_id") if key in attributes), ""
    )
    pieces, whole = list(part.location.parts), part.location
    across = len(pieces) > 1 and int(whole.start) == 0 and int(whole.end) == length
    for piece in pieces if part.type == "CDS" or across or whole.strand is None else [whole]:
        strand = {1: "+", -1: "-"}.get(piece.strand, ".")
        if int(piece.start) < int(piece.end) and piece.ref in (None, contig):
            place = Interval(contig, int(piece.start), int(piece.end), strand, name)
            yield Feature(part.type, place, attributes)
