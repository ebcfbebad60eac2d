import gzip
import hashlib
import os
import pickle
import subprocess
import sys

import numpy as np
import pyfaidx
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchid_genomics.errors import InputError
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
def test_letters_and_tokens_are_those_of_the_file_padded_with_n(
    tiny, tiny_fasta, packed, kept, contig, start, length
):
    path = (
        tiny_fasta
        if not packed
        else bgzip(tiny_fasta.with_suffix(".fa.gz"), tiny_fasta.read_text())
    )
    expected = "".join(
        tiny[contig][i] if 0 <= i < len(tiny[contig]) else "N" for i in range(start, start + length)
    )
    with pytest.MonkeyPatch.context() as patch, Genome(path) as genome:
        patch.setattr(fasta, "KEPT", kept)
        assert genome.letters(contig, start, start + length) == expected.encode()
        tokens = genome.tokens(contig, start, start + length)
        assert np.array_equal(tokens, DNA.encode(expected))
        assert np.array_equal(
            genome.tokens(contig, start, start + length, "-"), DNA.reverse_complement(tokens)
        )


def test_contigs_come_in_file_order_with_their_lengths(tiny, tiny_genome, yeast):
    assert list(tiny_genome.contigs.items()) == [
        (name, len(letters)) for name, letters in tiny.items()
    ]
    assert len(yeast.contigs) == 17
    assert sum(yeast.contigs.values()) == 12_157_105


def test_yeast_reads_as_pysam_reads_it(yeast):
    with pysam.FastaFile(str(yeast.path)) as other:
        for contig, start in (("chrIV", 1_000_000), ("chrM", 0), ("chrX", 745_000)):
            assert (
                yeast.letters(contig, start, start + 700)
                == other.fetch(contig, start, start + 700).encode()
            )


def test_tokens_may_be_overwritten_without_harm(tiny_genome):
    first = tiny_genome.tokens("chr1", 0, 5)
    first[:] = DNA.mask
    assert DNA.decode(tiny_genome.tokens("chr1", 0, 5)) == "ACGTN"


@pytest.mark.parametrize(
    "text",
    [">a\r\nACGT\r\nAC\r\n>b\r\nTT\r\n", ">a\nACGT\nAC\n\n>b c\nTT", "\n>a\nACGTAC\n>b\nTT\n\n"],
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


READ_AS_A_COPY = {
    "several blank lines": b">a\nACGTAC\n\n\n>b\nTT\n\n\n",
    "a byte order mark": b"\xef\xbb\xbf>a\nACGTAC\n>b\nTT\n",
    "CR alone": b">a\rACGT\rAC\r>b\rTT\r",
    "a header in Latin-1": b">a caf\xe9\nACGT\nAC\n>b\nTT\n",
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, "bgzip"], ids=["plain", "gzip", "bgzip"])
@pytest.mark.parametrize("text", READ_AS_A_COPY.values(), ids=READ_AS_A_COPY)
def test_what_allows_no_random_access_is_read_as_a_copy_and_said(tmp_path, index_cache, text, pack):
    path = tmp_path / "a.fa"
    if pack == "bgzip":
        with pysam.BGZFile(str(path), "wb") as file:
            file.write(text)
    else:
        path.write_bytes(pack(text))
    before = path.read_bytes()
    for _ in range(2):
        with pytest.warns(GenomeNote, match=r"a\.fa: .*; a bgzipped copy is read in its place"):
            genome = Genome(path)
    assert genome.path == path
    assert genome.contigs == {"a": 6, "b": 2}
    assert (genome.letters("a", 1, 6), genome.letters("b", 0, 2)) == (b"CGTAC", b"TT")
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.fa"]
    assert genome.checksum() == hashlib.sha256(before).hexdigest()


def test_an_open_pyfaidx_fasta_is_a_genome(tiny, tiny_fasta, tmp_path):
    other = pyfaidx.Fasta(str(tiny_fasta), indexname=str(tmp_path / "theirs.fai"))
    genome = Genome(other)
    assert genome.path == tiny_fasta
    assert genome.letters("chr1", 2, 9).decode() == str(other["chr1"][2:9]) == tiny["chr1"][2:9]
    other.close()


def test_a_pipe_is_no_genome(tmp_path):
    path = tmp_path / "fifo.fa"
    os.mkfifo(path)
    with pytest.raises(InputError, match=r"fifo\.fa: is a pipe or device; a file"):
        Genome(path)
    with pytest.raises(InputError, match=r"/dev/null: is a pipe or device"):
        Genome("/dev/null")


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
            end = start + 300
        wrong += genome.letters(contig, start, end) != truth[contig][start:end]
        if child == 0:
            os._exit(1 if wrong else 0)
    children.append(child)
codes = [os.waitpid(child, 0)[1] for child in children]
sys.exit(1 if wrong or any(codes) else 0)
"""


def test_forked_processes_all_read_right_letters(yeast):
    subprocess.run(
        [sys.executable, "-c", FORKED, str(yeast.path)], check=True, env=dict(os.environ)
    )
