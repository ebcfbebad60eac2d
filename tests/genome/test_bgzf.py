"""bgzip that we write: what htslib and gzip read back, the same bytes on any machine."""

import gzip
import os

import pysam
import pytest

from orchid_genomics.genome.bgzf import END_OF_FILE, is_bgzf, write_bgzip

LONGEST = 0xFF00  # letters of a block


def lines(count):
    return b"".join(b"chr1\t%d\t.\tA\tC\t.\t.\tX=%.5g\n" % (i, i / 7) for i in range(1, count))


@pytest.mark.parametrize(
    "text",
    [b"", b"a", b"x" * LONGEST, b"x" * (LONGEST + 1), lines(40_000), os.urandom(3 * LONGEST + 7)],
    ids=["empty", "letter", "block", "more", "lines", "noise"],
)
def test_what_is_written_is_read_back(tmp_path, text):
    path = tmp_path / "t.gz"
    write_bgzip(text, path)
    assert gzip.decompress(path.read_bytes()) == text
    assert path.read_bytes().endswith(END_OF_FILE)
    assert is_bgzf(path)
    with pysam.BGZFile(str(path)) as file:
        assert file.read(len(text) + 1) == text


def test_the_bytes_are_those_of_htslib_or_no_larger_and_do_not_hang_on_cores(tmp_path, monkeypatch):
    text = lines(60_000)
    write_bgzip(text, tmp_path / "many.gz")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    write_bgzip(text, tmp_path / "one.gz")
    assert (tmp_path / "many.gz").read_bytes() == (tmp_path / "one.gz").read_bytes()
    with pysam.BGZFile(str(tmp_path / "theirs.gz"), "wb") as file:
        file.write(text)
    ours, theirs = (tmp_path / f"{name}.gz" for name in ("one", "theirs"))
    assert ours.stat().st_size < 1.05 * theirs.stat().st_size


def test_a_place_is_found_by_index(tmp_path):
    path = tmp_path / "t.tsv.gz"
    write_bgzip(lines(40_000), path)
    pysam.tabix_index(str(path), seq_col=0, start_col=1, end_col=1, force=True)
    with pysam.TabixFile(str(path)) as file:
        rows = [row.split("\t")[1] for row in file.fetch("chr1", 29_999, 30_002)]
    assert rows == ["30000", "30001", "30002"]
