"""The README and the pages of docs/: every command and all of the code run as they are printed, on
a tiny genome and with tiny models; every link leads somewhere.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pysam
import pytest
import torch
from random_models import letters_model, random_letters, write_genome

from orchid_genomics.cli import main
from orchid_genomics.errors import TrainingError
from orchid_genomics.genome.fasta import Genome

ROOT = Path(__file__).parent.parent
PAGES = {path.stem: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
SECTIONS = dict(part.split("\n", 1) for part in (ROOT / "README.md").read_text().split("\n## ")[1:])
TEXTS = SECTIONS | PAGES
CONTIGS = ("chr1", "chr2", "chr8", "chr9", "chr10")
TINY = {  # what is said on top of a printed command, so that it takes a second
    "pretrain": (
        "model.width=16 model.depth=1 data.length=128 evaluation.sites=20"
        " evaluation.validation_windows=8"
        " training.curriculum=[{length=64,steps=2,batch=8},{length=128,steps=1,batch=8}]"
    ),
    "finetune": (
        "training.epochs=1 training.rates=[1e-2] training.seeds=[0] baselines.cnn=false"
        " baselines.sizes=[2]"
    ),
}
TINY["plan"] = TINY["pretrain"]
MORE = {
    "dataset": ["--length", "64"],
    "calibrate": ["--sites", "400"],
    "init": ["--minutes", "0.01"],
    "evaluate-variants": ["--samples", "20"],
}


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXTS[section], re.S)


def commands(section: str) -> list[str]:
    lines = "".join(blocks(section, "sh")).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines]


def run(command: str) -> None:
    """A printed command, here or (pipes, and what replaces the process) in a shell."""
    words = shlex.split(command)
    more = [word for each in TINY.get(words[1], "").split() for word in ("--set", each)] + MORE.get(
        words[1], []
    )
    if words[0] == "orchid-genomics" and not {"|", "--processes"} & set(words):
        main([*words[1:], *more])
        return
    command = command.replace("--processes 8", "--processes 2") + "".join(
        f" {shlex.quote(word)}" for word in more
    )
    path = f"{Path('bin').absolute()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=os.environ | {"PATH": path},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()


def write_genes(path: Path, letters: dict[str, str]) -> None:
    """Three whole reading frames a contig, put into its letters, as GFF3."""
    rows = "##gff-version 3\n"
    for contig in letters:
        for number in range(3):
            start, name = 200 + 400 * number, f"{contig}g{number}"
            orf = "ATG" + "".join(f"GC{base}" for base in random_letters(30, number)) + "TAA"
            letters[contig] = letters[contig][:start] + orf + letters[contig][start + len(orf) :]
            ends = f"{start + 1}\t{start + len(orf)}\t.\t+"
            rows += f"{contig}\tx\tgene\t{ends}\t.\tID={name}\n"
            rows += f"{contig}\tx\tCDS\t{ends}\t0\tParent={name};gene_id={name}\n"
    path.write_text(rows)
    pysam.tabix_compress(str(path), f"{path}.gz")


def write_calls(folder: Path, letters: dict[str, str]) -> None:
    """calls.vcf.gz and calls.bcf, labelled by CLNSIG, and assay.tsv of the same variants."""
    header = "##fileformat=VCFv4.3\n" + "".join(
        f"##contig=<ID={name},length=1500>\n" for name in letters
    )
    header += '##FILTER=<ID=PASS,Description="x">\n'
    header += '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n'
    header += '##INFO=<ID=CLNSIG,Number=.,Type=String,Description="x">\n'
    rows, assay = "", "chrom\tpos\tref\talt\tclass\tfamily\n"
    for name, text in letters.items():
        for at in range(60, 1400, 90):
            ref, label = text[at], at // 90 % 2
            alt = "ACGT"[("ACGT".index(ref) + 1 + at % 3) % 4]
            clinical = ("Benign", "Pathogenic")[label]
            site = f"{name}\t{at + 1}\t.\t{ref}\t{alt}\t.\tPASS\tCLNSIG={clinical}"
            rows += f"{site}\tGT\t{('0|1', '1|1')[label]}\n"
            assay += f"{name}\t{at + 1}\t{ref}\t{alt}\t{('none', 'loss')[label]}\tf{at % 7}\n"
    (folder / "calls.vcf").write_text(
        f"{header}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tSAMPLE\n{rows}"
    )
    pysam.tabix_compress(str(folder / "calls.vcf"), str(folder / "calls.vcf.gz"))
    pysam.tabix_index(str(folder / "calls.vcf.gz"), preset="vcf")
    with (
        pysam.VariantFile(str(folder / "calls.vcf")) as calls,
        pysam.VariantFile(str(folder / "calls.bcf"), "wb", header=calls.header) as out,
    ):
        for record in calls:
            out.write(record)
    (folder / "assay.tsv").write_text(assay)


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """All that the README supposes, in the folder where it is read."""
    letters = {name: random_letters(1500, number) for number, name in enumerate(CONTIGS)}
    write_genes(tmp_path / "annotation.gff3", letters)
    shutil.copy(tmp_path / "annotation.gff3.gz", tmp_path / "genes.gff3.gz")
    write_genome(tmp_path / "mygenome.fa", letters)
    pysam.tabix_compress(str(tmp_path / "mygenome.fa"), str(tmp_path / "mygenome.fa.gz"))
    write_genome(tmp_path / "relative.fa", {"r": random_letters(1500, 9)})
    write_calls(tmp_path, letters)
    beds = {
        "blacklist": "chr1\t0\t50\n",
        "promoters": "chr1\t300\t500\n",
        "exons": "chr1\t60\t90\n",
        "ancient_repeats": "chr2\t0\t900\n",
    }
    beds["peaks"] = "".join(
        f"{name}\t{at}\t{at + 40}\tp\t0\t+\n" for name in CONTIGS[:2] for at in (100, 700)
    )
    for name, text in beds.items():
        (tmp_path / f"{name}.bed").write_text(text)
    peaks = [
        f"{name}\t{at}\t{at + 60}\tp\t0\t.\t1\t-1\t-1\t30\n"
        for name in CONTIGS
        for at in (300, 700)
    ]
    (tmp_path / "names.txt").write_text(f"{CONTIGS[0]}\tNC_1\n")
    (tmp_path / "peaks.narrowPeak").write_text("".join(peaks))
    rows = [
        f"{name}\t{at}\t{at + 60}\t{letters[name][at : at + 60]}\t{at // 60 % 2}\n"
        for name in CONTIGS
        for at in range(0, 1440, 60)
    ]
    (tmp_path / "set.tsv").write_text("chrom\tstart\tend\tsequence\tlabel\n" + "".join(rows))
    pysam.tabix_compress(str(tmp_path / "set.tsv"), str(tmp_path / "set.tsv.gz"))
    shutil.copy(tmp_path / "set.tsv.gz", tmp_path / "other_lab.tsv.gz")
    (tmp_path / "mygenome.toml").write_text(blocks("pretraining", "toml")[0])
    (tmp_path / "enhancers.toml").write_text(blocks("fine-tuning", "toml")[0])
    model = letters_model(width=16, depth=2)
    genome = {"fasta": "mygenome.fa.gz", "sha256": Genome(tmp_path / "mygenome.fa.gz").checksum()}
    genome |= {
        "contigs": dict.fromkeys(CONTIGS, 1500),
        "seen": {"chr1": [[0, 1500]]},
        "split": {"validation": ["chr9"]},
    }
    model.save_pretrained(
        tmp_path / "runs" / "mygenome" / "model", {"report": {"length": 64}, "genomes": [genome]}
    )
    (tmp_path / "bin").mkdir()
    # pysam adds an -o of its own where it catches what a command prints
    words = "*sys.argv[2:], catch_stdout='-o' not in sys.argv"
    command = f"getattr(pysam.bcftools, sys.argv[1])({words}) or ''"
    answer = f"sys.stdin.read() if sys.argv[1] == 'sort' else {command}"
    (tmp_path / "bin/bcftools").write_text(
        f"#!{sys.executable}\nimport sys, pysam.bcftools\nsys.stdout.write({answer})\n"
    )
    (tmp_path / "bin/bcftools").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outputs(section: str) -> set[str]:
    words = [shlex.split(command) for command in commands(section)]
    return {
        each[at + 1]
        for each in words
        for at, word in enumerate(each[:-1])
        if word == "-o" and each[at + 1] != "-"
    }


RUN_BELOW = {
    "Thirty seconds to a scored VCF",
    "Your own genome",
    "Your own peaks",
} | PAGES.keys()


def test_all_sections_with_commands_are_below():
    with_commands = {name for name in TEXTS if commands(name)}
    assert with_commands - RUN_BELOW == {"Install", "Two commands"}
    assert [command.split() for command in commands("Two commands")] == [
        ["make", "demo"],
        ["make", "test"],
    ]
    targets = re.findall(r"^(\S+):", (ROOT / "Makefile").read_text(), re.M)
    assert {"demo", "test"} <= set(targets)


def test_the_readme_is_short():
    assert (ROOT / "README.md").read_text().count("\n") <= 180


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_every_link_leads_somewhere(path):
    text = path.read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        if not target.startswith("http"):
            assert (path.parent / target).exists(), link
        if anchor and target.endswith(".md"):
            headings = re.findall(r"^#+ (.+)$", (path.parent / target).read_text(), re.M)
            anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in anchors, link


def test_install():
    """Every extra that is named there is one; what is in the constraints is tested elsewhere."""
    rows = [line for line in SECTIONS["Install"].splitlines() if line.startswith("| `")]
    extras = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sorted(extras) == sorted(project["optional-dependencies"])
    assert "torch>=2.6" in project["dependencies"]
    assert project["requires-python"] == ">=3.11"


def test_thirty_seconds_to_a_scored_vcf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    score, show = commands("Thirty seconds to a scored VCF")
    run(score)
    shown = subprocess.run(["bash", "-c", show], capture_output=True, text=True, check=True).stdout
    printed = re.search(
        r"^```\n(#CHROM.*?)```", TEXTS["Thirty seconds to a scored VCF"], re.S | re.M
    )[1]
    made, told = ([line.split() for line in text.splitlines()] for text in (shown, printed))
    assert [line[:-1] for line in made] == [line[:-1] for line in told]
    numbers = re.compile(r"-?\d+\.\d+")
    for ours, theirs in zip(made[1:], told[1:], strict=True):
        assert numbers.sub("", ours[-1]) == numbers.sub("", theirs[-1])
        # another processor may round otherwise
        values = [list(map(float, numbers.findall(info))) for info in (ours[-1], theirs[-1])]
        assert values[0] == pytest.approx(values[1], abs=1e-3)


def test_your_own_genome(stranger):
    (stranger / "mygenome.toml").write_text(blocks("Your own genome", "toml")[0])
    shutil.rmtree(stranger / "runs")
    for command in commands("Your own genome"):
        run(command)
    assert all((stranger / name).exists() for name in outputs("Your own genome"))


def test_your_own_peaks(stranger):
    (stranger / "peaks.toml").write_text(blocks("Your own peaks", "toml")[0])
    for command in commands("Your own peaks"):
        run(command)
    assert all((stranger / name).exists() for name in outputs("Your own peaks"))


def test_pretraining(stranger):
    shutil.rmtree(stranger / "runs")
    for command in commands("pretraining"):
        if command.startswith("sbatch "):  # run in tests/test_cluster.py
            assert (ROOT / command.split()[1]).exists()
        else:
            run(command)
    assert all((stranger / name).exists() for name in outputs("pretraining"))
    assert all(
        (stranger / "runs" / name / "model").is_dir() for name in ("mygenome", "deeper", "many")
    )


def test_fine_tuning(stranger):
    for command in commands("fine-tuning"):
        run(command)
    assert all((stranger / name).exists() for name in outputs("fine-tuning"))
    (code,) = blocks("fine-tuning", "python")
    with pytest.raises(TrainingError, match="runs/enhancers: holds a run already;"):
        exec(code, {})  # the run of the commands
    trained = code.replace(
        'og.finetune("enhancers.toml", "runs/enhancers")', '"runs/enhancers/model"'
    )
    assert trained != code
    exec(trained, {})


def test_variants(stranger):
    for command in commands("variants"):
        run(command)
    assert all((stranger / name).exists() for name in outputs("variants"))
    (code,) = blocks("variants", "python")
    names: dict = {}
    exec(code.replace("1_000_225", "225"), names)
    assert len(names["llr"]) == len(names["why"]) == 1


def test_long_windows(stranger):
    for command in commands("long-windows"):
        run(command)
    assert all((stranger / path).exists() for path in outputs("long-windows"))


def test_elements(stranger):
    for command in commands("elements"):
        run(command)
    assert all((stranger / name).exists() for name in outputs("elements"))
    scores, embeddings, pipeline = blocks("elements", "python")
    names: dict = {}
    exec(scores, names)
    assert np.isfinite(names["z"]).all()
    assert set(names["why"]) == {""}
    exec(embeddings, names)
    assert names["X"].shape == (10, 8)
    assert len(names["intervals"]) == 10
    exec(pipeline, names)


def test_explaining(stranger):
    for command in commands("explain"):
        run(command)
    assert all((stranger / name).exists() for name in outputs("explain"))
    (code,) = blocks("explain", "python")
    names: dict = {}
    exec(code, names)
    assert names["attributions"].shape == (1, 4, 128)
    assert torch.isfinite(names["attributions"]).all()
    assert names["attributions"].abs().max() > 0


@pytest.mark.filterwarnings("default::orchid_genomics.errors.GenomeNote")
def test_the_first_hour(stranger):
    shutil.rmtree(stranger / "runs")
    (stranger / "mygenome.toml").unlink()  # what `init` is to write
    for command in commands("first-hour"):
        run(command)
    assert all((stranger / name).exists() for name in outputs("first-hour") - {"every.vcf.gz"})


def test_models_by_name(capsys):
    for command in commands("models"):
        run(command)
    printed = capsys.readouterr().out
    for name in ("yeast", "yeast-long"):
        assert re.search(rf"^{name} +SGD R64-1-1 \(sacCer3\)", printed, re.M)
    assert "licence      CC-BY-4.0" in printed


def test_from_python(stranger):
    names: dict = {}
    for code in blocks("python", "python"):
        exec(code, names)
    assert names["vectors"].shape == (1, 1024, 16)
    assert names["logits"].shape == (1, 128, 4)


def test_completion():
    (line,) = blocks("command-line", "bash")
    env = os.environ | {"_ORCHID_GENOMICS_COMPLETE": "bash_source"}
    command = [sys.executable, "-m", "orchid_genomics"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "_ORCHID_GENOMICS_COMPLETE=bash_source" in line
    assert "complete -o nosort -F _orchid_genomics_completion" in done.stdout
