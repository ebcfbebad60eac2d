"""Labelled HDF5: tracks, and files that are not what they say."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from labelled_tables import fault, lines, table, turned

from orchid_genomics.data.labelled.hdf5 import FORMAT, ArraysRecipe, write_arrays
from orchid_genomics.data.labelled.sets import open_set, recipe_of


def test_hdf5_gives_back_what_was_written(tmp_path):
    found = open_set(table(tmp_path, lines(36)))
    write_arrays(tmp_path / "set.h5", found)
    again = open_set(recipe_of(tmp_path / "set.h5"))
    assert all(np.array_equal(a, b) for a, b in zip(again.tokens, found.tokens, strict=True))
    for name in ("target", "split", "group"):
        assert np.array_equal(getattr(again, name), getattr(found, name)), name
    assert (again.labels, again.places) == (found.labels, found.places)


def tracks(tmp_path, bins: int = 10, bin: int = 4):
    path = tmp_path / "tracks.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["bin"], file.attrs["labels"] = (
            FORMAT,
            bin,
            ["plus", "minus"],
        )
        text = h5py.string_dtype()
        file.create_dataset(
            "sequence", data=[turned(row, 40 - 8 * (row % 2)) for row in range(30)], dtype=text
        )
        file.create_dataset("label", data=np.random.default_rng(0).normal(size=(30, bins, 2)))
        file.create_dataset(
            "split",
            data=[("train", "validation", "test")[row % 3] for row in range(30)],
            dtype=text,
        )
    return ArraysRecipe(path=path)


def test_tracks_have_a_number_for_every_bin_and_none_beyond_a_row(tmp_path):
    found = open_set(tracks(tmp_path))
    assert (found.task.name, found.labels, found.task.bin, found.target.shape) == (
        "regression",
        ("plus", "minus"),
        4,
        (30, 10, 2),
    )
    assert np.isfinite(found.target[0]).all()
    assert np.isnan(found.target[1, 8:]).all()
    assert "tracks.h5 row 1: 10 bins of 4 nt, labels for 9; a number for every bin" in fault(
        tracks(tmp_path, bins=9)
    )


def test_numbers_that_begin_with_zeros_are_numbers(tmp_path):
    recipe = tracks(tmp_path)
    with h5py.File(recipe.path, "a") as file:
        del file["sequence"], file["label"], file["split"]
        split = ["train"] * 4 + ["validation", "test"]
        file.create_dataset(
            "sequence", data=[turned(row, 80_000) for row in range(6)], dtype=h5py.string_dtype()
        )
        file.create_dataset("split", data=split, dtype=h5py.string_dtype())
        label = np.zeros((6, 20_000, 2), np.float32)
        label[:, ::7], label[3:, ::5] = 1, 3  # the first three rows hold 0 and 1 alone
        file.create_dataset("label", data=label)
    assert open_set(recipe).task.name == "regression"


def test_an_hdf5_of_others_is_refused(tmp_path):
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=[1, 2])
    line = fault(ArraysRecipe(path=path))
    assert (
        f"is not a labelled set of this tool (format None; holds x); attribute format = {FORMAT!r}"
        in line
    )
    for message, data in {
        "sequence holds int64; text of IUPAC letters": {"sequence": [1, 2], "label": [0, 1]},
        "label has 1 rows, sequence 2; as many of each": {"sequence": ["AC", "GT"], "label": [0]},
        "label has no rows, sequence 2; as many of each": {"sequence": ["AC", "GT"], "label": 5},
        "start holds no whole numbers; 0-based half-open places": {
            "sequence": ["AC", "GT"],
            "label": [0, 1],
            "chrom": ["a", "a"],
            "start": ["1", "2"],
            "end": [3, 4],
        },
        "theirs.h5: has 2 labels a row and 3 names (a, b, c); a name for each": {
            "sequence": ["AC", "GT"],
            "label": [[0, 1], [1, 0]],
        },
    }.items():
        with h5py.File(path, "w") as file:
            file.attrs.update({"format": FORMAT, "labels": ["a", "b", "c"]})
            for name, values in data.items():
                file[name] = values
        assert message in fault(ArraysRecipe(path=path))
    path.write_bytes(b"no HDF5")
    assert "cannot be read (no HDF5, or damaged" in fault(ArraysRecipe(path=path))
    assert "cannot be read (no such file)" in fault(ArraysRecipe(path=tmp_path / "none.h5"))


def hdf5(path, **columns) -> ArraysRecipe:
    """A file of our format; a dataset is replaced by what `columns` says, None leaves it out."""
    values = {"sequence": ["ACGT", "GGTT"], "label": [0, 1], **columns}
    with h5py.File(path, "w") as file:
        file.attrs["format"] = FORMAT
        for name, value in values.items():
            if callable(value):
                value(file, name)
            elif value is not None:
                file[name] = value
    return ArraysRecipe(path=path)


def link_loop(file, name):
    file[name] = h5py.SoftLink(f"/{name}")


def raw_elsewhere(file, name):
    secret = Path(file.filename).with_name("secret.bin")
    secret.write_bytes(b"\x01" * 16)
    file.create_dataset(name, (2,), "i8", external=[(str(secret), 0, 16)])


def virtual(file, name):
    layout = h5py.VirtualLayout((2,), "i8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (2,))
    file.create_virtual_dataset(name, layout)


def many_rows(file, name):
    file.create_dataset(name, (10**12,), h5py.string_dtype(), chunks=(1000,))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"sequence": lambda file, name: file.create_group(name)}, "sequence is a group; a data"),
        ({"label": lambda file, name: file.create_group(name)}, "label is a group; a dataset"),
        ({"sequence": link_loop}, "sequence is a link that leads nowhere, or in a circle"),
        ({"label": link_loop}, "label is a link that leads nowhere, or in a circle"),
        (
            {"label": lambda file, name: file.update({name: h5py.ExternalLink("o.h5", "x")})},
            "label is a link to another file (o.h5); a dataset in this file",
        ),
        ({"label": raw_elsewhere}, "label keeps its data in another file; a dataset in this"),
        ({"label": virtual}, "label keeps its data in another file; a dataset in this file"),
        ({"sequence": many_rows}, "sequence declares 1,000,000,000,000 values in a file of"),
        ({"sequence": [b"AC\xff", b"GT"]}, "holds text that is not UTF-8; UTF-8 text"),
        ({"sequence": np.array([["A"], ["C"]], object)}, "sequence has 2 axes; one text a row"),
        ({"label": [1 + 2j, 2]}, "label holds complex128; text or numbers"),
        ({"label": np.zeros((2, 2, 2, 2))}, "label has 4 axes; (N,), (N, K) or (N, P, K)"),
        (
            {"chrom": ["a", "a"], "start": [5, 0], "end": [4, 4]},
            "row 1: start 5, end 4; 0-based half-open places",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_an_hdf5_that_reads_elsewhere_or_lies_is_one_line(tmp_path, columns, message):
    recipe = hdf5(tmp_path / "odd.h5", **columns)
    assert message in fault(recipe)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bin", "ten", "bin is 'ten'; a whole number of letters"),
        ("bin", -1, "bin is "),
        ("bin", [1, 2], "bin is array"),
        ("labels", "ab", "labels is 'ab'; a list of names"),
        ("labels", [1, 2], "labels is array([1, 2]); a list of names"),
    ],
)
def test_an_attribute_of_another_kind_is_one_line(tmp_path, name, value, message):
    recipe = hdf5(tmp_path / "odd.h5")
    with h5py.File(recipe.path, "a") as file:
        file.attrs[name] = value
    assert message in fault(recipe)


def test_a_heap_of_text_without_an_end_is_refused_rather_than_read_for_ever(tmp_path):
    recipe = hdf5(tmp_path / "odd.h5")
    content = bytearray(recipe.path.read_bytes())
    at = content.find(b"GCOL") + 16
    while int.from_bytes(content[at : at + 2], "little"):
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    content[at + 8 : at + 16] = bytes(8)  # what is free takes no place
    recipe.path.write_bytes(content)
    assert "odd.h5: is damaged (a heap of text that has no end); copy it again" in fault(recipe)


def test_a_name_that_is_not_utf8_is_one_line(tmp_path):
    recipe = hdf5(tmp_path / "odd.h5")
    with h5py.File(recipe.path, "a") as file:
        file[b"\xff\xfe"] = [1, 2]
    assert "holds a name that is not UTF-8; UTF-8 text" in fault(recipe)
