"""Structural variants as letters: each ALT against a genome that was changed by hand."""

import pytest
from random_models import random_letters, write_genome

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.structural import Rearrangement
from orchid_genomics.genome.vcf import Record

SIZE = 200
LETTERS = random_letters(SIZE, 5)


@pytest.fixture
def genome(tmp_path):
    write_genome(tmp_path / "g.fa", {"c1": LETTERS, "c2": random_letters(90, 6)})
    return Genome(tmp_path / "g.fa")


def other(letters):
    return letters[::-1].translate(str.maketrans("ACGT", "TGCA"))


def allele(position, alt, info=".", ref=None, number=0):
    """An allele of a record at a 1-based position, as the genome has REF."""
    ref = ref or LETTERS[position - 1]
    line = f"c1\t{position}\t.\t{ref}\t{alt}\t.\t.\t{info}".encode()
    record = Record(line, "c1", position - 1, ".", ref, tuple(alt.split(",")))
    return record.alleles("c1")[number]


def changed(genome, change):
    """The whole contig after a change."""
    assert isinstance(change, Rearrangement)
    variant = change.spell(genome)
    assert variant.ref == LETTERS[variant.start : variant.end]
    return LETTERS[: variant.start] + variant.alt + LETTERS[variant.end :]


P, Q = 60, 80  # 1-based: POS is the letter before an event, END the last of it
INSIDE = LETTERS[P:Q]
DELETED = LETTERS[:P] + LETTERS[Q:]
TWICE = LETTERS[:Q] + INSIDE + LETTERS[Q:]
TURNED = LETTERS[:P] + other(INSIDE) + LETTERS[Q:]


@pytest.mark.parametrize(
    ("alt", "info", "after"),
    [
        ("<DEL>", f"END={Q}", DELETED),
        ("<DEL:ME:ALU>", f"IMPRECISE;SVTYPE=DEL;END={Q};SVLEN=-5", DELETED),  # END is first
        ("<DEL>", "SVLEN=-20", DELETED),
        ("<DEL>", "SVLEN=20\r", DELETED),
        ("<DUP>", f"END={Q}", TWICE),
        ("<DUP:TANDEM>", "SVLEN=20", TWICE),
        ("<INV>", f"END={Q};SVLEN=0", TURNED),
        ("<INV>", f"SVTYPE=INV;END={P};SVLEN=20", TURNED),  # an END that is none
    ],
)
def test_symbolic_alleles_are_stretches_of_the_genome(genome, alt, info, after):
    assert changed(genome, allele(P, alt, info)) == after


def test_each_of_several_has_its_own_length(genome):
    info = f"END={Q};SVLEN=-20,20,."
    assert changed(genome, allele(P, "<DEL>,<DUP>,<INV>", info)) == DELETED
    assert changed(genome, allele(P, "<DEL>,<DUP>,<INV>", info, number=1)) == TWICE
    assert allele(P, "<DEL>,<DUP>,<INV>", info, number=2) == "symbolic"


@pytest.mark.parametrize(
    ("alt", "info"),
    [
        ("<DEL>", "."),
        ("<DEL>", f"END={P}"),
        ("<DEL>", "END=x;SVLEN=.;SVTYPE=DEL"),
        ("<INS>", f"END={P};SVLEN=30"),
        ("<CNV>", f"END={Q}"),
        ("<DUP:INS>", f"END={Q}"),
        ("<NON_REF>", f"END={Q}"),
        ("<*>", "."),
    ],
)
def test_what_says_no_letters_stays_symbolic(alt, info):
    assert allele(P, alt, info) == "symbolic"


A, B = LETTERS[P - 1], LETTERS[Q - 1]


@pytest.mark.parametrize(
    ("position", "alt", "after", "kind"),
    [
        # joined on one strand: the letters between P and Q + 1 go, written at either end
        (P, f"{A}[c1:{Q + 1}[", DELETED, "deletion"),
        (Q + 1, f"]c1:{P}]{LETTERS[Q]}", DELETED, "deletion"),
        (P, f"N[c1:{Q + 1}[", DELETED, "deletion"),
        (Q + 1, f"]c1:{P}]n", DELETED, "deletion"),
        (P, f"{A}GTG[c1:{Q + 1}[", LETTERS[:P] + "GTG" + LETTERS[Q:], "deletion"),
        # from Q back to P + 1
        (Q, f"{B}[c1:{P + 1}[", TWICE, "duplication"),
        (P + 1, f"]c1:{Q}]{LETTERS[P]}", TWICE, "duplication"),
        (
            P + 1,
            f"]c1:{Q}]GTG{LETTERS[P]}",
            LETTERS[:Q] + "GTG" + INSIDE + LETTERS[Q:],
            "duplication",
        ),
        # all four breakends of one inversion
        (P, f"{A}]c1:{Q}]", TURNED, "inversion"),
        (Q, f"{B}]c1:{P}]", TURNED, "inversion"),
        (P + 1, f"[c1:{Q + 1}[{LETTERS[P]}", TURNED, "inversion"),
        (Q + 1, f"[c1:{P + 1}[{LETTERS[Q]}", TURNED, "inversion"),
        (P, f"N]c1:{Q}]", TURNED, "inversion"),
        (Q, f"N]c1:{P}]", TURNED, "inversion"),
        (P + 1, f"[c1:{Q + 1}[N", TURNED, "inversion"),
        (Q + 1, f"[c1:{P + 1}[N", TURNED, "inversion"),
        (P, f"{A}GT]c1:{Q}]", LETTERS[:P] + "GT" + other(INSIDE) + LETTERS[Q:], "inversion"),
        (Q, f"{B}GT]c1:{P}]", LETTERS[:P] + "AC" + other(INSIDE) + LETTERS[Q:], "inversion"),
    ],
)
def test_breakends_on_one_contig_are_the_change_that_joins_them(genome, position, alt, after, kind):
    change = allele(position, alt)
    assert changed(genome, change) == after
    assert change.kind == kind
    assert change.recorded.ref == LETTERS[position - 1]


@pytest.mark.parametrize(
    "alt", [f"{A}[c2:5[", f"{A}[<c1>:5[", f"{A}[c1:{P}[", f"{A}.", f".{A}", f"{A}[c1:70]", "[c1:7["]
)
def test_other_breakends_are_none(alt):
    assert allele(P, alt) == "breakend"


def test_sizes_are_known_before_any_letter_is_read():
    assert allele(P, "<DEL>", "END=90000000").size == 90_000_000 - P
    assert allele(P, "<DUP>", "SVLEN=12").size == 12
    assert allele(P, f"{A}]c1:5000]").size == 5000 - P + 1
    assert str(allele(P, "<INV>", f"END={Q}")) == "c1:61-80 inversion"
