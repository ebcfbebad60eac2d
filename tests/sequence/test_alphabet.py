import warnings

import numpy as np
import pytest
from Bio.Seq import reverse_complement
from hypothesis import given
from hypothesis import strategies as st

from orchid_genomics.errors import GenomeNote, InputError, RecipeError
from orchid_genomics.sequence import DNA, SOFT, alphabet

letters = st.text(alphabet="ACGTNacgtn")


@given(letters)
def test_letters_survive_encoding_with_their_case(text):
    assert DNA.decode(DNA.encode(text)) == text


@given(letters)
def test_reverse_complement_agrees_with_biopython(text):
    assert DNA.decode(DNA.reverse_complement(DNA.encode(text))) == reverse_complement(text)


@given(st.lists(st.integers(0, 6).map(int), min_size=1), st.booleans())
def test_reverse_complement_twice_is_identity_for_every_code(codes, soft):
    tokens = np.array(codes, np.uint8) | (SOFT if soft else 0)
    assert np.array_equal(DNA.reverse_complement(DNA.reverse_complement(tokens)), tokens)


def test_reverse_complement_of_a_batch_is_that_of_its_rows():
    batch = np.random.default_rng(0).integers(0, 7, (3, 4, 50)).astype(np.uint8)
    rows = DNA.reverse_complement(batch)
    assert rows.shape == batch.shape
    assert all(
        np.array_equal(rows[i, j], DNA.reverse_complement(batch[i, j]))
        for i in range(3)
        for j in range(4)
    )


def test_iupac_codes_become_n_and_keep_their_case():
    tokens = DNA.encode("RYSWKMBDHVNryswkmbdhvn")
    assert set(tokens[:11]) == {DNA.n}
    assert set(tokens[11:]) == {DNA.n | SOFT}


def test_tokens_can_be_written_to():
    for tokens in (DNA.encode(b"ACGT"), DNA.reverse_complement(DNA.encode("ACGT"))):
        tokens[0] = DNA.mask
        assert tokens.dtype == np.uint8


def test_a_letter_that_is_none_is_named_with_its_one_based_place():
    with pytest.raises(
        InputError, match=r"^chr1: 'J' at letter 3 is no nucleotide code; A C G T N and"
    ):
        DNA.encode("ACJT", "chr1")
    with pytest.raises(InputError, match=r"'-' at letter 1,002 "):
        DNA.encode("A-", "chr1", 1000)


def test_mask_and_pad_are_written_and_are_their_own_complement():
    tokens = np.array([0, DNA.mask, DNA.pad], np.uint8)
    assert DNA.decode(tokens) == "A#-"
    assert DNA.decode(DNA.reverse_complement(tokens)) == "-#T"


def test_alphabets_by_name():
    assert alphabet("dna") is DNA
    assert alphabet("symbols:20").size == 23
    with pytest.raises(RecipeError, match="unknown name 'rna'; dna, or symbols:N"):
        alphabet("rna")
    with pytest.raises(RecipeError, match="has no complement"):
        _ = alphabet("symbols:20").complement_codes


def test_u_is_t_and_said_once():
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("default", GenomeNote)
        encoded = [DNA.encode(letters) for letters in ("ACGUacgu", "UUU", b"u")]
    assert [DNA.decode(tokens) for tokens in encoded] == ["ACGTacgt", "TTT", "t"]
    assert [str(note.message) for note in notes] == ["letters U are read as T, as in RNA"]
