"""GFF3 (Ensembl, RefSeq); its places are 1-based and closed, what leaves here is 0-based half-open.

Read by hand: gffutils would put every file through a database, and Biopython has no reader. The
trap: GTF looks alike, and its attributes would all be lost; it is refused.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from orchid_genomics.errors import InputError
from orchid_genomics.genome.feature import Feature, Records
from orchid_genomics.sequence import Interval
from orchid_genomics.sequence.interval import read_strand, shorten, whole_number

TRANSCRIPTS = ("mRNA", "transcript")
_WHOLE = ("chromosome", "region", "contig", "scaffold", "supercontig")
_NAMES = ("gene_id", "locus_tag", "ID", "Name", "gene")
_PREFIX = re.compile(r"^(gene|transcript|mRNA|rna|cds|CDS)[:-]")


def read_gff(path: Path, lines: Iterable[tuple[int, str]]) -> Records:
    """The features of numbered lines. Raises InputError with the number of a wrong line."""
    records = Records()
    rows: list[Feature] = []
    for number, line in lines:
        # Only letters follow, to the end of the file.
        if line.startswith(("##FASTA", ">")):
            break
        if line.startswith("##sequence-region"):
            _read_length(line, records.lengths)
        if not line.strip() or line.startswith("#"):
            continue
        row = _read_row(line, number, f"{path} line {number}")
        if row.kind in _WHOLE and row.interval.start == 0:
            records.lengths.setdefault(row.interval.contig, row.interval.end)
        if row.attributes.get("Is_circular") == "true":
            records.circular.add(row.interval.contig)
        rows.append(row)
    # After the last row: a parent may stand below its children.
    parents = {row.attributes["ID"]: row for row in rows if "ID" in row.attributes}
    for row in rows:
        named = is_gene(row) or row.kind in ("CDS", *TRANSCRIPTS)
        name = _locus(row, parents) if named else ""
        records.features.append(replace(row, interval=replace(row.interval, name=name)))
    return records


def is_gene(feature: Feature) -> bool:
    """Whether a feature is a gene of any sort: `gene`, `*_gene` or `pseudogene`, below nothing."""
    kind = feature.kind
    sort = kind in ("gene", "pseudogene") or kind.endswith("_gene")
    return sort and "Parent" not in feature.attributes


def _read_length(line: str, lengths: dict[str, int]) -> None:
    words = line.split()
    if len(words) == 4 and words[2] == "1":
        end = whole_number(words[3])
        if end is not None:
            lengths[unquote(words[1])] = end


def _read_row(line: str, number: int, where: str) -> Feature:
    words = line.split("\t")
    if len(words) != 9:
        raise InputError(where, f"{len(words)} columns between tabs", "the 9 columns of GFF3")
    if re.match(r'\w+ "', words[8]):
        raise InputError(where, "is GTF or GFF2", "GFF3, such as gffread in.gtf -o out.gff3 writes")
    first, last = whole_number(words[3]), whole_number(words[4])
    if first is None or last is None:
        message = f"place {shorten(words[3])!r} to {shorten(words[4])!r}"
        raise InputError(where, message, "whole numbers, 1-based")
    if not 0 < first <= last:
        raise InputError(where, f"place {first} to {last}", "1-based, start not above end")
    # GFF3 writes ? where there is a strand that nobody knows.
    strand = "." if words[6] == "?" else read_strand(words[6])
    if strand is None:
        raise InputError(where, f"strand {shorten(words[6])!r}", "+, -, . or ?")
    attributes = {}
    for pair in words[8].split(";"):
        key, equals, value = pair.strip().partition("=")
        if equals:
            # Split first: a comma that is written %2C belongs to the value.
            attributes[key] = unquote(value.split(",")[0])
    interval = Interval(unquote(words[0]), first - 1, last, strand)
    return Feature(words[2], interval, attributes, number)


def _locus(row: Feature, parents: Mapping[str, Feature]) -> str:
    """The name of the gene above a row, without the prefix (gene:, gene-) that Ensembl and RefSeq
    put on it.
    """
    # A file may name a row as its own ancestor.
    seen: set[str] = set()
    above = row.attributes.get("Parent")
    while above is not None and above in parents and above not in seen:
        seen.add(above)
        row = parents[above]
        above = row.attributes.get("Parent")
    name = next((row.attributes[key] for key in _NAMES if key in row.attributes), "")
    # A name may hold a tab, written %09, and will stand in a BED.
    return _PREFIX.sub("", name).replace("\t", " ")
