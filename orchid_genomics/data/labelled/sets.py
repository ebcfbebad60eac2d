"""Every kind of labelled data behind one name: `opened(recipe)` reads, checks and splits it."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from orchid_genomics.data.labelled.answers import build, whole
from orchid_genomics.data.labelled.beds import BedRecipe, FastaRecipe, read_beds, read_fastas
from orchid_genomics.data.labelled.hdf5 import ArraysRecipe, read_arrays
from orchid_genomics.data.labelled.schema import LabelledRecipe, LabelledSet, Rows
from orchid_genomics.data.labelled.splitting import folds_of
from orchid_genomics.data.labelled.tables import TableRecipe, read_table
from orchid_genomics.recipe import Strict, load

SetRecipe = Annotated[
    TableRecipe | BedRecipe | FastaRecipe | ArraysRecipe, Field(discriminator="kind")
]
READERS = {"table": read_table, "bed": read_beds, "fasta": read_fastas, "hdf5": read_arrays}


def opened(recipe: LabelledRecipe) -> LabelledSet:
    """The set of a recipe. Raises InputError for what a user can mend, with file and line."""
    return build(rows_of(recipe), recipe)


def folded(recipe: LabelledRecipe, folds: int) -> list[LabelledSet]:
    """The same rows divided anew, a set for each fold; a split that the file or the recipe gives is
    set aside.
    """
    return folds_of(whole(rows_of(recipe), recipe.task, recipe.longest), folds, recipe)


class _HasData(Strict):
    """The part of a recipe that names its data; the rest is another's."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    data: SetRecipe


def recipe_of(path: str | Path, **columns: str | tuple[str, ...]) -> LabelledRecipe:
    """What a file is taken for: the [data] of a recipe (.toml, or a run's recipe.json), HDF5, or a
    table.

    `columns` are the names of a table's columns where they are not the usual ones.
    """
    path = Path(path)
    if path.suffix in (".toml", ".json"):
        return load(path, _HasData).data
    return (
        ArraysRecipe(path=path)
        if path.suffix in (".h5", ".hdf5")
        else TableRecipe(path=path, **columns)
    )


def rows_of(recipe: LabelledRecipe) -> Rows:
    """The rows of a recipe's data as they stand, neither split nor told apart."""
    return READERS[recipe.kind](recipe)


def checksums(recipe: LabelledRecipe) -> dict[str, str]:
    """The SHA-256 of every file that a recipe names, by its path."""
    found: dict[str, str] = {}
    todo: list[Any] = [recipe.model_dump()]
    while todo:
        value = todo.pop()
        if isinstance(value, Path):
            with value.open("rb") as file:
                found[str(value)] = hashlib.file_digest(file, "sha256").hexdigest()
        elif isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list | tuple):
            todo += value
    return found
