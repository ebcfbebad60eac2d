"""Scored variants as files: VCF and BCF with INFO for each ALT, TSV and parquet with a row for each
ALT.

What is added to a header names the model by its hash, the genome by its checksum, the scores and
windows; never a time, a path or a shard, so that parts of one job join to the same bytes wherever
they were made. Places are 1-based in all.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from orchid_genomics import __version__
from orchid_genomics.errors import InputError
from orchid_genomics.genome.vcf import Record, Survey, info_text, number, with_lines
from orchid_genomics.jobs.formats import TSV_INDEX, VCF_INDEX, BcfFormat, ParquetFormat, TextFormat
from orchid_genomics.jobs.task import Format, Identity
from orchid_genomics.score.variants.variant_scores import REASONS, Scores, Scoring

KINDS = ("vcf.gz", "vcf", "bcf", "tsv.gz", "tsv", "parquet")
_PLACE = ("chrom", "pos", "id", "ref", "alt", "type")
_MEANINGS = "; ".join(f"{code} ({meaning})" for code, meaning in REASONS.items())
_WHY = f"Why an ALT has no score: {_MEANINGS}"


def info_names(scoring: Scoring, prefix: str) -> list[str]:
    """The INFO names of all columns, last that of the reasons.

    Raises InputError for a prefix that VCF does not allow.
    """
    if not re.fullmatch(r"[A-Za-z_][0-9A-Za-z_.]*", prefix):
        raise InputError("prefix", f"{prefix!r}", "a letter, then letters, digits and _")
    return [f"{prefix}_{column.name.upper()}" for column in scoring.columns] + [f"{prefix}_WHY"]


class VariantIdentity(Identity):
    """What decides a byte of scored variants; `model`, `genome`, `calibration` are checksums."""

    summary_fields = ("model", "genome", "input", "scores", "window", "on REF mismatch", "phased")

    input: str
    model: str
    genome: str
    scores: str
    window: str
    on_mismatch: str = Field(alias="on REF mismatch")
    calibration: str | None = None
    relatives: tuple[str, ...] | None = None
    """Checksums of the related genomes that are read beside each window, in order."""
    phased: str | None = None
    """The sample whose haplotypes are scored."""
    prefix: str
    columns: tuple[tuple[str, str, int], ...]
    """Name, description and window of each."""
    head: str | None
    ordered: bool
    farthest: int
    contigs: tuple[str, ...]
    """Those to declare, of a BCF alone."""

    @classmethod
    def of(
        cls,
        scoring: Scoring,
        survey: Survey,
        kind: str,
        prefix: str,
        *,
        calibration: str | None,
        phased: str | None = None,
    ) -> "VariantIdentity":
        """The identity of scoring a surveyed file into one of a `kind`."""
        columns = [(column.name, column.about, column.window) for column in scoring.columns]
        identity = cls(
            kind=kind,
            input=survey.checksum,
            model=scoring.model.hash(),
            genome=scoring.genome.checksum(),
            scores=",".join(scoring.scores),
            window=",".join(map(str, scoring.windows)),
            on_mismatch=scoring.on_mismatch,
            calibration=calibration,
            relatives=None if scoring.relatives is None else scoring.relatives.checksums(),
            phased=phased,
            prefix=prefix,
            columns=tuple(columns),
            head=None,
            ordered=survey.ordered,
            farthest=survey.farthest,
            contigs=tuple(survey.contigs) if kind == "bcf" else (),
        )
        # The header says what the rest of the identity is, so it is made last.
        return identity.model_copy(
            update={"head": identity._header(survey, info_names(scoring, prefix))}
        )

    @property
    def about(self) -> dict[str, str]:
        """What made the output, as its header says."""
        about = {
            "orchid-genomics": __version__,
            "model": self.model,
            "genome": self.genome[:12],
            "scores": self.scores,
            "window": self.window,
            "on REF mismatch": self.on_mismatch,
        }
        if self.calibration:
            about["calibration"] = self.calibration[:12]
        if self.phased:
            about["haplotypes of"] = self.phased
        if self.relatives:
            about["relatives"] = ",".join(checksum[:12] for checksum in self.relatives)
        return about

    def _header(self, survey: Survey, names: Sequence[str]) -> str | None:
        words = "; ".join(f"{key} {value}" for key, value in self.about.items())
        # A line of a VCF's header is KEY=value.
        line = "##" + words.replace(" ", "=", 1)
        if self.kind in ("vcf.gz", "vcf", "bcf"):
            added = [line, *_declare(names, self.columns)]
            return with_lines(survey.header, added).decode("latin-1")
        if self.kind.startswith("tsv"):
            row = [*_PLACE, *(name for name, _, _ in self.columns), "why"]
            return f"{line}\n#" + "\t".join(row) + "\n"
        return None


def _declare(names: Sequence[str], columns: Sequence[tuple[str, str, int]]) -> Iterator[str]:
    # Not strict: the last name is that of the reasons, and no column.
    for name, (_, about, window) in zip(names, columns, strict=False):
        words = f"{about} (window {window} nt)" if window else about
        yield f'##INFO=<ID={name},Number=A,Type=Float,Description="{words}">'
    yield f'##INFO=<ID={names[-1]},Number=A,Type=String,Description="{_WHY}">'


def variant_format(identity: VariantIdentity) -> Format:
    """How the parts of a job are written and joined."""
    kind = identity.kind
    if kind == "parquet":
        schema = dict.fromkeys(_PLACE, "string") | {"pos": "int64"}
        schema |= {name: "float32" for name, _, _ in identity.columns} | {"why": "string"}
        about = {key.replace(" ", "_"): value for key, value in identity.about.items()}
        return ParquetFormat(tuple(schema.items()), about)
    is_vcf = not kind.startswith("tsv")
    # a VCF is bytes of any encoding, kept as they are
    head = (identity.head or "").encode("latin-1" if is_vcf else "utf-8")
    if kind == "bcf":
        return BcfFormat(head, identity.contigs, identity.ordered)
    index = (VCF_INDEX if is_vcf else TSV_INDEX) if identity.ordered else None
    return TextFormat(head, kind.endswith(".gz"), index, identity.farthest)


def render(kind: str, names: Sequence[str], records: Sequence[Record], scores: Scores) -> Any:
    """Records and their scores (rows in order, one an ALT) as `variant_format` takes them."""
    if kind == "parquet":
        return _columns(records, scores)
    lines: list[bytes] = []
    at = 0
    for record in records:
        # A record without an ALT has one row too, of its reason.
        rows = slice(at, at + max(len(record.alts), 1))
        if kind.startswith("tsv"):
            lines += _tsv_lines(record, scores, rows)
        else:
            text = info_text(names, scores.values[rows].tolist(), scores.why[rows])
            lines.append(record.with_info(text))
        at = rows.stop
    return lines


def _tsv_lines(record: Record, scores: Scores, rows: slice) -> Iterator[bytes]:
    site = f"{record.contig}\t{record.start + 1}\t{record.name}\t{record.ref}"
    for alt, kind, values, why in zip(
        record.alts or ".",
        scores.kinds[rows],
        scores.values[rows].tolist(),
        scores.why[rows],
        strict=True,
    ):
        numbers = "\t".join(map(number, values))
        yield f"{site}\t{alt}\t{kind or '.'}\t{numbers}\t{why or '.'}\n".encode()


def _columns(records: Sequence[Record], scores: Scores) -> dict[str, list[Any]]:
    rows = [(record, alt) for record in records for alt in record.alts or (None,)]
    table: dict[str, list[Any]] = {
        "chrom": [record.contig for record, _ in rows],
        "pos": [record.start + 1 for record, _ in rows],
        "id": [None if record.name == "." else record.name for record, _ in rows],
        "ref": [record.ref for record, _ in rows],
        "alt": [alt for _, alt in rows],
        "type": [kind or None for kind in scores.kinds],
    }
    for i, column in enumerate(scores.columns):
        values = scores.values[:, i].tolist()
        table[column.name] = [None if math.isnan(value) else value for value in values]
    return table | {"why": [why or None for why in scores.why]}
