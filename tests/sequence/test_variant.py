"""A change at a place: its type, and what is left without the letters that both sides share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchid_genomics.sequence import Variant

LETTERS = st.text("ACGT", max_size=6)


@pytest.mark.parametrize(
    ("ref", "alt", "kind"),
    [
        ("A", "C", "SNV"),
        ("GAT", "GCT", "SNV"),
        ("AC", "GT", "MNV"),
        ("ACG", "GCT", "MNV"),
        ("A", "AT", "insertion"),
        ("AT", "A", "deletion"),
        ("", "A", "insertion"),
        ("ACG", "TT", "delins"),
        ("A", "A", "none"),
        ("CAA", "CAA", "none"),
    ],
)
def test_kinds(ref, alt, kind):
    assert Variant("c", 5, ref, alt).kind == kind


@given(ref=LETTERS, alt=LETTERS, left=LETTERS, right=LETTERS)
def test_shared_letters_mean_nothing(ref, alt, left, right):
    plain, padded = (
        Variant("c", 9, ref, alt),
        Variant("c", 9 - len(left), left + ref + right, left + alt + right),
    )
    assert plain.kind == padded.kind
    short = padded.trimmed()
    assert short == short.trimmed()
    assert not (short.ref and short.alt) or (
        short.ref[0] != short.alt[0] and short.ref[-1] != short.alt[-1]
    )
    whole, at = left + ref + right, short.start - padded.start
    assert whole[:at] + short.alt + whole[at + len(short.ref) :] == left + alt + right
    assert whole[at : at + len(short.ref)] == short.ref


def test_as_printed():
    assert str(Variant("chr1", 999, "A", "")) == "chr1:1,000 A>-"
