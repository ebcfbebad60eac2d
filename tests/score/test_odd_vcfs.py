"""Odd files: each is scored with every record kept, or ends with one line, exit 1 and nothing left
behind.
"""

import csv
import importlib.util
import sys
from pathlib import Path

import pysam
import pytest

ROOT = Path(__file__).parent.parent.parent
HEAD = "##fileformat=VCFv4.2\n##contig=<ID=1,length=900>\n"
NAMES = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
ROW = "1\t100\trs1\tA\tG\t50\tPASS\tDP=3"

BY_HAND = {  # a name -> (text, how it ends)
    "header alone": (f"{HEAD}{NAMES}\n", "scored"),
    "no final line break": (f"{HEAD}{NAMES}\n{ROW}", "scored"),
    "blank lines at the end": (f"{HEAD}{NAMES}\n{ROW}\n\n\n", "scored"),
    "windows line breaks": (f"{HEAD}{NAMES}\n{ROW}\n".replace("\n", "\r\n"), "scored"),
    "no contig lines": (f"##fileformat=VCFv4.1\n{NAMES}\n{ROW}\n", "scored"),
    "undeclared names": (f"{HEAD}{NAMES}\tFORMAT\ts\n{ROW};ZZ;YY=1,2\tQQ:GT\tx:0/1\n", "scored"),
    "samples cut short": (f"{HEAD}{NAMES}\tFORMAT\ts\n{ROW}\tGT:PL:DP\t0/1\n", "scored"),
    "place 0": (f"{HEAD}{NAMES}\n1\t0\t.\tN\tG\t.\t.\t.\n{ROW}\n", "scored"),
    "place beyond 512 Mb": (f"{HEAD}{NAMES}\n{ROW}\n1\t900000000\t.\tA\tG\t.\t.\t.\n", "scored"),
    "END before POS": (f"{HEAD}{NAMES}\n1\t100\t.\tA\t<DEL>\t.\t.\tEND=3\n", "scored"),
    "symbolic, breakends, star": (
        f"{HEAD}{NAMES}\n1\t100\t.\tA\t<DUP:TANDEM>,*,A[1:5[,G\t.\t.\t.\n",
        "scored",
    ),
    "lower case": (f"{HEAD}{NAMES}\n1\t100\t.\tacgt\ta\t.\t.\t.\n", "scored"),
    "IUPAC": (f"{HEAD}{NAMES}\n{ROW}\n1\t200\t.\tR\tA\t.\t.\t.\n", "scored"),
    "two records of one place": (f"{HEAD}{NAMES}\n{ROW}\n{ROW}\n", "scored"),
    "out of order": (f"{HEAD}{NAMES}\n1\t300\t.\tA\tC\t.\t.\t.\n{ROW}\n", "scored"),
    "letters beyond ASCII": (f"{HEAD}##x=\u00fc\n{NAMES}\n{ROW};N=\u00e9\n", "scored"),
    "gVCF": (
        f"{HEAD}{NAMES}\n1\t90\t.\tA\t<NON_REF>\t.\t.\tEND=99\n1\t100\t.\tA\tG,<NON_REF>\t9\t.\t.\n",
        "scored",
    ),
    "empty": ("", "refused"),
    "no text": ("\x00\x01\x02" * 50, "refused"),
    "no fileformat": (f"{NAMES}\n{ROW}\n", "refused"),
    "no names of columns": (f"{HEAD}{ROW}\n", "refused"),
    "spaces for tabs": (f"{HEAD}{NAMES}\n{ROW}\n".replace("\t", " "), "refused"),
    "a column too few": (f"{HEAD}{NAMES}\n1\t100\trs1\tA\tG\t50\tPASS\n", "refused"),
    "a sample too many": (f"{HEAD}{NAMES}\tFORMAT\ts\n{ROW}\tGT\t0/1\t0/0\n", "refused"),
    "a place that is no number": (f"{HEAD}{NAMES}\n1\t1e2\t.\tA\tG\t.\t.\t.\n", "refused"),
    "no REF": (f"{HEAD}{NAMES}\n1\t100\t.\t\tG\t.\t.\t.\n", "refused"),
    "an empty ALT": (f"{HEAD}{NAMES}\n1\t100\t.\tA\tG,,T\t.\t.\t.\n", "refused"),
    "a header line too late": (f"{HEAD}{NAMES}\n{ROW}\n##late\n", "refused"),
}


@pytest.fixture(scope="module")
def corpus():
    spec = importlib.util.spec_from_file_location(
        "corpus_benchmark", ROOT / "benchmarks" / "corpus.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small_model(corpus, tmp_path_factory):
    return corpus.small_model(tmp_path_factory.mktemp("corpus") / "model")


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("packed", [False, True])
def test_by_hand(corpus, small_model, tmp_path, name, packed):
    text, outcome = BY_HAND[name]
    path, folder = tmp_path / "odd.vcf", tmp_path / "folder"
    path.write_bytes(text.encode())
    if packed:
        pysam.tabix_compress(str(path), str(tmp_path / "odd.vcf.gz"))
        path = tmp_path / "odd.vcf.gz"
    folder.mkdir()
    found, said = corpus.run(path, small_model, folder)
    assert (found, bool(said)) == (outcome, outcome == "refused"), said


def test_a_sample_of_public_files(corpus, small_model, tmp_path, edge_cases):
    with (edge_cases / "INDEX.tsv").open() as file:
        files = [
            row["file"]
            for row in csv.DictReader(file, delimiter="\t")
            if row["kind"] in ("vcf", "bcf")
        ]
    for number, name in enumerate(files[::25]):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome, said = corpus.run(edge_cases / name, small_model, folder)
        assert outcome in ("scored", "refused"), f"{name}: {said}"
