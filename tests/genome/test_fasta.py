import gzip
import hashlib
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchid_genomics.errors import InputError, MachineError
from orchid_genomics.genome import fasta
from orchid_genomics.genome.fasta import Genome, GenomeNote
from orchid_genomics.sequence import DNA

CONTIGS = st.sampled_from(["chr1", "chr2", "chrM"])


def bgzip(path, text: str):
    with pysam.BGZFile(str(path), "wb") as file:
        file.write(text.encode())
    return path


# Reading


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kept", [0, fasta.KEPT])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(contig=CONTIGS, start=st.integers(-30, 140), length=st.integers(1, 150))
def test_letters_and_tokens_are_those_of_the_file_padded_with_n(tiny, tiny_fasta, packed, kept, contig, start, length):
    path = tiny_fasta if not packed else bgzip(tiny_fasta.with_suffix(".fa.gz"), tiny_fasta.read_text())
    expected = "".join(tiny[contig][i] if 0 <= i < len(tiny[contig]) else "N" for i in range(start, start + length))
    with pytest.MonkeyPatch.context() as patch, Genome(path) as genome:
        patch.setattr(fasta, "KEPT", kept)
        assert genome.letters(contig, start, start + length) == expected.encode()
        tokens = genome.tokens(contig, start, start + length)
        assert np.array_equal(tokens, DNA.encode(expected))
        assert np.array_equal(genome.tokens(contig, start, start + length, "-"), DNA.reverse_complement(tokens))


def test_contigs_come_in_file_order_with_their_lengths(tiny, tiny_genome, yeast):
    assert list(tiny_genome.contigs.items()) == [(name, len(letters)) for name, letters in tiny.items()]
    assert len(yeast.contigs) == 17
    assert sum(yeast.contigs.values()) == 12_157_105


def test_yeast_reads_as_pysam_reads_it(yeast):
    with pysam.FastaFile(str(yeast.path)) as other:
        for contig, start in (("chrIV", 1_000_000), ("chrM", 0), ("chrX", 745_000)):
            assert yeast.letters(contig, start, start + 700) == other.fetch(contig, start, start + 700).encode()


def test_tokens_may_be_overwritten_without_harm(tiny_genome):
    first = tiny_genome.tokens("chr1", 0, 5)
    first[:] = DNA.mask
    assert DNA.decode(tiny_genome.tokens("chr1", 0, 5)) == "ACGTN"


@pytest.mark.parametrize(
    "text", [">a\r\nACGT\r\nAC\r\n>b\r\nTT\r\n", ">a\nACGT\nAC\n\n>b c\nTT", "\n>a\nACGTAC\n>b\nTT\n\n\n"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_line_ends_and_blank_lines_between_contigs_do_not_matter(tmp_path, text, packed):
    path = tmp_path / "a.fa"
    if packed:
        bgzip(path, text)
    else:
        path.write_bytes(text.encode())
    genome = Genome(path)
    assert (genome.letters("a", 0, 6), genome.letters("b", 0, 2)) == (b"ACGTAC", b"TT")


def test_the_checksum_is_that_of_the_file(tiny_genome, tiny_fasta):
    assert tiny_genome.checksum() == hashlib.sha256(tiny_fasta.read_bytes()).hexdigest()


@pytest.mark.parametrize("kept", [0, fasta.KEPT])
def test_a_letter_that_is_no_nucleotide_is_named_with_contig_and_place(tmp_path, monkeypatch, kept):
    monkeypatch.setattr(fasta, "KEPT", kept)
    path = tmp_path / "protein.fa"
    path.write_text(">p\nACGT\nACJT\n")
    with pytest.raises(InputError, match=r"protein\.fa p: 'J' at letter 7 is no nucleotide code"):
        Genome(path).tokens("p", 5, 8)


def test_impossible_places_are_refused(tiny_genome):
    with pytest.raises(InputError, match=r"unknown contig 'chr9'; possible: chr1, chr2, chrM"):
        tiny_genome.tokens("chr9", 0, 5)
    with pytest.raises(InputError, match="start 5 is not below end 5"):
        tiny_genome.letters("chr1", 5, 5)
    with pytest.raises(InputError, match=r"strand '~'; \+, - or"):
        tiny_genome.tokens("chr1", 0, 5, "~")


# Processes


def test_a_pickled_genome_reads_the_same(tiny, tiny_genome):
    tiny_genome.tokens("chr1", 0, 5)
    copy = pickle.loads(pickle.dumps(tiny_genome))
    assert copy.contigs == tiny_genome.contigs
    assert copy.letters("chr1", 0, 22) == tiny["chr1"].encode()
    assert b"FastaFile" not in pickle.dumps(tiny_genome)


def test_a_closed_genome_opens_again(tiny_genome):
    with tiny_genome:
        tiny_genome.letters("chr1", 0, 1)
    assert tiny_genome.letters("chr1", 0, 4) == b"ACGT"


FORKED = """
import os, sys
from orchid_genomics.genome import fasta
fasta.KEPT = 0
genome = fasta.Genome(sys.argv[1])
truth = {c: genome.letters(c, 0, n) for c, n in genome.contigs.items()}
children = []
for seed in range(4):
    child = os.fork()
    if child == 0 or seed == 3:
        wrong, place, contigs = 0, seed * 7919 + 1, list(truth)
        for _ in range(400):
            place = place * 1103515245 + 12345 & 0x7FFFFFFF
            contig = contigs[place % len(contigs)]
            start = place % (len(truth[contig]) - 300)
            wrong += genome.letters(contig, start, start + 300) != truth[contig][start : start + 300]
        if child == 0:
            os._exit(1 if wrong else 0)
    children.append(child)
codes = [os.waitpid(child, 0)[1] for child in children]
sys.exit(1 if wrong or any(codes) else 0)
"""


def test_forked_processes_all_read_right_letters(yeast):
    subprocess.run([sys.executable, "-c", FORKED, str(yeast.path)], check=True, env=dict(os.environ))


# Files that are no genome


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"bad\.fa: is empty; a FASTA, plain or bgzipped"),
        (b"\n\n", r"bad\.fa: is empty"),
        (b"hello\n", r"bad\.fa: is no FASTA: it begins with 'h'; a first line >name"),
        (b"@read\nACGT\n+\nIIII\n", r"is no FASTA: it begins with '@'"),
        (b">a\nAC\n>b\nAC\n>a\nGT\n", r"bad\.fa line 5: two contigs are named 'a'; one name each"),
        (b">a\nAC\n>b\n>c\nGT\n", r"bad\.fa line 3: contig 'b' has no letters"),
        (b">a\nAC\n>b\n", r"bad\.fa line 3: contig 'b' has no letters"),
        (b">\nAC\n", r"bad\.fa line 1: a contig without a name"),
        (b">a\nACGT\nAC\nACGT\n", r"bad\.fa line 4: a line of another length within contig 'a'"),
        (b">a\nACGT\n\nACGT\n", r"bad\.fa line 4: a line of another length"),
        (b">a\nACGT\nACGTA\n", r"bad\.fa line 3: a line of another length"),
        (gzip.compress(b">a\nACGT\n"), r"is gzip, not bgzip .*gunzip -c bad\.fa \| bgzip > new\.fa\.gz"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "bad.fa"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Genome(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.fa: cannot be read \(No such file or directory\)"):
        Genome(tmp_path / "none.fa")
    with pytest.raises(InputError, match="cannot be read"):
        Genome(tmp_path)


@pytest.mark.parametrize("missing", [1, 28, 5000])
def test_a_bgzip_cut_anywhere_is_truncated(tmp_path, yeast, missing):
    path = tmp_path / "cut.fa.gz"
    path.write_bytes(yeast.path.read_bytes()[:-missing])
    with pytest.raises(InputError, match=r"cut\.fa\.gz: is truncated \(no bgzip end-of-file block\)"):
        Genome(path)


@pytest.mark.parametrize("size", [20, 40, 100, 160])
def test_a_plain_file_shorter_than_its_index_is_truncated(tiny_fasta, size):
    pysam.faidx(str(tiny_fasta))
    tiny_fasta.write_bytes(tiny_fasta.read_bytes()[:size])
    with pytest.raises(InputError, match=r"is truncated: it ends before contig chr[12M] .* remove tiny\.fa\.fai"):
        Genome(tiny_fasta)


def test_a_damaged_block_is_an_error_and_not_letters(tmp_path, yeast, monkeypatch):
    monkeypatch.setattr(fasta, "KEPT", 0)
    data = bytearray(yeast.path.read_bytes())
    data[1_000_000:1_000_400] = bytes(400)
    path = tmp_path / "damaged.fa.gz"
    path.write_bytes(data)
    for end in (".fai", ".gzi"):
        shutil.copy(f"{yeast.path}{end}", f"{path}{end}")
    genome = Genome(path)
    with pytest.raises(InputError, match=r"damaged\.fa\.gz chr"):
        _ = [genome.letters(contig, 0, length) for contig, length in genome.contigs.items()]


def test_a_file_that_shrinks_after_opening_is_an_error(tiny_genome):
    tiny_genome.path.write_bytes(tiny_genome.path.read_bytes()[:30])
    with pytest.raises(InputError, match=r"tiny\.fa chr2:1-128"):
        tiny_genome.letters("chr2", 0, 128)


def test_odd_files_of_other_projects_open_or_give_one_line(edge_cases):
    opened, refused = 0, []
    for path in sorted(edge_cases.glob("*/*.fa*")) + sorted((edge_cases / "biopython_fasta").iterdir()):
        try:
            genome = Genome(path)
        except InputError as error:
            refused.append(str(error))
            continue
        opened += 1
        with pysam.FastxFile(str(path)) as records:
            assert genome.contigs == {record.name: len(record.sequence) for record in records}
    assert opened > 20
    assert not any("\n" in line for line in refused)


# Indexes


def test_a_missing_index_is_built_in_the_cache_and_never_beside_the_file(tiny_fasta, index_cache):
    Genome(tiny_fasta)
    assert [path.name for path in tiny_fasta.parent.iterdir()] == ["tiny.fa"]
    (built,) = index_cache.iterdir()
    assert built.name.startswith("tiny.fa-")


def test_our_index_is_the_one_that_samtools_makes(tmp_path, tiny_fasta, yeast):
    copy = tmp_path / "copy.fa.gz"
    copy.write_bytes(yeast.path.read_bytes())
    Genome(copy, cache=tmp_path / "ours")
    ours = {path.suffix: path.read_bytes() for path in (tmp_path / "ours").iterdir()}
    pysam.faidx(str(copy))
    assert ours == {end: (tmp_path / f"copy.fa.gz{end}").read_bytes() for end in (".fai", ".gzi")}


def test_a_right_index_is_used_whatever_its_age(tiny_fasta, index_cache):
    pysam.faidx(str(tiny_fasta))
    os.utime(f"{tiny_fasta}.fai", (0, 0))
    Genome(tiny_fasta)
    assert list(index_cache.iterdir()) == []


OLDER = {
    "another contig": lambda text: text.replace("chr1", "chr01"),
    "letters put in": None,  # the FASTA changes instead
    "a contig more": lambda text: text + "chr7\t5\t900\t10\t11\n",
    "lines of another length": lambda text: text.replace("\t10\t11", "\t11\t12", 1),
    "no numbers": lambda text: text.replace("22", "many"),
    "nothing": lambda text: "",
}


@pytest.mark.parametrize("change", OLDER, ids=str)
def test_a_wrong_index_is_said_and_left_alone(tiny, tiny_fasta, change):
    pysam.faidx(str(tiny_fasta))
    fai = tiny_fasta.with_name("tiny.fa.fai")
    if change == "letters put in":
        lines = tiny_fasta.read_text().replace("by hand", "by a longer description", 1)
        tiny_fasta.write_text(lines)
    else:
        fai.write_text(OLDER[change](fai.read_text()))
    before = fai.read_bytes(), fai.stat().st_mtime_ns
    if change == "a contig more":
        with pytest.raises(InputError, match="is truncated: it ends before contig chr7"):
            Genome(tiny_fasta)
        return
    with pytest.warns(GenomeNote, match=r"tiny\.fa\.fai: .*; it is left alone and an index of our own is used"):
        genome = Genome(tiny_fasta)
    assert {name: genome.letters(name, 0, len(letters)).decode() for name, letters in tiny.items()} == tiny
    assert (fai.read_bytes(), fai.stat().st_mtime_ns) == before


def test_a_contig_that_an_index_leaves_out_is_noticed(tiny, tiny_fasta):
    pysam.faidx(str(tiny_fasta))
    fai = tiny_fasta.with_name("tiny.fa.fai")
    lines = fai.read_text().splitlines(keepends=True)
    for kept in (lines[:2], lines[1:], lines[::2]):
        fai.write_text("".join(kept))
        with pytest.warns(GenomeNote):
            assert list(Genome(tiny_fasta).contigs) == list(tiny)


def test_a_wrong_gzi_is_noticed(tmp_path, yeast):
    path = tmp_path / "copy.fa.gz"
    path.write_bytes(yeast.path.read_bytes())
    pysam.faidx(str(path))
    gzi = tmp_path / "copy.fa.gz.gzi"
    data = bytearray(gzi.read_bytes())
    data[800] ^= 1
    gzi.write_bytes(data)
    with pytest.warns(GenomeNote, match=r"copy\.fa\.gz\.gzi does not fit the bgzip blocks"):
        genome = Genome(path)
    assert genome.letters("chrVII", 500_000, 500_900) == yeast.letters("chrVII", 500_000, 500_900)


def test_a_changed_file_gets_another_cached_index(tiny_fasta):
    Genome(tiny_fasta)
    tiny_fasta.write_text(">other\nACGT\n")
    assert Genome(tiny_fasta).contigs == {"other": 4}


def test_a_cache_that_cannot_be_written_is_one_line(tiny_fasta, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    with pytest.raises(MachineError, match=r"blocked: the index cannot be written .* set ORCHID_CACHE"):
        Genome(tiny_fasta, cache=blocked)


# Names


@pytest.mark.parametrize(("name", "contig"), [("chr1", "chr1"), ("1", "chr1"), ("Chr2", "chr2"), ("MT", "chrM")])
def test_names_are_bridged_and_said(tiny_genome, name, contig):
    if name == contig:
        assert tiny_genome.contig(name) == contig
        return
    with pytest.warns(GenomeNote, match=f"contigs renamed to those of tiny.fa: {name} -> {contig}"):
        assert tiny_genome.contig(name) == contig


def test_ensembl_names_of_yeast_are_bridged_at_once(yeast):
    numerals = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI"]
    with pytest.warns(GenomeNote) as notes:
        names = yeast.rename([*numerals, "Mito"], "genes.gff3")
    assert len(notes) == 1
    assert names == {**{numeral: f"chr{numeral}" for numeral in numerals}, "Mito": "chrM"}


def test_an_unknown_name_is_refused_with_both_lists(tiny_genome, yeast):
    with pytest.raises(
        InputError, match=r"^a\.bed: unknown contig '9'; possible: chr1, chr2, chrM in .*; chr1, 9 here"
    ):
        tiny_genome.rename(["chr1", "9"], "a.bed")
    with pytest.raises(InputError, match=r"unknown contig 'chr10'; possible: chrI, .*, \.\.\. chrM \(17 in all\)"):
        yeast.contig("chr10")


def test_two_names_of_one_contig_are_refused(tiny_genome):
    with pytest.raises(InputError, match=r"contig '1' could mean chr1, which is not the only one"):
        tiny_genome.rename(["chr1", "1"], "a.bed")


def test_a_name_that_could_mean_two_contigs_is_refused(tmp_path):
    path = tmp_path / "two.fa"
    path.write_text(">chrM\nAC\n>MT\nAC\n")
    genome = Genome(path)
    assert genome.contig("MT") == "MT"
    with pytest.raises(InputError, match="contig 'Mito' could mean chrM, MT"):
        genome.contig("Mito")
