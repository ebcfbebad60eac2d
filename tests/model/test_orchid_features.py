"""OrchidFeatures: a transformer as scikit-learn wants it, whose vectors know no neighbour and no
strand.
"""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import letters_model, random_letters, random_model
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from orchid_genomics.errors import InputError
from orchid_genomics.model.batching import batches
from orchid_genomics.model.sklearn import OrchidFeatures
from orchid_genomics.sequence import DNA

SEQUENCES = [random_letters(size, size) for size in (1, 7, 31, 32, 33, 60, 64, 64, 200, 513)]


def other_strand(sequence):
    return DNA.decode(DNA.reverse_complement(DNA.encode(sequence)))


@pytest.fixture(scope="module")
def model():
    return letters_model(width=16)


def test_mean_is_the_mean_of_the_encoders_vectors(model):
    found = OrchidFeatures(model, strand="forward").fit_transform(SEQUENCES)
    for row, sequence in zip(found, SEQUENCES, strict=True):
        vectors = model.encoder(torch.from_numpy(DNA.encode(sequence))[None])[0]
        np.testing.assert_allclose(row, vectors.detach().numpy().mean(0), atol=1e-5)
    centre = OrchidFeatures(model, pool="center", strand="forward").fit_transform(SEQUENCES[1:2])
    vectors = model.encoder(torch.from_numpy(DNA.encode(SEQUENCES[1]))[None])[0, 3]
    np.testing.assert_allclose(centre[0], vectors.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "center"])
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
def test_both_strands_have_the_same_vector(pool, strands):
    model = random_model(strands=strands, width=16)
    here = OrchidFeatures(model, pool).fit(SEQUENCES)
    assert here.n_features_out_ == (8 if strands == "equivariant" else 16)
    np.testing.assert_allclose(
        here.transform(SEQUENCES),
        here.transform([other_strand(text) for text in SEQUENCES]),
        atol=1e-5,
    )
    forward = OrchidFeatures(model, pool, "forward").fit(SEQUENCES)
    assert forward.n_features_out_ == 16
    assert not np.allclose(
        forward.transform(SEQUENCES[-1:]), forward.transform([other_strand(SEQUENCES[-1])])
    )


def test_a_vector_is_of_its_sequence_alone(model):
    features = OrchidFeatures(model).fit(SEQUENCES)
    together = features.transform(SEQUENCES)
    np.testing.assert_array_equal(features.transform(SEQUENCES[::-1])[::-1], together)
    for row, sequence in zip(together, SEQUENCES, strict=True):
        np.testing.assert_array_equal(features.transform([sequence])[0], row)
        np.testing.assert_array_equal(features.transform([sequence.lower()])[0], row)
    np.testing.assert_array_equal(
        features.transform([DNA.encode(text) for text in SEQUENCES]), together
    )
    assert together.dtype == np.float32


def test_parameters_clone_and_pickle(model, tmp_path):
    model.save_pretrained(tmp_path / "m")
    features = OrchidFeatures(tmp_path / "m", pool="center")
    assert features.get_params() == {
        "model": tmp_path / "m",
        "pool": "center",
        "strand": "both",
        "device": "cpu",
    }
    copy = clone(features.set_params(pool="mean"))
    assert copy.pool == "mean"
    with pytest.raises(NotFittedError):
        copy.transform(SEQUENCES)
    expected = OrchidFeatures(model).fit_transform(SEQUENCES)
    np.testing.assert_array_equal(copy.fit_transform(SEQUENCES), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(copy)).transform(SEQUENCES), expected)
    assert copy.get_feature_names_out().tolist() == [f"orchid{i}" for i in range(8)]
    assert copy.transform([]).shape == (0, 8)
    assert "OrchidFeatures" in repr(make_pipeline(copy, LogisticRegression()))


def test_cross_validation_of_a_pipeline(model):
    """Planted: half of the sequences are rich in GC, which any encoder's mean vector tells."""
    X = np.array([random_letters(60, i, "ACGT" + "GC" * 3 * (i % 2)) for i in range(40)])
    y = np.arange(40) % 2
    pipe = make_pipeline(OrchidFeatures(model), LogisticRegression(max_iter=500))
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    assert cross_val_score(pipe, X, y, cv=folds).mean() > 0.85
    search = GridSearchCV(pipe, {"orchidfeatures__pool": ["mean", "center"]}, cv=folds).fit(X, y)
    assert search.best_params_ == {"orchidfeatures__pool": "mean"}
    np.testing.assert_array_equal(search.predict(X[:4]), y[:4])


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ("ACGT", "sequences: one text; a list of sequences"),
        (["ACGT", ""], "sequence 2: is empty; at least one of A, C, G and T"),
        (["NNN"], "sequence 1: is all N"),
        (["ACGT", "AC-T"], "sequence 2: '-' at letter 3 is no nucleotide code"),
        (["A", 5], "sequence 2: is a int; text of IUPAC letters"),
        (["A" * 131_073], "sequence 1: has 131,073 letters; up to 131,072"),
    ],
)
def test_a_sequence_that_is_none_is_one_line(model, sequences, message):
    with pytest.raises(InputError, match=message):
        OrchidFeatures(model).fit(sequences)


def test_a_column_of_a_table_is_its_sequences_and_not_its_name(model):
    features = OrchidFeatures(model).fit(SEQUENCES)
    wanted = features.transform(SEQUENCES)
    column = np.array(SEQUENCES, object)[:, None]
    assert np.array_equal(features.transform(column), wanted)

    class Frame:  # iterates over the names of its columns, as data frames do
        ndim = 2

        def __iter__(self):
            return iter(["DNA"])

        def __array__(self, dtype=None, copy=None):
            return column

    assert np.array_equal(features.transform(Frame()), wanted)
    with pytest.raises(
        InputError, match=r"sequences: a table of 2 columns; one column of sequences"
    ):
        features.transform(np.concatenate([column, column], 1))


def test_a_parameter_that_is_not_possible_is_one_line(model):
    with pytest.raises(InputError, match="OrchidFeatures pool: 'max'; mean or center"):
        OrchidFeatures(model, pool="max").fit(["ACGT"])
    with pytest.raises(InputError, match="OrchidFeatures strand: 'auto'; both or forward"):
        OrchidFeatures(model, strand="auto").fit(["ACGT"])


@given(lengths=st.lists(st.integers(1, 40), max_size=30).map(sorted), most=st.integers(1, 90))
def test_batches_hold_every_row_once_and_a_bound_of_letters(lengths, most):
    found = batches(lengths, most)
    assert [at for batch in found for at in batch] == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * lengths[batch[-1]] <= most for batch in found)
