"""Changes of coding sequences against Biopython's own translation, and genes made by hand."""

import numpy as np
import pytest
from Bio.Seq import Seq

from orchid_genomics.errors import InputError
from orchid_genomics.genome.annotation import read_annotation
from orchid_genomics.genome.coding import Code, changes, coding_sequences, draw_genes
from orchid_genomics.genome.fasta import Genome

ORF = "ATGTCAACAAATTACCATGGTTGGCTAGTTTAA"  # 11 codons


def gff(*rows):
    """GFF3 of CDS parts: (gene, start, end, strand), 1-based."""
    text = "##gff-version 3\n"
    for gene, start, end, strand in rows:
        text += f"c\tx\tCDS\t{start}\t{end}\t.\t{strand}\t0\t"
        text += f"ID=CDS:{gene};Parent={gene}.t;gene_id={gene}\n"
    return text


def genes_of(folder, letters, *rows, code=None):
    (folder / "g.fa").write_text(f">c\n{letters}\n")
    (folder / "a.gff3").write_text(gff(*rows))
    genome = Genome(folder / "g.fa")
    return genome, *coding_sequences(
        read_annotation(folder / "a.gff3", genome), genome, {"c": code or Code()}
    )


def expected(orf, place, alt):
    """The consequence by translating the whole changed sequence."""
    changed = orf[:place] + alt + orf[place + 1 :]
    before, after = (str(Seq(text).translate()) for text in (orf, changed))
    codon = place // 3
    if codon == 0:
        return "start_lost"
    if before[codon] == "*" and after[codon] != "*":
        return "stop_lost"
    if before == after:
        return "synonymous"
    return "stop_gained" if after[codon] == "*" else "missense"


@pytest.mark.parametrize("strand", "+-")
def test_every_change_is_what_the_translation_says(tmp_path, strand):
    letters = "GG" + (ORF if strand == "+" else str(Seq(ORF).reverse_complement())) + "CC"
    genome, (coding,), dropped = genes_of(tmp_path, letters, ("one", 3, 2 + len(ORF), strand))
    assert dropped == {}
    found = list(changes(coding, genome, last=0))
    assert len(found) == 3 * len(ORF)
    for change in found:
        place = change.position - 2 if strand == "+" else len(ORF) - 1 - (change.position - 2)
        alt = change.alt if strand == "+" else str(Seq(change.alt).complement())
        assert change.ref == letters[change.position]
        assert change.consequence == expected(ORF, place, alt)
        assert change.letter == place % 3 + 1
        around = f"GG{ORF}CC"
        assert change.context == f"{around[place + 1]}[{ORF[place]}>{alt}]{around[place + 3]}"
        fields = change.csq.split("|")
        assert fields[:5] == [change.consequence, "one", "one.t", "protein_coding", strand]
        assert fields[6] == f"{change.position + 1}{change.ref}>{change.alt}"


def test_stop_words_are_found_in_all_three_frames(tmp_path):
    genome, (coding,), _ = genes_of(tmp_path, ORF, ("one", 1, len(ORF), "+"))
    stops = {"TAA", "TAG", "TGA"}
    for change in changes(coding, genome, last=0):
        new = ORF[: change.position] + change.alt + ORF[change.position + 1 :]
        starts = range(max(change.position - 2, 0), min(change.position, len(ORF) - 3) + 1)
        hit = [s for s in starts if new[s : s + 3] in stops]
        made = [s for s in hit if ORF[s : s + 3] not in stops]
        if len(made) == 1 and made == hit:
            frame = "in_frame" if made[0] % 3 == 0 else "out_of_frame"
            assert (change.stop, change.frame) == (new[made[0] : made[0] + 3], frame)
        else:
            assert (change.stop, change.frame) == ("", "")
    in_frame = [c for c in changes(coding, genome, last=0) if c.frame == "in_frame"]
    assert in_frame
    assert {change.consequence for change in in_frame} == {"stop_gained"}


@pytest.mark.parametrize("strand", "+-")
def test_an_intron_is_read_over_and_its_words_are_no_stop_words(tmp_path, strand):
    spliced = "CC" + ORF[:10] + "GTCCCCCCAG" + ORF[10:] + "CC"
    letters = spliced if strand == "+" else str(Seq(spliced).reverse_complement())
    size = len(spliced)
    parts = [(3, 12), (23, 22 + len(ORF) - 10)]
    rows = [
        ("one", *(p if strand == "+" else (size + 1 - p[1], size + 1 - p[0])), strand)
        for p in parts
    ]
    genome, (coding,), _ = genes_of(tmp_path, letters, *rows)
    assert "".join("ACGT"[c] for c in coding.codes) == ORF
    found = list(changes(coding, genome, last=0))
    assert [c.consequence for c in found] == [
        expected(ORF, place, alt)
        for place in range(len(ORF))
        for alt in "ACGT"
        if alt != ORF[place]
    ]
    last_of_exon = found[9 * 3]
    assert last_of_exon.context.endswith("]G")  # the intron's first letter


def test_the_end_of_a_gene_is_left_out(tmp_path):
    genome, (coding,), _ = genes_of(tmp_path, ORF, ("one", 1, len(ORF), "+"))
    assert (
        max(change.position for change in changes(coding, genome, last=0.1))
        == int(len(ORF) * 0.9) - 1
    )


@pytest.mark.parametrize(
    ("letters", "reason"),
    [
        ("ATGAAATAAGG", "length no multiple of three"),
        ("CCCAAATAA", "no start codon"),
        ("ATGAAAAAA", "no stop codon"),
        ("ATGTAAAAATAA", "stop codon inside"),
        ("ATGAANTAA", "letters other than A, C, G and T"),
    ],
)
def test_what_is_no_reading_frame_is_left_out_by_reason(tmp_path, letters, reason):
    _, found, dropped = genes_of(tmp_path, letters, ("bad", 1, len(letters), "+"))
    assert (found, dropped) == ([], {reason: 1})


def test_genes_that_share_a_letter_are_both_left_out_and_isoforms_are_not_two_genes(tmp_path):
    letters = ORF * 4
    size = len(ORF)
    rows = [("a", 1, size, "+"), ("b", size - 2, size + 6, "-"), ("c", 2 * size + 1, 3 * size, "+")]
    rows += [("c", 2 * size + 1, 3 * size, "+"), ("d", 3 * size + 1, 4 * size, "+")]
    _, found, dropped = genes_of(tmp_path, letters, *rows)
    assert [coding.gene for coding in found] == ["c", "d"]
    assert dropped == {"overlaps another gene": 2}


def test_overlaps_are_those_of_every_pair(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for gene in range(30):
        start = int(rng.integers(1, 400))
        rows.append((f"g{gene}", start, start + int(rng.integers(1, 30)), rng.choice(["+", "-"])))
    _, found, dropped = genes_of(tmp_path, "ACGT" * 110, *rows)
    shared = {a[0] for a in rows for b in rows if a[0] != b[0] and a[1] <= b[2] and b[1] <= a[2]}
    assert dropped["overlaps another gene"] == len(shared)
    assert not {coding.gene for coding in found} & shared


def test_other_codes_and_unknown_ones():
    tgg, tga = 3 * 16 + 2 * 4 + 2, 3 * 16 + 2 * 4
    assert Code(1).consequence(tgg, tga, first=False) == "stop_gained"
    assert Code(2).consequence(tgg, tga, first=False) == "synonymous"  # mitochondria of vertebrates
    with pytest.raises(InputError, match=r"^table: no genetic code 99; possible: 1, 2, 3"):
        Code(99)


def test_a_draw_of_genes_is_the_same_again_and_keeps_the_order(tmp_path):
    letters = ORF * 8
    rows = [(f"g{i}", i * len(ORF) + 1, (i + 1) * len(ORF), "+") for i in range(8)]
    _, found, _ = genes_of(tmp_path, letters, *rows)
    some = [coding.gene for coding in draw_genes(found, 4, seed=1)]
    assert len(some) == 4
    assert some == sorted(some) == [coding.gene for coding in draw_genes(found, 4, seed=1)]
    assert len({tuple(c.gene for c in draw_genes(found, 4, seed)) for seed in range(9)}) > 1
