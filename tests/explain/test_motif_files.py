"""The same motif from every format, JASPAR by name, and files that hold none."""

import gzip

import numpy as np
import pytest

from orchid_genomics.errors import InputError
from orchid_genomics.explain.motif_files import read_motifs

COUNTS = np.array([[8, 0, 2], [0, 0, 2], [0, 10, 2], [2, 0, 4]])
FILES = {
    "MEME": (
        "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nMOTIF M1 word\n"
        "log-odds matrix: alength= 4 w= 3 E= 0\n1 2 3 4\n1 2 3 4\n1 2 3 4\n"
        "letter-probability matrix: alength= 4 w= 3 nsites= 10 E= 0\n"
        "0.8 0 0 0.2\n 0 0 1 0\n 0.2 0.2 0.2 0.4\n\nURL none\n"
    ),
    "JASPAR": ">M1 word\nA [ 8 0 2 ]\nC [ 0 0 2 ]\nG [ 0 10 2 ]\nT [ 2 0 4 ]\n",
    "TRANSFAC": (
        "ID  M1\nNA  word\nP0  A C G T\n01  8 0 0 2 A\n02  0 0 10 0 G\n03  2 2 2 4 N\nXX\n//\n"
    ),
}


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_gives_the_same_probabilities(tmp_path, form, packed):
    path = tmp_path / "motifs.txt"
    path.write_bytes(gzip.compress(FILES[form].encode()) if packed else FILES[form].encode())
    (motif,) = read_motifs(path)
    assert (motif.id, motif.name, len(motif)) == ("M1", "word", 3)
    np.testing.assert_allclose(motif.matrix, COUNTS / COUNTS.sum(0))


def test_jaspar_is_asked_by_name_by_id_and_by_species():
    (tbp,) = read_motifs("jaspar:TBP")
    assert tbp.id.startswith("MA0108.")
    assert read_motifs("JASPAR:ma0108")[0].id == tbp.id
    assert len(read_motifs("jaspar:fungi")) > 100
    np.testing.assert_allclose(tbp.matrix.sum(0), 1)


MATRIX = "MEME version 4\nMOTIF M1\nletter-probability matrix: w="


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no motif; a motif file (MEME, JASPAR or TRANSFAC), or jaspar:NAME"),
        ("chr1\t1\t5\n", "holds no motif; "),
        (
            ">M1\nA [ 8 0 ]\nC [ 0 0 ]\nG [ 0 0 ]\nT [ 2 0 ]\n",
            "is no motif file (a column has negative numbers",
        ),
        (f"{MATRIX} 3\n0.1 0.2 0.3 0.4\n", "is no motif file (motif M1 is cut short)"),
        (f"{MATRIX} 1\n0.1 0.2 x 0.4\n", "is no motif file (could not"),
        (f"{MATRIX} 1\n0.1 0.2 0.7\n", "is no motif file (a matrix has not four letters)"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, text, message):
    path = tmp_path / "motifs.txt"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_motifs(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_and_a_name_that_jaspar_has_not_are_one_line(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_motifs(tmp_path / "none.meme")
    with pytest.raises(
        InputError,
        match=r"^jaspar:nonsense: JASPAR\d+ has no such motif; a name, an ID, or vertebrates",
    ):
        read_motifs("jaspar:nonsense")
