"""Small labelled tables, written as a user would have them."""

import numpy as np
import pytest

from orchid_genomics.data.labelled.sets import open_set
from orchid_genomics.data.labelled.tables import TableRecipe
from orchid_genomics.errors import OrchidError

HEADER = "#chrom\tstart\tend\tstrand\tlabel\tsplit\tsequence"


def turned(row: int, length: int = 40) -> str:
    """A sequence of its own for every row."""
    rng = np.random.default_rng(row)
    return "".join(rng.choice(list("ACGT"), length))


def lines(
    rows: int = 12, label=lambda row: row % 2, split=lambda row: ("train", "valid", "test")[row % 3]
) -> list[str]:
    return [
        f"chr{row % 3 + 1}\t{row * 100}\t{row * 100 + 40}\t{'+-'[row // 2 % 2]}\t"
        f"{label(row)}\t{split(row)}\t{turned(row)}"
        for row in range(rows)
    ]


def table(
    tmp_path, rows: list[str], header: str = HEADER, name: str = "set.tsv", **options
) -> TableRecipe:
    (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
    return TableRecipe(path=tmp_path / name, **options)


def fault(recipe) -> str:
    with pytest.raises(OrchidError) as caught:
        open_set(recipe)
    line = str(caught.value)
    assert "\n" not in line
    return line
