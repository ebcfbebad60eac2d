import gzip
import os
import threading

import pysam
import pytest

from orchid_genomics.errors import InputError, MachineError
from orchid_genomics.genome.bed import read_bed, write_bed
from orchid_genomics.genome.fasta import GenomeNote
from orchid_genomics.sequence import Interval


@pytest.fixture
def bed(tmp_path):
    def write(text: str, name: str = "a.bed"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


# Reading


def test_names_and_strands_come_from_columns_four_and_six(bed):
    found = read_bed(bed("chr1\t0\t5\tx\t7\t-\nchr2\t3\t4\t.\t0\t+\n"))
    assert list(found) == [Interval("chr1", 0, 5, "-", "x"), Interval("chr2", 3, 4, "+", "")]
    assert found.columns == (("x", "7", "-"), (".", "0", "+"))
    assert found[1] is found.intervals[1]


@pytest.mark.parametrize(
    "first", ["", "# note\n", "track name=x\n", "browser position chr1:1-5\n", "track\n", "\n"]
)
def test_the_first_record_is_never_taken_for_a_header(bed, first):
    assert read_bed(bed(first + "chr1\t15\t25\nchr1\t30\t40\n"))[0] == Interval("chr1", 15, 25)


@pytest.mark.parametrize(
    "header", ["chrom\tstart\tend", "#chrom\tstart\tend", "chrom\tchromStart\tchromEnd\tname"]
)
def test_a_header_of_words_is_passed_over(bed, header):
    assert len(read_bed(bed(f"{header}\nchr1\t15\t25\n"))) == 1


def test_a_contig_may_be_called_like_a_setting_or_a_header(bed):
    places = read_bed(bed("chrom\t1\t5\ntrack1\t1\t5\n"))
    assert [place.contig for place in places] == ["chrom", "track1"]


@pytest.mark.parametrize(
    "text", ["chr1 3 9 x 0 -\n", "chr1\t3\t9\tx\t0\t-\r\n", "chr1\t3\t9\tx\t0\t-"]
)
def test_spaces_dos_line_ends_and_a_missing_last_line_end_do_not_matter(bed, text):
    assert list(read_bed(bed(text))) == [Interval("chr1", 3, 9, "-", "x")]


def test_gzip_and_bgzip_read_alike(tmp_path):
    text = b"chr1\t3\t9\n"
    (tmp_path / "a.bed.gz").write_bytes(gzip.compress(text))
    with pysam.BGZFile(str(tmp_path / "b.bed.gz"), "wb") as file:
        file.write(text)
    assert (
        list(read_bed(tmp_path / "a.bed.gz"))
        == list(read_bed(tmp_path / "b.bed.gz"))
        == [Interval("chr1", 3, 9)]
    )


def test_column_six_that_is_no_strand_is_a_column_like_others_and_said(bed):
    path = bed("chr1\t1\t2\tx\t0\twhy\nchr1\t1\t2\tx\t0\tC\nchr1\t1\t2\tx\t0\t1\n")
    message = r"column 6 is no strand \('why' in line 1\): records are read forward"
    with pytest.warns(GenomeNote, match=message):
        assert [place.strand for place in read_bed(path)] == [".", ".", "."]
    assert read_bed(bed("chr1\t1\t2\tx\t0\t*\n"))[0].strand == "."


@pytest.mark.parametrize("word", ["+", "-", "minus", "Reverse", "antisense"])
@pytest.mark.parametrize("nothing", ["", "chr1\t1\t2\tx\t0\t.\n", "chr1\t1\t2\tx\t0\tNA\n"])
def test_a_strand_below_what_is_none_is_refused_and_never_read_forward(bed, nothing, word):
    path = bed(f"{nothing}chr1\t1\t2\tx\t0\twhy\nchr1\t1\t2\tx\t0\t{word}\n")
    with pytest.raises(InputError) as error:
        read_bed(path)
    assert f"strand {word!r} in column 6, which has 'why' in line" in str(error.value)


@pytest.mark.parametrize("nothing", [".", "NA", "0", "", "*"])
def test_no_strand_in_the_first_record_does_not_hide_those_below(bed, nothing):
    text = f"chr1\t1\t2\tx\t0\t{nothing}\tz\nchr1\t1\t2\tx\t0\t-\tz\n"
    assert [place.strand for place in read_bed(bed(text))] == [".", "-"]


def test_narrow_peak_summits_are_places(bed):
    row = "chr1\t100\t200\t.\t0\t.\t1\t1\t1\t{}\n"
    found = read_bed(bed(row.format(30) + row.format(-1) + row.format(100), "a.narrowPeak"))
    assert found.summits() == [130, None, 199]
    with pytest.raises(
        InputError,
        match=r"column 10 of chr1:101-200 \(1-based\) is '101'; a narrowPeak summit, or -1",
    ):
        read_bed(bed(row.format(101))).summits()


IDR = (
    "chr1\t100\t200\tp\t900\t.\t5.1\t-1\t3.2\t30\t2.4\t2.7\t100\t200\t6.0\t30\t100\t200\t2.8\t30\n"
)
COVERAGE = "chr1\t100\t200\tp\t900\t+\t7\t12\t100\t0.1200000\n"
OVERLAP = "chr1\t100\t200\tp\t900\t+\tchr1\t150\t180\t30\n"
EXONS = "chr1\t100\t200\tt\t0\t+\t100\t200\t0\t2\t20,30\t0,70\n"


GAPPED = "chr1\t100\t200\tp\t9\t.\t110\t190\t0\t2\t20,30,\t0,70,\t5.1\t3.2\t2\n"
ONE_BLOCK = "chr1\t100\t200\tp\t9\t.\t110\t190\t0\t1\t100\t0\t5.1\t3.2\t2\n"


def test_a_number_of_blocks_is_no_summit_whatever_stands_behind_a_bed12(bed):
    assert read_bed(bed(GAPPED + ONE_BLOCK + IDR)).summits() == [None, None, 130]


def test_each_record_has_a_summit_or_none_whatever_the_others(bed):
    row = "chr1\t100\t200\tp\t9\t.\t5.1\t-1\t3.2\t30\n"
    text = row + "chr1\t1\t2\n" + IDR + COVERAGE + OVERLAP + EXONS + row
    summits = read_bed(bed(text)).summits()
    assert summits == [130, None, 130, None, None, None, 130]


@pytest.mark.parametrize(
    "words",
    [
        ("+", "-", "."),
        ("1", "-1", "0"),
        ("plus", "minus", "none"),
        ("W", "C", "."),
        ("F", "R", "*"),
        ("sense", "antisense", "NA"),
        ("+", "\u2212", "."),
    ],
)
def test_strands_are_read_in_every_spelling(bed, words):
    text = "".join(f"chr1\t1\t9\tx\t0\t{word}\n" for word in words)
    assert [place.strand for place in read_bed(bed(text))] == ["+", "-", "."]


def test_a_sixth_column_of_zeros_first_may_still_be_a_strand(bed):
    text = "chr1\t1\t9\tx\t0\t0\nchr1\t1\t9\tx\t0\t-1\n"
    assert [place.strand for place in read_bed(bed(text))] == [".", "-"]


@pytest.mark.parametrize("head", ["", "chrom\tstart\tend\n", "#chrom\tstart\tend\n"])
def test_a_byte_order_mark_hides_no_record(bed, head):
    intervals = list(read_bed(bed(f"\ufeff{head}chr1\t1\t9\tg1\nchr1\t20\t30\tg2\n")))
    assert intervals == [Interval("chr1", 1, 9, name="g1"), Interval("chr1", 20, 30, name="g2")]


def test_every_record_comes_through_a_pipe(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    text = "".join(f"chr1\t{start}\t{start + 5}\n" for start in range(50_000))
    writer = threading.Thread(target=path.write_text, args=(text,))
    writer.start()
    intervals = read_bed(path)
    writer.join()
    assert len(intervals) == 50_000


@pytest.mark.parametrize("word", ["9" * 5000, "1" + "0" * 19, "٣", "1_0", ""])
def test_a_place_that_is_no_number_is_one_short_line(bed, word):
    with pytest.raises(InputError, match=r"line 2: end .* is no whole number") as caught:
        list(read_bed(bed(f"chr1\t1\t2\nchr1\t1\t{word}\n")))
    assert len(str(caught.value)) < 300


def test_an_empty_bed_has_no_records(bed):
    assert len(read_bed(bed(""))) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "chr1\t1\t2\nchr1\t5\t5\n",
            r"a\.bed line 2: start 5 is not below end 5; 0-based half-open places",
        ),
        ("chr1\t9\t5\n", "line 1: start 9 is not below end 5"),
        ("\t5\t9\n", "line 1: a contig without a name; contig, start and end between tabs"),
        ("# x\nchr1\t-1\t5\n", "line 2: start -1 is negative"),
        ("chr1\tone\t5\n", "line 1: start 'one' is no whole number"),
        ("chr1\t1\t8e02\n", "line 1: end '8e02' is no whole number"),
        ("chr1\t1.0\t5\n", r"line 1: start '1\.0' is no whole number"),
        ("name\tfrom\tto\nchr1\t1\t5\n", "line 1: start 'from' is no whole number"),
        ("chr1\t1\t5\nchrom\tstart\tend\n", "line 2: start 'start' is no whole number"),
        ("chr1\t5\n", "line 1: 2 columns; contig, start and end at least"),
        (
            "chr1\t1\t5\tx\t0\t+\nchr1\t1\t5\tx\t0\tup\n",
            r"line 2: strand 'up' in column 6; \+, - or \.",
        ),
    ],
)
def test_a_wrong_line_is_named_by_its_number(bed, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_bed(bed(text))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"none\.bed: cannot be read \(No such file"):
        read_bed(tmp_path / "none.bed")
    (tmp_path / "cut.bed.gz").write_bytes(gzip.compress(b"chr1\t1\t2\n" * 1000)[:-20])
    with pytest.raises(InputError, match="is truncated gzip"):
        read_bed(tmp_path / "cut.bed.gz")
    (tmp_path / "binary.bed").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no text"):
        read_bed(tmp_path / "binary.bed")


# On a genome


def test_contigs_are_renamed_to_those_of_the_genome(bed, tiny_genome):
    with pytest.warns(GenomeNote, match=r"1 -> chr1, MT -> chrM"):
        found = read_bed(bed("1\t0\t22\nMT\t2\t3\n"), tiny_genome)
    assert [place.contig for place in found] == ["chr1", "chrM"]


def test_a_place_off_its_contig_is_refused(bed, tiny_genome):
    with pytest.raises(
        InputError, match=r"line 2: end 23 is off contig chr1; ends up to 22 in tiny\.fa"
    ):
        read_bed(bed("chr1\t0\t22\nchr1\t0\t23\n"), tiny_genome)


def test_records_on_contigs_that_the_genome_lacks_are_left_out_and_said(bed, tiny_genome):
    text = "chr1\t0\t22\nchrX\t0\t5\nchrUn_1\t1\t2\nchr2\t3\t4\tkept\t0\t-\nchrX\t7\t9\n"
    note = r"a\.bed: 3 records left out, on contigs that tiny\.fa lacks: chrX \(2\), chrUn_1 \(1\)"
    with pytest.warns(GenomeNote, match=note):
        found = read_bed(bed(text), tiny_genome)
    assert list(found) == [Interval("chr1", 0, 22), Interval("chr2", 3, 4, "-", "kept")]
    assert found.columns == ((), ("kept", "0", "-"))
    with pytest.raises(
        InputError, match=r"unknown contig 'chrX'; possible: .* in tiny\.fa; chrX, chrUn_1 here"
    ):
        read_bed(bed("chrX\t0\t22\nchrUn_1\t0\t5\n"), tiny_genome)


# Writing

ROWS = [Interval("b", 50, 60, "-", "late"), Interval("b", 5, 9), Interval("a", 1, 2, "+", "x y")]


def test_what_is_written_reads_back(tmp_path):
    write_bed(tmp_path / "a.bed", ROWS)
    assert list(read_bed(tmp_path / "a.bed")) == ROWS
    assert (tmp_path / "a.bed").read_text().splitlines()[0] == "b\t50\t60\tlate\t0\t-"


def test_tuples_are_written_as_they_are(tmp_path):
    write_bed(tmp_path / "a.bed", [("chr1", 1, 5, "x", 0.25)])
    assert (tmp_path / "a.bed").read_text() == "chr1\t1\t5\tx\t0.25\n"


def test_a_gz_is_bgzip_sorted_and_indexed(tmp_path):
    path = tmp_path / "a.bed.gz"
    for _ in range(2):  # over itself too
        write_bed(path, ROWS)
        assert list(read_bed(path)) == [ROWS[1], ROWS[0], ROWS[2]]
    with pysam.TabixFile(str(path)) as index:
        assert list(index.fetch("b", 40, 55)) == ["b\t50\t60\tlate\t0\t-"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.bed.gz", "a.bed.gz.tbi"]


def test_the_same_rows_make_the_same_bytes(tmp_path):
    for name in ("a.bed.gz", "b.bed.gz"):
        write_bed(tmp_path / name, ROWS)
    assert (tmp_path / "a.bed.gz").read_bytes() == (tmp_path / "b.bed.gz").read_bytes()


def test_nothing_is_left_when_writing_fails(tmp_path):
    with pytest.raises(InputError, match="a tab or line break"):
        write_bed(tmp_path / "a.bed", [Interval("a", 1, 2, name="x\ty")])
    for name in ("a.bed", "a.bed.gz"):
        with pytest.raises(MachineError, match=rf"none/{name}: cannot be written \(No such file"):
            write_bed(tmp_path / "none" / name, ROWS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::orchid_genomics.errors.GenomeNote")
def test_odd_files_of_other_projects_read_or_give_one_line(edge_cases):
    read, refused = 0, {}
    for path in sorted(edge_cases.glob("**/*.bed")) + sorted(edge_cases.glob("**/*.bed.gz")):
        try:
            read += len(read_bed(path))
        except InputError as error:
            refused[path.name] = str(error)
    assert read > 2_000
    assert set(refused) >= {"b_testZeroLen.bed", "expFormat.bed", "malformed.bed"}
    assert all("\n" not in line and " line " in line for line in refused.values())
