"""Variants with values from VCF, BCF, TSV or parquet; one row an ALT, positions 0-based once read.

The trap: a VCF holds several ALTs a record and a key a list, so every value is taken for its own
ALT (Number=A and R).
"""

import csv
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pysam

from orchid_genomics.errors import InputError, missing_extra
from orchid_genomics.files import open_content, read_lines, scratch_folder, utf8_name
from orchid_genomics.genome.bgzf import is_bgzf
from orchid_genomics.genome.contigs import listed, shared
from orchid_genomics.genome.vcf import Vcf, quiet
from orchid_genomics.sequence import Variant

COLUMNS = {
    "contig": ("chrom", "contig", "chr", "chromosome", "seqname"),
    "position": ("pos", "position", "bp"),
    "ref": ("ref", "reference", "a1_ref"),
    "alt": ("alt", "alternate", "a2_alt"),
}
MISSING = frozenset(("", ".", "NA", "NaN", "nan", "None", "null"))
_LISTED = 30  # names that a message lists


@dataclass(frozen=True, eq=False)
class VariantTable:
    """Rows of a file, one an ALT.

    Attributes
    ----------
    path
        The file, for messages.
    variants
        N variants.
    values
        For each name that was wanted the text of every row, "" for none.
    names
        All names that the file has.
    about
        Their descriptions, where it has such.
    """

    path: Path
    variants: list[Variant]
    values: dict[str, list[str]]
    names: tuple[str, ...]
    about: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.variants)

    def column(self, name: str, parameter: str) -> list[str]:
        """The texts of a column. Raises InputError, with the names that there are, for the
        parameter that named it.
        """
        if name not in self.values:
            message = f"{self.path} has no {name!r}"
            raise InputError(parameter, message, f"possible: {listed(self.names, _LISTED)}")
        return self.values[name]

    def numbers(self, name: str, parameter: str) -> np.ndarray:
        """A column as float64 (N,), NaN where missing. Raises InputError for text that is no
        number.
        """
        texts = self.column(name, parameter)
        try:
            return np.array([np.nan if text in MISSING else float(text) for text in texts])
        except ValueError as error:
            message = f"{name!r} of {self.path} is no number ({error})"
            raise InputError(parameter, message, "a column of numbers") from None

    def take(self, rows: Iterable[int]) -> "VariantTable":
        """The table of some rows, by number."""
        rows = list(rows)
        values = {name: [texts[row] for row in rows] for name, texts in self.values.items()}
        variants = [self.variants[row] for row in rows]
        return VariantTable(self.path, variants, values, self.names, self.about)


def read_names(path: str | Path) -> tuple[str, ...]:
    """The columns of a TSV or parquet file, or the INFO keys that a VCF declares, before it is
    read.
    """
    path = Path(path)
    if _is_vcf(path):
        with _open_vcf(path) as file:
            return tuple(file.header.info)
    if _is_parquet(path):
        return _read_parquet(path)[0]
    return tuple(_tsv_header(path)[0])


def read_table(path: str | Path, wanted: Iterable[str]) -> VariantTable:
    """Read variants with some of their values.

    Parameters
    ----------
    path
        A VCF or BCF; a TSV or CSV, with a line of names first (a `#` before it, and `##` lines, are
        fine) and 1-based positions; or a parquet file of such columns.
    wanted
        Names of values; one that the file has not is no error here.

    Raises
    ------
    InputError
        The file cannot be read, or lacks one of the four columns of a variant.
    """
    path, wanted = Path(path), set(wanted)
    if _is_vcf(path):
        return _read_vcf(path, wanted)
    if _is_parquet(path):
        names, columns = _read_parquet(path, wanted)
        count = len(next(iter(columns.values()), []))
        lines = [str(row + 1) for row in range(count)]
    else:
        names, columns, lines = _read_tsv(path)
    keys = [_variant_column(path, names, what) for what in COLUMNS]
    contigs, positions, refs, alts = (columns[key] for key in keys)
    for line, text in zip(lines, positions, strict=True):
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f"{path} line {line}", f"position {text!r}", "a whole number, 1-based")
    variants = []
    for contig, position, ref, alt in zip(contigs, positions, refs, alts, strict=True):
        variants.append(Variant(contig, int(position) - 1, ref.upper(), alt.upper()))
    others = tuple(name for name in names if name not in keys)
    values = {name: columns[name] for name in others if name in wanted}
    return VariantTable(path, variants, values, others)


def join(scored: VariantTable, labels: VariantTable) -> VariantTable:
    """`scored` with the values of the same change in `labels` ("" where there is none); a value
    that both have is the labels'.

    Contigs are mapped (chr1, 1); a change is the same however many letters it is padded with.
    Raises InputError when not one variant is in both.
    """
    here = dict.fromkeys(variant.contig for variant in scored.variants)
    contigs = dict.fromkeys(variant.contig for variant in labels.variants)
    names = shared(contigs, here, labels.path, scored.path.name)
    row_of: dict[Variant, int] = {}
    for row, variant in enumerate(labels.variants):
        if variant.contig in names:
            moved = Variant(names[variant.contig], variant.start, variant.ref, variant.alt)
            row_of.setdefault(moved.trimmed(), row)
    rows = [row_of.get(variant.trimmed()) for variant in scored.variants]
    if all(row is None for row in rows):
        counts = f"none of its {len(labels):,} variants is among the {len(scored):,}"
        message = f"{counts} of {scored.path}"
        raise InputError(labels.path, message, "the same build, places and letters")
    values = dict(scored.values)
    for name, texts in labels.values.items():
        values[name] = ["" if row is None else texts[row] for row in rows]
    all_names = tuple(dict.fromkeys(scored.names + labels.names))
    about = {**scored.about, **labels.about}
    return VariantTable(scored.path, scored.variants, values, all_names, about)


def class_of(texts: Sequence[str], positive: Sequence[str], negative: Sequence[str]) -> np.ndarray:
    """The class of every text: 1 for positive, 0 for negative, -1 for neither, (N,) int8.

    A text is of a class when it is one of its values, or all of its words (between `,` `|` `/` `&`
    `;`) are.
    """
    # Every distinct text once, for a column has few.
    known: dict[str, int] = {}
    for text in dict.fromkeys(texts):
        words = {word for word in re.split(r"[,|/&;]", text) if word}
        for label, values in ((1, positive), (0, negative)):
            if text in values or (words and words <= set(values)):
                known[text] = label
    return np.array([known.get(text, -1) for text in texts], np.int8)


def classify(
    texts: Sequence[str], positive: Sequence[str], negative: Sequence[str], key: str
) -> np.ndarray:
    """`class_of`, where both classes must have a row: raises InputError with the values that there
    are.
    """
    classes = class_of(texts, positive, negative)
    counts = Counter(text for text in texts if text not in MISSING).most_common()
    possible = f"possible: {listed([f'{text} ({count:,})' for text, count in counts], 12)}"
    for label, values, parameter in ((1, positive, "positive"), (0, negative, "negative")):
        if not values:
            raise InputError(parameter, f"no value of {key} is named", possible)
        if not (classes == label).any():
            raise InputError(parameter, f"no variant has {key} {' or '.join(values)}", possible)
    return classes


def one_answer(table: VariantTable, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows speak for their variant, where it stands several times.

    A variant of both classes has no answer: whichever row came first would win. One that is of a
    class in some rows and of none in others is of that class.

    Parameters
    ----------
    table
        The variants.
    classes
        The class of every row (N,): 1, 0, or -1 for neither.

    Returns
    -------
    keep : numpy.ndarray
        Bool (N,): rows that stand for their variant; one row of those that are alike in all.
    contradictory : numpy.ndarray
        Bool (N,): rows of variants of both classes.
    """
    changes = [variant.trimmed() for variant in table.variants]
    answers: dict[Variant, set[int]] = {}
    for change, label in zip(changes, classes.tolist(), strict=True):
        answers.setdefault(change, set()).add(label)
    contradictory = np.array([{0, 1} <= answers[change] for change in changes], bool)
    keep = ~contradictory
    seen: set[tuple[Any, ...]] = set()
    columns = list(table.values.values())
    for row, change in enumerate(changes):
        if len(answers[change]) > 1 and classes[row] < 0:
            keep[row] = False
        alike = (change, *(texts[row] for texts in columns))
        if alike in seen:
            keep[row] = False
        seen.add(alike)
    return keep, contradictory


def _is_vcf(path: Path) -> bool:
    if path.name.endswith((".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")):
        return True
    # What came through a pipe has no name that says what it is.
    return _head(path).startswith((b"##fileformat=VCF", b"BCF\x02"))


def _is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet" or _head(path).startswith(b"PAR1")


def _head(path: Path) -> bytes:
    """The first bytes of a file, unpacked; none of what cannot be read, whose reader says why."""
    try:
        with open_content(path) as content:
            return content.read(16)
    except InputError:
        return b""


@contextmanager
def _open_vcf(path: Path) -> Iterator[pysam.VariantFile]:
    """The file, once its first lines have been found right in our own words."""
    vcf = Vcf(path)
    with quiet(), scratch_folder() as scratch:
        readable = vcf.path
        if not vcf.binary and not _is_plain(readable):
            readable = _unpack(readable, scratch / "unpacked.vcf")
        with _open_by_htslib(path, readable) as file:
            yield file


def _open_by_htslib(path: Path, readable: Path) -> pysam.VariantFile:
    """`readable`, which messages call `path`."""
    try:
        return pysam.VariantFile(str(readable))
    except (OSError, ValueError):
        # It says the name of the file and guesses at its format; Vcf knows that it is one.
        message = "cannot be read (damaged where htslib begins to read)"
        raise InputError(path, message, "an undamaged VCF or BCF") from None


def _is_plain(path: Path) -> bool:
    """Whether htslib reads a text VCF as it is: not packed by gzip, no mark before it."""
    with path.open("rb") as file:
        start = file.read(2)
    return start == b"##" or is_bgzf(path)


def _unpack(path: Path, to: Path) -> Path:
    with open_content(path) as content, to.open("wb") as plain:
        shutil.copyfileobj(content, plain)
    return to


def _read_vcf(path: Path, wanted: set[str]) -> VariantTable:
    variants: list[Variant] = []
    try:
        with _open_vcf(path) as file:
            # Before the records, whose undeclared keys pysam would add.
            names = tuple(file.header.info)
            about = {key: info.description or "" for key, info in file.header.info.items()}
            fields = {key: info for key, info in file.header.info.items() if key in wanted}
            values: dict[str, list[str]] = {key: [] for key in fields}
            for record in file:
                contig, ref = str(record.contig), (record.ref or "").upper()
                for number, alt in enumerate(record.alts or ()):
                    variants.append(Variant(contig, record.start, ref, alt.upper()))
                    for key, info in fields.items():
                        values[key].append(_of_alt(record.info.get(key), info.number, number))
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", "an undamaged VCF or BCF") from None
    return VariantTable(path, variants, values, names, about)


def _of_alt(value: Any, number: int | str | None, alt: int) -> str:
    """The text of an INFO value for one ALT; "" where missing."""
    if number in ("A", "R") and value is not None:
        values = value if isinstance(value, tuple) else (value,)
        # Number=R begins with the reference.
        column = alt + (number == "R")
        value = values[column] if column < len(values) else None
    if value is None or value is False:
        return ""
    text = ",".join(map(_text, value)) if isinstance(value, tuple) else _text(value)
    return "" if text in MISSING else text


def _text(value: Any) -> str:
    """One value as a VCF writes it; htslib holds numbers as float32."""
    if value is True:
        return "true"
    if value is None:
        return "."
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _tsv_header(path: Path) -> tuple[list[str], int]:
    for number, line in read_lines(path):
        if line.strip() and not line.startswith("##"):
            return _words(line.removeprefix("#"), _mark(line)), number
    raise InputError(path, "is empty", "a line of column names, and variants below it")


def _mark(header: str) -> str:
    """What stands between the columns of a table: a tab, or a comma where its header has no tab."""
    return "\t" if "\t" in header else ","


def _words(line: str, mark: str) -> list[str]:
    # Quotes alone need the csv module, which is slow for one line at a time.
    return next(csv.reader([line], delimiter=mark)) if '"' in line else line.split(mark)


def _read_tsv(path: Path) -> tuple[tuple[str, ...], dict[str, list[str]], list[str]]:
    """Names, columns, and the number of every row's line."""
    names, first = _tsv_header(path)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(path, f"two columns are named {twice!r}", "one name each")
    columns: dict[str, list[str]] = {name: [] for name in names}
    lines = []
    mark = ""
    for number, line in read_lines(path):
        if number == first:
            mark = _mark(line)
        if number <= first or not line.strip():
            continue
        words = _words(line, mark)
        if len(words) != len(names):
            possible = f"{len(names)}, as its first line names"
            raise InputError(f"{path} line {number}", f"{len(words)} columns", possible)
        for name, word in zip(names, words, strict=True):
            columns[name].append("" if word in MISSING else word)
        lines.append(str(number))
    return tuple(names), columns, lines


def _read_parquet(
    path: Path, wanted: Iterable[str] | None = None
) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """All names, and the columns of a variant with those that are wanted (none for None)."""
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise missing_extra("pyarrow", "parquet") from None
    try:
        with utf8_name(path) as file:
            names = tuple(parquet.read_schema(file).names)
            if wanted is None:
                return names, {}
            needed = {word for words in COLUMNS.values() for word in words}
            read = [name for name in names if name in wanted or name.lower() in needed]
            table = parquet.read_table(file, columns=read)
    except (OSError, ArrowInvalid) as error:
        message = f"is no parquet file that can be read ({str(error).splitlines()[0]})"
        raise InputError(path, message) from None
    columns = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        columns[name] = ["" if value is None else str(value) for value in values]
    return names, columns


def _variant_column(path: Path, names: Sequence[str], what: str) -> str:
    for name in names:
        if name.lower() in COLUMNS[what]:
            return name
    possible = f"one named {COLUMNS[what][0]}; there are: {listed(names, _LISTED)}"
    raise InputError(path, f"has no column for the {what}", possible)
