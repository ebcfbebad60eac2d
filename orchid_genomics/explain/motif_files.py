"""Motifs by file or by name: MEME, JASPAR and TRANSFAC matrices, or JASPAR's own database (it comes
with pyjaspar).

The trap: a MEME file holds probabilities, which a reader that wants counts rounds; so they are read
as they stand.
"""

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.errors import InputError, missing_extra
from orchid_genomics.files import read_lines

_FORMATS = "a motif file (MEME, JASPAR or TRANSFAC), or jaspar:NAME, jaspar:MA0108, jaspar:fungi"
_TAXA = ("vertebrates", "plants", "insects", "nematodes", "fungi", "urochordates")


@dataclass(frozen=True, eq=False)
class Motif:
    """A motif: its `id`, its `name`, and probabilities (4, L) of A, C, G, T."""

    id: str
    name: str
    matrix: np.ndarray

    def __len__(self) -> int:
        return self.matrix.shape[1]


def read_motifs(source: str | Path) -> list[Motif]:
    """The motifs of a file (plain or gzipped), or of JASPAR by ``jaspar:`` and a name, an ID or a
    group of species.

    Raises InputError for a file that holds no motif or a name that JASPAR does not have,
    MachineError without the `explain` extra where JASPAR is asked.
    """
    kind, _, name = str(source).partition(":")
    if kind.lower() == "jaspar" and name:
        return _of_jaspar(name)
    text = "".join(f"{line}\n" for _, line in read_lines(Path(source)))
    try:
        motifs = _parse(text)
    except (ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            source, f"is no motif file ({error or type(error).__name__})", _FORMATS
        ) from None
    bad = [motif.id for motif in motifs if not len(motif) or not np.isfinite(motif.matrix).all()]
    if not motifs or bad:
        what = f"motif {bad[0]} holds no probabilities" if bad else "holds no motif"
        raise InputError(source, what, _FORMATS)
    return motifs


def _parse(text: str) -> list[Motif]:
    words = text.split()
    if words[:2] == ["MEME", "version"] or "\nletter-probability matrix" in text:
        return _of_meme(text)
    if words and words[0].startswith(">"):
        return _of_biopython(text, "jaspar" if "[" in text else "pfm-four-columns")
    if words and words[0] in ("VV", "AC", "ID", "XX", "NA", "DE", "PO", "P0"):
        return _of_biopython(text, "transfac")
    return []


def _of_meme(text: str) -> list[Motif]:
    """Every MOTIF with the rows of its letter-probability matrix; `w`, which the format leaves
    free, is checked.
    """
    motifs = []
    for block in re.split(r"^MOTIF\s+", text, flags=re.MULTILINE)[1:]:
        words, *lines = [line.split() for line in block.splitlines() if line.strip()]
        begins = [n for n, line in enumerate(lines) if line[:1] == ["letter-probability"]]
        if not begins:
            continue
        rows = takewhile(lambda line: re.match(r"[\d.+-]", line[0]), lines[begins[0] + 1 :])
        matrix = np.array([[float(word) for word in line] for line in rows]).T
        width = re.search(r"\bw=\s*(\d+)", " ".join(lines[begins[0]]))
        if width and matrix.shape[-1] != int(width[1]):
            raise ValueError(f"motif {words[0]} is cut short")
        motifs.append(Motif(words[0], " ".join(words[1:]) or words[0], _probabilities(matrix)))
    return motifs


def _of_biopython(text: str, form: str) -> list[Motif]:
    from Bio import BiopythonWarning, motifs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BiopythonWarning)
        return [_motif(motif) for motif in motifs.parse(io.StringIO(text), form)]


def _motif(motif: Any) -> Motif:
    # The fields of a TRANSFAC motif are its items.
    fields = motif if isinstance(motif, dict) else {}
    id = (
        getattr(motif, "matrix_id", None)
        or fields.get("AC")
        or fields.get("ID")
        or motif.name
        or ""
    )
    name = fields.get("NA") or fields.get("ID") or motif.name or id
    return Motif(
        str(id),
        str(name),
        _probabilities(np.array([motif.counts[letter] for letter in "ACGT"], float)),
    )


def _probabilities(matrix: np.ndarray) -> np.ndarray:
    if matrix.ndim != 2 or len(matrix) != 4:
        raise ValueError("a matrix has not four letters")
    total = matrix.sum(0)
    if (matrix < 0).any() or (total <= 0).any():
        raise ValueError("a column has negative numbers or none at all")
    return matrix / total


def _of_jaspar(name: str) -> list[Motif]:
    try:
        from pyjaspar import jaspardb
    except ImportError:
        raise missing_extra("pyjaspar", "explain") from None
    database = jaspardb()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name.lower() in _TAXA:
            motifs: Sequence = database.fetch_motifs(collection="CORE", tax_group=[name.lower()])
        elif name[:2].upper() == "MA" and name[2:3].isdigit():
            motif = database.fetch_motif_by_id(name.upper())
            motifs = [] if motif is None else [motif]
        else:
            motifs = database.fetch_motifs_by_name(name)
    if not motifs:
        where = f"jaspar:{name}"
        raise InputError(
            where, f"{database.release} has no such motif", f"a name, an ID, or {', '.join(_TAXA)}"
        )
    return [_motif(motif) for motif in motifs]
