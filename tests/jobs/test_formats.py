"""Parts become whole files: a BCF keeps what it was given, and no finished work is lost for an
index.
"""

import gzip
import warnings
from contextlib import nullcontext

import pysam
import pytest

from orchid_genomics.errors import InputError
from orchid_genomics.genome.contigs import GenomeNote
from orchid_genomics.jobs.formats import BcfFormat, TextFormat, _last_line, index_or_note

HEADER = """##fileformat=VCFv4.2
##INFO=<ID=END,Number=1,Type=Integer,Description="End">
##INFO=<ID=X,Number=1,Type=Float,Description="x">
##INFO=<ID=N,Number=1,Type=Integer,Description="n">
##contig=<ID=c1>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""
RECORDS = [
    "c1\t500\t.\tA\tG\t.\t.\tEND=500;X=0.5",
    "c1\t501\t.\tA\t<DEL>\t.\tPASS\tEND=600",
    "c1\t502\t.\tA\t<NON_REF>\t.\tPASS\t.",
    "c1\t503\t.\tA\t<DUP>\t.\tPASS\tX=0.25;FLAG",
    "c1\t504\t.\tACCC\tA\t.\tPASS\tEND=507",
]


def bcf(header=HEADER, contigs=("c1",)):
    return BcfFormat(header.encode(), contigs, True)


def write(form, lines, tmp_path):
    for i, line in enumerate(lines):
        form.write([f"{line}\n".encode()], tmp_path / f"{i}.part")
    return [tmp_path / f"{i}.part" for i in range(len(lines))]


@pytest.mark.parametrize("declared", [True, False])
def test_info_of_a_bcf_is_as_it_went_in(tmp_path, declared):
    header = HEADER if declared else HEADER.replace("##INFO=<ID=END", "##INFO=<ID=OTHER")
    form, out = bcf(header), tmp_path / "out.bcf"
    form.rehearse(header.encode(), [line.encode() for line in RECORDS], "in.vcf", out)
    form.join(write(form, RECORDS, tmp_path), out)
    with pysam.VariantFile(str(out)) as file:
        assert [str(record).rstrip("\n") for record in file] == RECORDS
        assert len(list(file.fetch("c1", 499, 503))) == 4
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".part"} == {
        "out.bcf",
        "out.bcf.csi",
    }


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("c1\t3000000000\t.\tA\tG\t.\t.\t.", "in.vcf record 2: its POS is beyond 2,147,483,647"),
        ("c1\t9\t.\tA\tG\t.\t.\tN=4000000000", "in.vcf record 2: its INFO would not be the same"),
        ("c1\t9\t.\tA\tG\t.\t.\tN=half", "in.vcf record 2: its INFO would not be the same"),
    ],
)
def test_a_record_that_a_bcf_cannot_hold_is_refused_before_any_work(tmp_path, record, message):
    lines = [RECORDS[0].encode(), record.encode()]
    with pytest.raises(InputError, match=message):
        bcf().rehearse(HEADER.encode(), lines, "in.vcf", tmp_path / "out.bcf")
    assert list(tmp_path.iterdir()) == []


SAMPLES = HEADER.replace("INFO\n", "INFO\tFORMAT\tone\ttwo\n").replace(
    "#CHROM",
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">\n'
    '##FORMAT=<ID=DP,Number=.,Type=Integer,Description="d">\n'
    '##FORMAT=<ID=F,Number=1,Type=Float,Description="f">\n#CHROM',
)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ("GT:DP:F\t0/1:7:0.10\t1|1", ""),
        ("GT:DP:F\t0/1:.,.:1e-3\t.:.:.", ""),
        ("GT:DP\t0/1:7\t1|1:4000000000", "its sample 2 would not be the same in a BCF"),
    ],
)
def test_samples_are_as_they_went_in_or_refused_before_any_work(tmp_path, samples, message):
    line = f"c1\t500\tä\tA\tG\tNaN\t.\tEND=500\t{samples}".encode()
    refusal = pytest.raises(InputError, match=message) if message else nullcontext()
    with refusal:
        bcf(SAMPLES).rehearse(SAMPLES.encode(), [line], "in.vcf", tmp_path / "out.bcf")


@pytest.mark.parametrize(
    ("record", "index"),
    [
        ("c1\t600\t.\tA\tG\t.\t.\t.", "tbi"),
        ("c1\t600\t.\tA\t<DEL>\t.\t.\tEND=600000000", "csi"),
        ("c1\t3000000000\t.\tA\tG\t.\t.\t.", "csi"),
        ("c1\t9000000000000000\t.\tA\tG\t.\t.\t.", None),
    ],
)
def test_what_an_index_cannot_hold_is_written_all_the_same(tmp_path, record, index):
    form = TextFormat(HEADER.encode(), True, {"preset": "vcf"})
    lines = [RECORDS[0], record]
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        form.join(write(form, lines, tmp_path), tmp_path / "out.vcf.gz")
    assert (
        gzip.decompress((tmp_path / "out.vcf.gz").read_bytes()).decode()
        == HEADER + "\n".join(lines) + "\n"
    )
    made = [path.suffix[1:] for path in tmp_path.glob("out.vcf.gz.*")]
    assert made == ([index] if index else [])
    said = [str(note.message) for note in notes if note.category is GenomeNote]
    assert len(said) == (index is None)
    assert all("is written without an index" in note for note in said)


def test_an_index_that_is_there_of_an_older_file_goes(tmp_path):
    (tmp_path / "out.vcf.gz.tbi").write_text("old")
    form = TextFormat(HEADER.encode(), True, None)
    form.join(write(form, RECORDS, tmp_path), tmp_path / "out.vcf.gz")
    assert not (tmp_path / "out.vcf.gz.tbi").exists()


def test_a_full_disk_is_no_missing_index(tmp_path, monkeypatch):
    """Where no index can be made because nothing can be written, that is said, and not a note."""
    from contextlib import ExitStack

    def full(*_, **__):
        raise OSError("building of index failed")

    monkeypatch.setattr(pysam, "tabix_index", full)
    path = tmp_path / "x"
    path.write_bytes(b"")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"), ExitStack() as stack:
        index_or_note(stack, path, tmp_path / "out", ("tbi",), preset="vcf")


def test_the_last_words_of_bcftools_are_repeated_without_their_quotes():
    error = ValueError(
        "returned with error 1: stdout=None, stderr=b'one\\nError: POS too large\\n'"
    )
    escaped = ValueError(str(error).replace("\n", "\\n"))
    assert _last_line(error) == _last_line(escaped) == "POS too large"
