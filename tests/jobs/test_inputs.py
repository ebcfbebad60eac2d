"""What a job opens: whether it stays as it was, and whether a model knows the genome."""

import os

import pytest

from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.jobs.inputs import Unchanged, foreign_genome
from orchid_genomics.model.provenance import GenomeOrigin


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "g.fa").write_text(">a\n" + "ACGT" * 20 + "\n>b\n" + "GATTACA" * 10 + "\n")
    return Genome(tmp_path / "g.fa")


@pytest.mark.parametrize(
    ("origins", "note"),
    [
        ([], ""),
        ([GenomeOrigin(fasta="x.fa", contigs={"chrA": 80, "chrB": 70})], ""),
        ([GenomeOrigin(fasta="x.fa", contigs={"A": 80, "B": 70, "C": 999})], ""),
        (
            [GenomeOrigin(fasta="runs/x.fa", contigs={"A": 81}), GenomeOrigin(fasta="y.fa")],
            "was trained on x.fa, y.fa, and g.fa is another genome",
        ),
    ],
)
def test_a_model_of_another_genome_is_said_with_both_names(genome, origins, note):
    assert foreign_genome(origins, genome) == note
    same = GenomeOrigin(fasta="x.fa", sha256=genome.checksum())
    assert foreign_genome([*origins, same], genome) == ""


def test_a_file_that_changes_is_refused(tmp_path):
    path = tmp_path / "in.vcf"
    path.write_text("one")
    unchanged = Unchanged(path, "standard input")
    unchanged.check()
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))
    with pytest.raises(InputError, match=r"^standard input: was changed while it was read; a file"):
        unchanged.check()
    gone = Unchanged(path)
    path.unlink()
    with pytest.raises(InputError, match=r"in.vcf: was changed while it was read"):
        gone.check()
