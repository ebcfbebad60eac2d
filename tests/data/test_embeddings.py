"""Files of embeddings: a damaged one is one line."""

import h5py
import numpy as np
import pytest

from orchid_genomics.data.embeddings import Embeddings, write_embeddings
from orchid_genomics.errors import InputError


@pytest.fixture
def written(tmp_path):
    part = {
        "vectors": np.ones((2, 3), np.float32),
        "letters": np.array([1, 1]),
        "start": np.array([1, 2]),
        "end": np.array([4, 5]),
    }
    for name, text in (("chrom", "c1"), ("strand", "+"), ("name", "x"), ("why", "")):
        part[name] = np.array([text, text])
    write_embeddings(tmp_path / "x.h5", {"pool": "mean"}, [lambda: part], "f4")
    return tmp_path / "x.h5"


def test_what_was_written_is_read(written):
    with Embeddings(written) as embeddings:
        assert embeddings.matrix().shape == (2, 3)
        assert [interval.start for interval in embeddings.intervals] == [1, 2]


@pytest.mark.parametrize("name", ["vectors", "chrom", "start", "why"])
@pytest.mark.parametrize("damage", ["missing", "a group", "of another kind", "short"])
def test_a_column_that_is_not_what_it_should_be_is_one_line(written, name, damage):
    with h5py.File(written, "r+") as file:
        del file[name]
        if damage == "a group":
            file.create_group(name)
        if damage == "of another kind":
            file[name] = np.array(1.5)
        if damage == "short":
            file[name] = np.zeros(1, np.int64)
    with pytest.raises(InputError, match=r"x\.h5: is damaged \(.*\); copy it again"):
        Embeddings(written)
