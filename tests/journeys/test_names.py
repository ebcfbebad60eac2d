"""Names that are no text: files whose names hold any bytes are read and written as others are."""

import os

import pyBigWig
import pysam
import pytest
from random_models import letters_model, random_letters, write_genome

from orchid_genomics.cli import main
from orchid_genomics.model.folder import OrchidModel

VCF = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
NAME = os.fsdecode(b"g\xe8ne\xff")  # latin-1, which is no UTF-8


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A model folder, a genome, regions and variants, each of such a name."""
    folder = tmp_path / NAME
    folder.mkdir()
    monkeypatch.chdir(folder)
    letters = random_letters(600)
    write_genome(folder / f"{NAME}.fa", {"c1": letters})
    letters_model().save_pretrained(folder / NAME, {"report": {"length": 64}})
    (folder / f"{NAME}.bed").write_text("c1\t100\t160\tone\t0\t+\n")
    ref = letters[300]
    alt = "A" if ref != "A" else "C"
    (folder / f"{NAME}.vcf").write_text(f"{VCF}c1\t301\t.\t{ref}\t{alt}\t.\t.\t.\n")
    return folder


def test_a_model_is_read_again(inputs):
    first = OrchidModel.from_pretrained(NAME)
    first.save_pretrained(NAME)
    assert OrchidModel.from_pretrained(NAME).hash() == first.hash()


def test_a_track_with_its_page_and_session(inputs):
    words = ["explain", NAME, f"{NAME}.fa", f"{NAME}.bed", "-o", f"{NAME}.bw", "--quiet"]
    main([*words, "--method", "gradient", "--html", "--session"])
    # pyBigWig itself takes UTF-8 alone.
    plain = inputs.parent / "plain.bw"
    plain.symlink_to(inputs / f"{NAME}.bw")
    with pyBigWig.open(str(plain)) as track:
        assert track.chroms() == {"c1": 600}
    assert "c1:101-160" in (inputs / f"{NAME}.html").read_text(encoding="utf-8")
    assert NAME.encode("utf-8", "surrogateescape") in (inputs / f"{NAME}.ucsc.txt").read_bytes()


@pytest.mark.parametrize("kind", ["vcf.gz", "bcf", "parquet"])
def test_scored_variants(inputs, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    out = f"{NAME}.out.{kind}"
    words = ["score-variants", NAME, f"{NAME}.fa", f"{NAME}.vcf", "--quiet"]
    main([*words, "--window", "64", "-o", out])
    if kind == "parquet":
        assert (inputs / out).read_bytes()[:4] == b"PAR1"
        return
    with pysam.VariantFile(out) as file:
        assert [record.pos for record in file] == [301]
