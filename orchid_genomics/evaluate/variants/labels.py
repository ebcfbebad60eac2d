"""Variants with scores and labels from VCF, BCF, TSV or parquet; one row an ALT, positions 0-based
once read.

The trap: a VCF holds several ALTs a record and a key a list, so every value is taken for its own
ALT (Number=A and R).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from orchid_genomics.errors import InputError, missing_extra
from orchid_genomics.files import read_lines
from orchid_genomics.genome.contigs import listed, shared
from orchid_genomics.genome.vcf import Vcf
from orchid_genomics.sequence import Variant

PLACE = {
    "contig": ("chrom", "contig", "chr", "chromosome", "seqname"),
    "position": ("pos", "position", "bp"),
    "ref": ("ref", "reference", "a1_ref"),
    "alt": ("alt", "alternate", "a2_alt"),
}
MISSING = frozenset(("", ".", "NA", "NaN", "nan", "None", "null"))


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a file: `variants` (N), and `values`, for each name that was wanted the text of every
    row ("" for none).

    `names` are all that the file has, `about` their descriptions where it has such.
    """

    path: Path
    variants: list[Variant]
    values: dict[str, list[str]]
    names: tuple[str, ...]
    about: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.variants)

    def column(self, name: str, what: str) -> list[str]:
        """The texts of a column. Raises InputError with the names that there are, for an option
        `what`.
        """
        if name not in self.values:
            raise InputError(
                what, f"{self.path} has no {name!r}", f"possible: {listed(self.names, 30)}"
            )
        return self.values[name]

    def numbers(self, name: str, what: str) -> np.ndarray:
        """A column as float64 (N,), NaN where missing. Raises InputError for text that is no
        number.
        """
        texts = self.column(name, what)
        try:
            return np.array([np.nan if text in MISSING else float(text) for text in texts])
        except ValueError as error:
            raise InputError(
                what, f"{name!r} of {self.path} is no number ({error})", "a column of numbers"
            ) from None

    def taken(self, rows: np.ndarray) -> "Table":
        """The table of some rows, by number."""
        values = {name: [texts[i] for i in rows] for name, texts in self.values.items()}
        return Table(self.path, [self.variants[i] for i in rows], values, self.names, self.about)


def names_of(path: str | Path) -> tuple[str, ...]:
    """The columns of a TSV or parquet file, or the INFO keys that a VCF declares, before it is
    read.
    """
    path = Path(path)
    if _is_vcf(path):
        return tuple(_declared(Vcf(path).header)[0])
    return _parquet(path)[0] if path.suffix == ".parquet" else tuple(_tsv_header(path)[0])


def read_table(path: str | Path, wanted: Iterable[str]) -> Table:
    """Read variants with the `wanted` values, those that the file has; a name that it has not is no
    error here.

    TSV: a line of names first (a `#` before it, and `##` lines, are fine), places 1-based. Raises
    InputError for a file without the four columns of a variant, or that cannot be read.
    """
    path, wanted = Path(path), set(wanted)
    if _is_vcf(path):
        return _vcf(path, wanted)
    if path.suffix == ".parquet":
        names, columns = _parquet(path, wanted)
        lines = [str(row + 1) for row in range(len(next(iter(columns.values()), [])))]
    else:
        names, columns, lines = _tsv(path)
    keys = {what: _place_column(path, names, what) for what in PLACE}
    contigs, positions, refs, alts = (columns[key] for key in keys.values())
    for line, text in zip(lines, positions, strict=True):
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f"{path} line {line}", f"position {text!r}", "a whole number, 1-based")
    parts = zip(contigs, positions, refs, alts, strict=True)
    variants = [Variant(c, int(p) - 1, r.upper(), a.upper()) for c, p, r, a in parts]
    others = [name for name in names if name not in keys.values()]
    return Table(path, variants, {n: columns[n] for n in others if n in wanted}, tuple(others))


def joined(scored: Table, labels: Table) -> Table:
    """`scored` with the values of the same change in `labels` ("" where there is none); a value
    that both have is the labels'. Contigs are mapped (chr1, 1); a change is the same however many
    letters it is padded with.

    Raises InputError when not one variant is in both.
    """
    here = dict.fromkeys(variant.contig for variant in scored.variants)
    names = shared(
        dict.fromkeys(v.contig for v in labels.variants), here, labels.path, scored.path.name
    )
    place = {}
    for row, variant in enumerate(labels.variants):
        if variant.contig in names:
            moved = Variant(names[variant.contig], variant.start, variant.ref, variant.alt)
            place.setdefault(moved.trimmed(), row)
    rows = [place.get(variant.trimmed()) for variant in scored.variants]
    if all(row is None for row in rows):
        found = (
            f"none of its {len(labels):,} variants is among the {len(scored):,} of {scored.path}"
        )
        raise InputError(labels.path, found, "the same build, places and letters")
    values = {
        name: ["" if r is None else texts[r] for r in rows] for name, texts in labels.values.items()
    }
    return Table(
        scored.path,
        scored.variants,
        scored.values | values,
        tuple(dict.fromkeys(scored.names + labels.names)),
        {**scored.about, **labels.about},
    )


def classes(
    texts: Sequence[str], positive: Sequence[str], negative: Sequence[str], key: str
) -> np.ndarray:
    """1 for positive, 0 for negative, -1 for neither, (N,) int8: a text that is one of the values
    of a class, or all of whose words (between `,` `|` `/` `&` `;`) are.

    Raises InputError, with the values that there are, when a class has no row.
    """
    known: dict[str, int] = {}
    for text in dict.fromkeys(texts):
        words = {word for word in re.split(r"[,|/&;]", text) if word}
        for label, values in ((1, positive), (0, negative)):
            if text in values or (words and words <= set(values)):
                known[text] = label
    found = np.array([known.get(text, -1) for text in texts], np.int8)
    counts = Counter(text for text in texts if text not in MISSING).most_common()
    there = listed([f"{text} ({count:,})" for text, count in counts], 12)
    for label, values, option in ((1, positive, "--positive"), (0, negative, "--negative")):
        if not values:
            raise InputError(option, f"no value of {key} is named", f"possible: {there}")
        if not (found == label).any():
            raise InputError(
                option, f"no variant has {key} {' or '.join(values)}", f"possible: {there}"
            )
    return found


def _is_vcf(path: Path) -> bool:
    return path.name.endswith((".vcf", ".vcf.gz", ".vcf.bgz", ".bcf"))


def _vcf(path: Path, wanted: set[str]) -> Table:
    file = Vcf(path)
    numbers, about = _declared(file.header)
    variants: list[Variant] = []
    keys = {name.encode(): name for name in wanted if name in numbers}
    values: dict[str, list[str]] = {name: [] for name in keys.values()}
    for record in file.records():
        info = dict(
            word.partition(b"=")[::2]
            for word in record.line.split(b"\t", 8)[7].rstrip(b"\r").split(b";")
        )
        flags = {key: b"true" for key in keys if numbers[keys[key]] == "0" and key in info}
        info.update(flags)
        texts = [
            (name, info.get(key, b"").decode("utf-8", "replace")) for key, name in keys.items()
        ]
        for i, alt in enumerate(record.alts):
            variants.append(Variant(record.contig, record.start, record.ref, alt))
            for name, text in texts:
                values[name].append(_of_alt(text, numbers[name], i))
    return Table(path, variants, values, tuple(numbers), about)


def _declared(header: Sequence[bytes]) -> tuple[dict[str, str], dict[str, str]]:
    """The Number and the Description of every INFO key of a header."""
    numbers, about = {}, {}
    for line in header:
        text = line.decode("utf-8", "replace")
        if found := re.match(r"##INFO=<ID=([^,>]+)", text):
            number, said = (
                re.search(r"Number=([^,>]+)", text),
                re.search(r'Description="([^"]*)"', text),
            )
            numbers[found[1]] = number[1] if number else "."
            about[found[1]] = said[1] if said else ""
    return numbers, about


def _of_alt(text: str, number: str, alt: int) -> str:
    """An INFO value for one ALT; "" where missing."""
    if number in ("A", "R") and text:
        parts, at = text.split(","), alt + (number == "R")
        text = parts[at] if at < len(parts) else ""
    return "" if text in MISSING else text


def _tsv_header(path: Path) -> tuple[list[str], int]:
    for number, line in read_lines(path):
        if line.strip() and not line.startswith("##"):
            return line.removeprefix("#").split("\t"), number
    raise InputError(path, "is empty", "a line of column names, and variants below it")


def _tsv(path: Path) -> tuple[list[str], dict[str, list[str]], list[str]]:
    names, first = _tsv_header(path)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(path, f"two columns are named {twice!r}", "one name each")
    rows, lines = [], []
    for number, line in read_lines(path):
        if number <= first or not line.strip():
            continue
        words = line.split("\t")
        if len(words) != len(names):
            raise InputError(
                f"{path} line {number}",
                f"{len(words)} columns",
                f"{len(names)}, as its first line names",
            )
        rows.append(words)
        lines.append(str(number))
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in names]
    clean = [["" if text in MISSING else text for text in column] for column in columns]
    return names, dict(zip(names, clean, strict=True)), lines


def _parquet(
    path: Path, wanted: Iterable[str] | None = None
) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise missing_extra("pyarrow", "parquet") from None
    try:
        names = tuple(parquet.read_schema(path).names)
        if wanted is None:
            return names, {}
        places = [name for each in PLACE for name in names if name.lower() in PLACE[each]]
        table = parquet.read_table(path, columns=[n for n in names if n in wanted or n in places])
    except (OSError, ArrowInvalid) as error:
        raise InputError(
            path, f"is no parquet file that can be read ({str(error).splitlines()[0]})"
        ) from None
    return names, {
        n: ["" if v is None else str(v) for v in table[n].to_pylist()] for n in table.column_names
    }


def _place_column(path: Path, names: Sequence[str], what: str) -> str:
    for name in names:
        if name.lower() in PLACE[what]:
            return name
    raise InputError(
        path,
        f"has no column for the {what}",
        f"one named {PLACE[what][0]}; there are: {listed(names, 30)}",
    )
