"""Relatives beside windows as a user has them: in a recipe, and with --relatives in scoring."""

import numpy as np
import pytest
import torch
from random_models import random_letters, random_model, write_genome

from orchid_genomics.cli import main
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.filters import CorrelationRecipe
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe

HEAD = "##fileformat=VCFv4.2\n##contig=<ID=c1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
BESIDE = """
[model.filter]
kind = "correlation"
hash_length = 7
[[relatives]]
fasta = "genome.fa"
[beside]
alone = 0.3
"""


@pytest.fixture
def folder(tmp_path):
    """A genome, a relative with some letters changed, a model with pointers, and 30 variants."""
    letters = random_letters(3000)
    rng = np.random.default_rng(2)
    related = [c if rng.random() < 0.93 else "ACGT"[rng.integers(4)] for c in letters]
    write_genome(tmp_path / "genome.fa", {"c1": letters})
    write_genome(tmp_path / "related.fa", {"other": "".join(related)})
    torch.manual_seed(0)
    encoder = OrchidRecipe(width=8, depth=1, filter=CorrelationRecipe(hash_length=7))
    model = OrchidModel(ModelRecipe(encoder=encoder, head=LettersRecipe()))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "model", {"report": {"length": 256}})
    lines = []
    for place in range(100, 2900, 93):
        ref = letters[place]
        lines.append(f"c1\t{place + 1}\t.\t{ref}\t{'ACGT'['TACG'.index(ref)]}\t.\t.\t.\n")
    (tmp_path / "in.vcf").write_text(HEAD + "".join(lines))
    return tmp_path


def score(folder, out, *more, vcf="in.vcf"):
    words = ["score-variants", folder / "model", folder / "genome.fa", folder / vcf]
    main([str(word) for word in (*words, "-o", folder / out, "--window", "256", *more)])
    return (folder / out).read_bytes()


def test_a_score_with_relatives_depends_on_its_own_record_alone(folder):
    related = ("--relatives", folder / "related.fa")
    whole = score(folder, "whole.vcf", *related)
    assert whole != score(folder, "alone.vcf")
    lines = (folder / "in.vcf").read_text().splitlines(keepends=True)
    (folder / "few.vcf").write_text("".join(lines[:3] + lines[9:12]))
    few = score(folder, "few.out.vcf", *related, vcf="few.vcf").splitlines()
    assert few[-3:] == [line for line in whole.splitlines() if not line.startswith(b"#")][6:9]
    assert f"relatives {Genome(folder / 'related.fa').checksum()[:12]}".encode() in whole


def test_shards_with_relatives_merge_to_the_bytes_of_one_run(folder):
    related = ("--relatives", folder / "related.fa")
    whole = score(folder, "whole.vcf", *related)
    words = ["score-variants", folder / "model", folder / "genome.fa", folder / "in.vcf"]
    words += ["-o", folder / "parts.vcf", "--window", "256", *related]
    for shard in ("2/2", "1/2"):
        main([str(word) for word in (*words, "--shard", shard)])
    main(["merge", str(folder / "parts.vcf.parts"), "-o", str(folder / "parts.vcf")])
    assert (folder / "parts.vcf").read_bytes() == whole


def test_other_relatives_do_not_resume_a_job(folder, capsys):
    words = ["score-variants", folder / "model", folder / "genome.fa", folder / "in.vcf"]
    words += ["-o", folder / "parts.vcf", "--window", "256", "--shard", "1/2"]
    main([str(word) for word in (*words, "--relatives", folder / "related.fa")])
    with pytest.raises(SystemExit):
        main([str(word) for word in (*words, "--relatives", folder / "genome.fa", "--resume")])
    assert "relatives" in capsys.readouterr().err


def test_a_model_that_would_not_read_them_is_refused(folder, refused):
    random_model({"kind": "letters"}).save_pretrained(folder / "plain")
    words = ["score-variants", folder / "plain", folder / "genome.fa", folder / "in.vcf"]
    line = refused(*words, "-o", folder / "o.vcf", "--relatives", folder / "related.fa")
    message = "the model has no pointers, and would not read them; a model with filter.hash_length"
    assert line == f"error: --relatives: {message}"


def test_pretraining_with_relatives_leaves_out_what_is_held_out(small, capsys):
    recipe = small.parent / "beside.toml"
    # The genome is its own relative here: every window finds itself.
    recipe.write_text(small.read_text() + BESIDE)
    main(["pretrain", str(recipe), "-o", str(small.parent / "run")])
    out, err = capsys.readouterr()
    assert "beside each window: genome.fa, held out: t, v" in err
    assert "1 relatives beside windows of 128 nt, bits a masked letter" in out


def test_relatives_without_pointers_are_refused_before_any_work(small, refused):
    recipe = small.parent / "beside.toml"
    recipe.write_text(small.read_text() + BESIDE.replace("hash_length = 7", "threshold = 0.5"))
    line = refused("pretrain", recipe, "-o", small.parent / "run")
    assert "relatives are read through pointers: model.filter.hash_length = 11" in line
