"""Every kind of labelled data behind one name: `opened(recipe)` reads, checks and splits it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from orchid_genomics.data.arrays import ArraysRecipe, read_arrays
from orchid_genomics.data.elements import BedRecipe, FastaRecipe, read_beds, read_fastas
from orchid_genomics.data.labelled import LabelledRecipe, LabelledSet
from orchid_genomics.data.tables import TableRecipe, read_table
from orchid_genomics.data.targets import build

SetRecipe = Annotated[TableRecipe | BedRecipe | FastaRecipe | ArraysRecipe, Field(discriminator="kind")]
READERS = {"table": read_table, "bed": read_beds, "fasta": read_fastas, "hdf5": read_arrays}


def opened(recipe: LabelledRecipe) -> LabelledSet:
    """The set of a recipe. Raises InputError for what a user can mend, with file and line."""
    return build(READERS[recipe.kind](recipe), recipe)


def recipe_of(path: str | Path) -> LabelledRecipe:
    """What a bare file is taken for: HDF5 by its name, else a table with the usual column names."""
    path = Path(path)
    return ArraysRecipe(path=path) if path.suffix in (".h5", ".hdf5") else TableRecipe(path=path)
