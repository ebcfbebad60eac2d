import gzip
import os
import shutil

import pysam
import pytest

from orchid_genomics.errors import InputError, MachineError
from orchid_genomics.genome import fasta
from orchid_genomics.genome.fasta import Genome, GenomeNote

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
        (b">a\nACGT\nACGTACGTA\n\n>b\nAC\n", r"bad\.fa line 3: a line of another length"),
        (b">a\n\nACGT\n\nACGT\n", r"bad\.fa line 5: a line of another length"),
        (gzip.compress(b">a\nACGT\n", mtime=0)[:-9], r"bad\.fa: is truncated gzip"),
        (gzip.compress(b"hello\n", mtime=0), r"bad\.fa: is no FASTA: it begins with 'h'"),
        pytest.param(
            b">" + b"A" * (1 << 19) + b"\nACGT\n",
            r"bad\.fa: is no FASTA: its first line has over 262,143 letters",
            id="endless-header",
        ),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "bad.fa"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Genome(path)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::orchid_genomics.genome.fasta.GenomeNote")
@pytest.mark.parametrize("size", [0, 1, 2, 24])
@pytest.mark.parametrize("block", [0, 1])
def test_a_bgzip_block_of_impossible_size_is_one_line(tmp_path, yeast, size, block):
    data = bytearray(yeast.path.read_bytes())
    at = 0 if block == 0 else int.from_bytes(data[16:18], "little") + 1
    data[at + 16 : at + 18] = size.to_bytes(2, "little")
    path = tmp_path / "bad.fa.gz"
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"has a damaged bgzip block at byte {at:,}"):
        Genome(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.fa: cannot be read \(No such file or directory\)"):
        Genome(tmp_path / "none.fa")
    with pytest.raises(InputError, match="cannot be read"):
        Genome(tmp_path)


@pytest.mark.parametrize("missing", [1, 28, 5000])
def test_a_bgzip_cut_anywhere_is_truncated(tmp_path, yeast, missing):
    path = tmp_path / "cut.fa.gz"
    path.write_bytes(yeast.path.read_bytes()[:-missing])
    with pytest.raises(
        InputError, match=r"cut\.fa\.gz: is truncated \(no bgzip end-of-file block\)"
    ):
        Genome(path)


@pytest.mark.parametrize("size", [20, 40, 100, 160])
def test_a_plain_file_shorter_than_its_index_is_truncated(tiny_fasta, size):
    pysam.faidx(str(tiny_fasta))
    tiny_fasta.write_bytes(tiny_fasta.read_bytes()[:size])
    with pytest.raises(
        InputError, match=r"is truncated: it ends before contig chr[12M] .* remove tiny\.fa\.fai"
    ):
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


def test_a_damaged_block_is_no_part_of_an_index(tmp_path, yeast):
    data = bytearray(yeast.path.read_bytes())
    data[1_000_000:1_000_400] = bytes(400)
    path = tmp_path / "damaged.fa.gz"
    path.write_bytes(data)
    with pytest.raises(
        InputError, match=r"has a damaged bgzip block at byte [0-9,]+ \(.*\); copy it"
    ):
        Genome(path)


def test_a_file_that_shrinks_after_opening_is_an_error(tiny_genome):
    tiny_genome.path.write_bytes(tiny_genome.path.read_bytes()[:30])
    with pytest.raises(InputError, match=r"tiny\.fa chr2:1-128"):
        tiny_genome.letters("chr2", 0, 128)


@pytest.mark.filterwarnings("ignore::orchid_genomics.errors.GenomeNote")
def test_odd_files_of_other_projects_open_or_give_one_line(edge_cases):
    opened, refused = 0, []
    for path in sorted(edge_cases.glob("*/*.fa*")) + sorted(
        (edge_cases / "biopython_fasta").iterdir()
    ):
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
    with pytest.warns(
        GenomeNote, match=r"tiny\.fa\.fai: .*; it is left alone and an index of our own is used"
    ):
        genome = Genome(tiny_fasta)
    assert {
        name: genome.letters(name, 0, len(letters)).decode() for name, letters in tiny.items()
    } == tiny
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
    with pytest.raises(
        MachineError, match=r"blocked: the index cannot be written .* set ORCHID_CACHE"
    ):
        Genome(tiny_fasta, cache=blocked)
