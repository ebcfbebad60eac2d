"""Scored variants as files: VCF and BCF with INFO for each ALT, TSV and parquet with a row for each
ALT.

What is added to a header names the model by its hash, the genome by its checksum, the scores and
windows; never a time, a path or a shard, so that parts of one job join to the same bytes wherever
they were made. Places are 1-based in all.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from orchid_genomics import __version__
from orchid_genomics.errors import InputError
from orchid_genomics.genome.vcf import Record, Survey, info_text, number, with_lines
from orchid_genomics.jobs.formats import TSV_INDEX, VCF_INDEX, BcfFormat, ParquetFormat, TextFormat
from orchid_genomics.score.variants.variant_scores import REASONS, Scores, Scoring

KINDS = ("vcf.gz", "vcf", "bcf", "tsv.gz", "tsv", "parquet")
_PLACE = ("chrom", "pos", "id", "ref", "alt", "type")
_WHY = (
    f"Why an ALT has no score: {'; '.join(f'{code} ({words})' for code, words in REASONS.items())}"
)


def info_names(scoring: Scoring, prefix: str) -> list[str]:
    """The INFO names of all columns, last that of the reasons. Raises InputError for a prefix that
    VCF has not.
    """
    if not re.fullmatch(r"[A-Za-z_][0-9A-Za-z_.]*", prefix):
        raise InputError("--prefix", f"{prefix!r}", "a letter, then letters, digits and _")
    return [f"{prefix}_{column.name.upper()}" for column in scoring.columns] + [f"{prefix}_WHY"]


def identity_of(
    scoring: Scoring,
    survey: Survey,
    kind: str,
    prefix: str,
    model: str,
    genome: str,
    calibration: str = "",
) -> dict[str, Any]:
    """All that decides a byte of the output, as JSON: a resumed run or another shard must say the
    same.

    `model`, `genome` and `calibration` are checksums.
    """
    options = {
        "input": survey.checksum,
        "model": model,
        "genome": genome,
        "scores": ",".join(scoring.scores),
        "window": ",".join(map(str, scoring.windows)),
        "on REF mismatch": scoring.on_mismatch,
    }
    if calibration:
        options["calibration"] = calibration
    about = {
        key: value[:12] if key in ("genome", "calibration") else value
        for key, value in options.items()
        if key != "input"
    }
    about = {"orchid-genomics": __version__, **about}
    line = f"##{'; '.join(f'{key} {value}' for key, value in about.items())}".replace(" ", "=", 1)
    columns = [(column.name, column.about, column.window) for column in scoring.columns]
    names = info_names(scoring, prefix)
    head: str | None = None
    if kind in ("vcf.gz", "vcf", "bcf"):
        added = [line, *_declared(names, columns)]
        head = with_lines(survey.header, added).decode("latin-1")
    elif kind.startswith("tsv"):
        head = (
            "\n".join([line, "#" + "\t".join([*_PLACE, *(name for name, _, _ in columns), "why"])])
            + "\n"
        )
    return {
        **options,
        "kind": kind,
        "prefix": prefix,
        "columns": [list(column) for column in columns],
        "about": {key.replace(" ", "_"): value for key, value in about.items()},
        "head": head,
        "ordered": survey.ordered,
        "farthest": survey.farthest,
        "contigs": list(survey.contigs) if kind == "bcf" else [],
    }


def _declared(names: Sequence[str], columns: Sequence[tuple[str, str, int]]) -> Iterator[str]:
    for name, (_, about, window) in zip(names, columns, strict=False):
        words = f"{about} (window {window} nt)" if window else about
        yield f'##INFO=<ID={name},Number=A,Type=Float,Description="{words}">'
    yield f'##INFO=<ID={names[-1]},Number=A,Type=String,Description="{_WHY}">'


def form(identity: dict[str, Any]) -> TextFormat | BcfFormat | ParquetFormat:
    """How the parts of a job are written and joined."""
    kind = identity["kind"]
    if kind == "bcf":
        return BcfFormat(
            identity["head"].encode("latin-1"), tuple(identity["contigs"]), identity["ordered"]
        )
    if kind == "parquet":
        schema = dict.fromkeys(_PLACE, "string") | {"pos": "int64"}
        schema |= {name: "float32" for name, _, _ in identity["columns"]} | {"why": "string"}
        return ParquetFormat(tuple(schema.items()), identity["about"])
    index = (VCF_INDEX if kind.startswith("vcf") else TSV_INDEX) if identity["ordered"] else None
    head = identity["head"].encode("latin-1" if kind.startswith("vcf") else "utf-8")
    return TextFormat(head, kind.endswith(".gz"), index, identity["farthest"])


def rendered(kind: str, names: Sequence[str], records: Sequence[Record], found: Scores) -> Any:
    """Records and their scores (rows in order, one an ALT) as `form` takes them."""
    if kind == "parquet":
        return _columns(records, found)
    lines, at = [], 0
    for record in records:
        size = max(len(record.alts), 1)
        rows, why = found.values[at : at + size].tolist(), found.why[at : at + size]
        if kind.startswith("tsv"):
            place = f"{record.contig}\t{record.start + 1}\t{record.name}\t{record.ref}"
            for alt, type_, row, reason in zip(
                record.alts or ".", found.kinds[at : at + size], rows, why, strict=True
            ):
                words = "\t".join(map(number, row))
                lines.append(f"{place}\t{alt}\t{type_ or '.'}\t{words}\t{reason or '.'}\n".encode())
        else:
            lines.append(record.with_info(info_text(names, rows, why)))
        at += size
    return lines


def _columns(records: Sequence[Record], found: Scores) -> dict[str, list[Any]]:
    each = [(record, alt) for record in records for alt in record.alts or (None,)]
    table: dict[str, list[Any]] = {
        "chrom": [record.contig for record, _ in each],
        "pos": [record.start + 1 for record, _ in each],
        "id": [None if record.name == "." else record.name for record, _ in each],
        "ref": [record.ref for record, _ in each],
        "alt": [alt for _, alt in each],
        "type": [kind or None for kind in found.kinds],
    }
    for i, column in enumerate(found.columns):
        table[column.name] = [
            None if value != value else value for value in found.values[:, i].tolist()
        ]
    return table | {"why": [why or None for why in found.why]}
