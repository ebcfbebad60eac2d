"""Every kind of labelled data behind one name: `open_set(recipe)` reads, checks and splits it."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from orchid_genomics.data.labelled.beds import BedRecipe, FastaRecipe, read_beds, read_fastas
from orchid_genomics.data.labelled.hdf5 import ArraysRecipe, read_arrays
from orchid_genomics.data.labelled.parsing import split_set, unsplit_set
from orchid_genomics.data.labelled.schema import LabelledSet, Rows
from orchid_genomics.data.labelled.splitting import folds_of
from orchid_genomics.data.labelled.tables import TableRecipe, read_table
from orchid_genomics.files import checksum
from orchid_genomics.recipe import Strict, load

SetRecipe = Annotated[
    TableRecipe | BedRecipe | FastaRecipe | ArraysRecipe, Field(discriminator="kind")
]


def open_set(recipe: SetRecipe) -> LabelledSet:
    """The set of a recipe, read, checked and split.

    Raises
    ------
    InputError
        For what a user can mend, with file and line.
    """
    return split_set(read_rows(recipe), recipe)


def open_folds(recipe: SetRecipe, folds: int) -> list[LabelledSet]:
    """The same rows divided anew, a set for each fold; a split that the file or the recipe gives is
    set aside.
    """
    whole = unsplit_set(read_rows(recipe), recipe.task, recipe.longest)
    return folds_of(whole, folds, recipe)


class _HasData(Strict):
    """The part of a recipe that names its data; the rest is another's."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    data: SetRecipe


def recipe_of(path: str | Path, **columns: Any) -> SetRecipe:
    """What a file is taken for: the [data] of a recipe (.toml, or a run's recipe.json), HDF5, or a
    table.

    `columns` are the names of a table's columns where they are not the usual ones.
    """
    path = Path(path)
    if path.suffix in (".toml", ".json"):
        return load(path, _HasData).data
    if path.suffix in (".h5", ".hdf5"):
        return ArraysRecipe(path=path)
    return TableRecipe(path=path, **columns)


def read_rows(recipe: SetRecipe) -> Rows:
    """The rows of a recipe's data as they stand, neither split nor told apart."""
    if isinstance(recipe, BedRecipe):
        return read_beds(recipe)
    if isinstance(recipe, FastaRecipe):
        return read_fastas(recipe)
    if isinstance(recipe, ArraysRecipe):
        return read_arrays(recipe)
    return read_table(recipe)


def checksums(recipe: SetRecipe) -> dict[str, str]:
    """The SHA-256 of every file that a recipe names, by its path."""
    digests: dict[str, str] = {}
    todo: list[Any] = [recipe.model_dump()]
    while todo:
        value = todo.pop()
        if isinstance(value, Path):
            digests[str(value)] = checksum(value)
        elif isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list | tuple):
            todo += value
    return digests
