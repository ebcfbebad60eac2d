"""Tracks: what is written is read back, NaN stays unsaid, and no damaged file ends the process."""

import os
import pickle
import subprocess
import sys
import threading
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pyBigWig
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from orchid_genomics.errors import InputError, MachineError
from orchid_genomics.genome.contigs import GenomeNote
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.signal import Track, is_track, write_track

NAN = np.nan
SIZES = {"chr2": 40, "chr10": 30, "chr1": 50}
NAMES = ("t.bw", "t.bigWig", "t.bedGraph", "t.bedgraph.gz", "t.bdg")


def written(path, *pieces):
    return write_track(
        path, SIZES, [(contig, start, np.array(values)) for contig, start, values in pieces]
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back_and_the_rest_is_nan(tmp_path, name):
    path = tmp_path / name
    count = written(
        path,
        ("chr1", 3, [0.1, 0.1, NAN, -2.5]),
        ("chr1", 7, [3]),
        ("chr10", 29, [4]),
        ("chr2", 0, [5, 5]),
    )
    assert count == 7
    track = Track(path)
    expected = [NAN, 0.1, 0.1, NAN, -2.5, 3, NAN]
    np.testing.assert_array_equal(track.values("chr1", 2, 9), np.array(expected, np.float32))
    np.testing.assert_array_equal(
        track.values("chr10", 28, 31), np.array([NAN, 4, NAN], np.float32)
    )
    np.testing.assert_array_equal(track.values("chr2", -1, 2), np.array([NAN, 5, 5], np.float32))
    assert np.isnan(track.values("chr3", 0, 4)).all()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(
    signal=arrays(
        np.float32, 40, elements=st.one_of(st.just(NAN), st.integers(-3, 3).map(lambda n: n / 4))
    ),
    cuts=st.lists(st.integers(1, 39), max_size=4, unique=True).map(sorted),
    name=st.sampled_from(["p.bw", "p.bedGraph"]),
    window=st.tuples(st.integers(-5, 39), st.integers(1, 20)),
)
def test_pieces_may_be_cut_anywhere(tmp_path, signal, cuts, name, window):
    if np.isnan(signal).all():
        return
    edges = [0, *cuts, 40]
    pieces = [("chr2", a, signal[a:b]) for a, b in pairwise(edges)]
    write_track(tmp_path / name, SIZES, pieces)
    start, size = window
    padded = np.concatenate([np.full(5, NAN), signal, np.full(30, NAN)])
    track = Track(tmp_path / name)
    np.testing.assert_array_equal(
        track.values("chr2", start, start + size), padded[start + 5 : start + size + 5]
    )
    expected = np.nansum(padded[start + 5 : start + size + 5]) / size
    assert track.mean("chr2", start, start + size) == pytest.approx(expected, abs=1e-6)


def test_the_two_means_differ_by_what_nothing_is_said_of(tmp_path):
    written(tmp_path / "t.bw", ("chr1", 4, [2, 4]))
    track = Track(tmp_path / "t.bw")
    assert track.mean("chr1", 2, 6) == 1.5
    assert track.mean("chr1", 2, 6, covered=True) == 3
    assert np.isnan(track.mean("chr1", 10, 20, covered=True))


def test_a_bigwig_has_zoom_levels_and_its_contigs_by_name(tmp_path):
    written(
        tmp_path / "t.bw",
        ("chr1", 0, np.ones(50)),
        ("chr10", 0, np.ones(30)),
        ("chr2", 0, np.ones(40)),
    )
    with pyBigWig.open(str(tmp_path / "t.bw")) as file:
        assert list(file.chroms().items()) == [("chr1", 50), ("chr10", 30), ("chr2", 40)]
        assert file.header()["nLevels"] >= 1
        assert file.header()["nBasesCovered"] == 120


def test_a_bgzipped_bedgraph_has_an_index(tmp_path):
    written(tmp_path / "t.bedGraph.gz", ("chr1", 3, [1, 1, 2]), ("chr2", 0, [7]))
    with pysam.TabixFile(str(tmp_path / "t.bedGraph.gz")) as file:
        assert list(file.fetch("chr1", 5, 6)) == ["chr1\t5\t6\t2.0"]


def test_a_handle_never_crosses_a_pickle_and_contigs_are_renamed(tmp_path, tiny_fasta):
    write_track(
        tmp_path / "t.bw", {"1": 22, "extra": 5}, [("1", 3, np.ones(4)), ("extra", 0, np.ones(1))]
    )
    with pytest.warns(GenomeNote) as notes:
        track = Track(tmp_path / "t.bw", Genome(tiny_fasta))
    renamed, unknown = (str(note.message) for note in notes)
    assert renamed.endswith("contigs renamed to those of tiny.fa: 1 -> chr1")
    assert unknown.endswith("t.bw: contigs that tiny.fa lacks are not read: extra")
    assert pickle.loads(pickle.dumps(track)).values("chr1", 2, 5).tolist() == pytest.approx(
        [NAN, 1, 1], nan_ok=True
    )
    for note in (pytest.warns(GenomeNote, match="has nothing on contig chr2"), nullcontext()):
        with note:
            assert np.isnan(track.values("chr2", 0, 3)).all()


def test_only_the_contigs_that_are_read_must_be_as_long(tmp_path, tiny_fasta):
    genome = Genome(tiny_fasta)
    sizes = {"chr1": 23, "chr2": 128}
    write_track(tmp_path / "t.bw", sizes, [("chr1", 3, np.ones(4)), ("chr2", 0, np.full(4, 2))])
    track = Track(tmp_path / "t.bw", genome)
    assert track.mean("chr2", 0, 4) == 2
    with pytest.raises(
        InputError,
        match=r"t.bw: contig chr1 has 23 letters where tiny.fa has 22; a track of the same",
    ):
        track.values("chr1", 0, 4)
    (tmp_path / "t.bedGraph").write_text("chr1\t20\t23\t1\nchr2\t0\t4\t2\n")
    track = Track(tmp_path / "t.bedGraph", genome)
    assert track.mean("chr2", 0, 4) == 2
    with pytest.raises(InputError, match=r"t.bedGraph: contig chr1 has 23 letters where"):
        track.values("chr1", 0, 4)


def test_a_byte_order_mark_hides_no_record(tmp_path):
    path = tmp_path / "t.bedGraph"
    path.write_bytes(b"\xef\xbb\xbfchr1\t1000\t1100\t2.0\r\nchr1\t1100\t1200\t3.0\r\n")
    assert Track(path).mean("chr1", 1000, 1200) == 2.5


def test_a_bedgraph_comes_through_a_pipe(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("chr1\t0\t4\t2\n",))
    writer.start()
    track = Track(path)
    writer.join()
    assert track.mean("chr1", 0, 8) == 1


def test_a_bigwig_comes_through_a_pipe_and_is_called_as_it_was_given(tmp_path):
    write_track(tmp_path / "t.bw", {"chr1": 9}, [("chr1", 0, np.full(4, 2.0))])
    path = tmp_path / "fifo"
    os.mkfifo(path)
    for content in ((tmp_path / "t.bw").read_bytes(), b"BM no track at all"):
        writer = threading.Thread(target=path.write_bytes, args=(content,))
        writer.start()
        if content[:2] == b"BM":
            with pytest.raises(InputError, match=f"^{path} line 1: 'BM no track at all' is no"):
                Track(path)
        else:
            assert Track(path).mean("chr1", 0, 8) == 1
        writer.join()


@pytest.mark.parametrize("word", ["9" * 5000, "1" + "0" * 19, "٣", "1e3", "-1"])
def test_a_place_that_is_no_number_is_one_short_line(tmp_path, word):
    path = tmp_path / "t.bedGraph"
    path.write_text(f"chr1\t0\t4\t2\nchr1\t{word}\t9\t2\n")
    with pytest.raises(InputError, match=r"t\.bedGraph line 2: ") as caught:
        Track(path)
    assert len(str(caught.value)) < 300


def test_a_genome_with_nothing_in_common_is_refused(tmp_path, tiny_fasta):
    genome = Genome(tiny_fasta)
    write_track(tmp_path / "u.bedGraph", {"scaffold": 23}, [("scaffold", 3, np.ones(4))])
    with pytest.raises(
        InputError, match=r"no contig of tiny.fa: scaffold; possible: chr1, chr2, chrM"
    ):
        Track(tmp_path / "u.bedGraph", genome)


@pytest.mark.parametrize("size", [4, 20, 64, 100, 300, 500, -1])
def test_a_bigwig_cut_short_is_one_line(tmp_path, size):
    written(tmp_path / "t.bw", ("chr1", 0, np.arange(50) % 7))
    (tmp_path / "cut.bw").write_bytes((tmp_path / "t.bw").read_bytes()[:size])
    with pytest.raises(InputError, match="is a bigWig cut short"):
        Track(tmp_path / "cut.bw")


def test_a_bigwig_without_values_is_refused(tmp_path):
    with pyBigWig.open(str(tmp_path / "t.bw"), "w") as file:
        file.addHeader([("chr1", 50)])
    with pytest.raises(InputError, match="without values"):
        Track(tmp_path / "t.bw")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no record; a bigWig, or a bedGraph"),
        ("track type=bedGraph\n#x\n", "has no record"),
        ("chr1\t1\t5\n", "line 1: 'chr1 1 5' is no bedGraph record"),
        ("chr1\t1\t5\tx\n", "line 1: 'chr1 1 5 x' is no bedGraph record"),
        ("chr1\t5\t5\t1\n", "line 1: start 5 and end 5"),
        ("chr1\t1\t5\t1\nchr1\t4\t6\t2\n", r"two records hold letter chr1:5 \(1-based\)"),
    ],
)
def test_a_bedgraph_that_is_none_is_one_line(tmp_path, text, message):
    (tmp_path / "t.bdg").write_text(text)
    with pytest.raises(InputError, match=message):
        Track(tmp_path / "t.bdg")


def test_a_missing_track_and_names_that_are_none(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Track(tmp_path / "none.bw")
    for name in ("t.bw.gz", "t.tsv"):
        with pytest.raises(InputError, match="is no name of a track"):
            written(tmp_path / name, ("chr1", 0, [1]))
    assert is_track("x.BigWig")
    assert not is_track("x.bed")


@pytest.mark.parametrize("name", ["t.bw", "t.bedGraph.gz"])
def test_nothing_is_left_of_a_track_that_failed(tmp_path, name):
    def pieces():
        yield "chr1", 0, np.ones(4)
        raise InputError("x", "stops")

    for bad in (pieces(), [("chr1", 0, np.full(4, NAN))]):
        with pytest.raises(InputError):
            write_track(tmp_path / name, SIZES, bad)
    for bad in ([("chr2", 0, np.ones(4)), ("chr1", 0, np.ones(4))], [("chr1", 48, np.ones(4))]):
        with pytest.raises(ValueError, match="follows what lies behind it"):
            write_track(tmp_path / name, SIZES, bad)
    with pytest.raises(MachineError, match="cannot be written"):
        written(tmp_path / "none" / name, ("chr1", 0, [1]))
    assert not list(tmp_path.iterdir())


def test_a_track_serves_a_forked_process(tmp_path):
    program = f"""
import os
from orchid_genomics.genome.signal import Track
track = Track({str(tmp_path / "t.bw")!r})
here = track.values("chr1", 0, 50).tolist()
child = os.fork()
if child == 0:
    os._exit(0 if track.values("chr1", 0, 50).tolist() == here else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    written(tmp_path / "t.bw", ("chr1", 0, np.arange(50)))
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


DAMAGED = """
import sys
from pathlib import Path
from orchid_genomics.errors import InputError
from orchid_genomics.genome.signal import Track
whole, refused = Path(sys.argv[1]).read_bytes(), 0
path = Path(sys.argv[2])
HEADER_BYTES = (6, 7, 8, 352, 353, 356, 376, 378, 379, 381, 384, 385, 387)
for at in (*HEADER_BYTES, *range(344, 392, 5), 485, 490):
    for number in (0, 1, 0x7FFF0000, 0xFFFFFFFF):
        damaged = bytearray(whole)
        damaged[at : at + 4] = number.to_bytes(4, "little")
        path.write_bytes(damaged)
        try:
            track = Track(path)
            [track.values(contig, 0, 20) for contig in track.contigs]
        except InputError as error:
            assert "\\n" not in str(error)
            refused += 1
print(refused)
"""


def test_no_damaged_number_ends_the_process(tmp_path):
    """The numbers of the header and of the tree of contigs, which pyBigWig takes at their word."""
    written(tmp_path / "t.bw", ("chr1", 0, np.arange(50) % 7))
    run = subprocess.run(
        [sys.executable, "-c", DAMAGED, str(tmp_path / "t.bw"), str(tmp_path / "damaged.bw")],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-500:]
    assert int(run.stdout) > 50


DAMAGED_INDEX = """
import struct, sys
from pathlib import Path
from orchid_genomics.errors import InputError
from orchid_genomics.genome.signal import Track
whole, path, refused = bytearray(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]), 0
index = struct.unpack("<Q", whole[24:32])[0]
damages = [(52, 4, 0)]  # blocks that are packed are called plain
numbers = (0, 1, 7, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
places = (24, *range(index, min(index + 200, len(whole) - 8), 4))
for number in (*numbers, index, index + 48, (1 << 62) + 3, 2**64 - 1):
    damages += [(at, 8, number) for at in places]
for at, size, number in damages:
    damaged = bytearray(whole)
    damaged[at : at + size] = (number % 256**size).to_bytes(size, "little")
    path.write_bytes(damaged)
    try:
        track = Track(path)
        [track.values(contig, 0, length) for contig, length in track.contigs.items()]
    except InputError as error:
        assert "\\n" not in str(error)
        refused += 1
print(refused)
"""


def test_no_damage_of_the_index_ends_the_process(tmp_path):
    """Its nodes may name each other, and blocks beyond the file, which pyBigWig would follow."""
    with pyBigWig.open(str(tmp_path / "t.bw"), "w") as file:
        file.addHeader([(f"chr{number}", 50) for number in range(300)])
        for number in range(300):  # enough for a tree of two floors
            file.addEntries(f"chr{number}", 0, values=[1.0, 2.0], span=1, step=1)
    run = subprocess.run(
        [sys.executable, "-c", DAMAGED_INDEX, str(tmp_path / "t.bw"), str(tmp_path / "odd.bw")],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-500:]
    assert int(run.stdout) > 50
