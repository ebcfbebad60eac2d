"""A million records stream through in the memory of a block."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
from random_models import letters_model, random_letters, write_genome

PROGRAM = """
import sys
from pathlib import Path
from orchid_genomics.cli import main
main(sys.argv[1:])
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_a_million_records_in_under_a_gigabyte(tmp_path):
    letters = random_letters(3_000_000)
    write_genome(tmp_path / "genome.fa", {"c1": letters})
    letters_model().save_pretrained(tmp_path / "model", {"report": {"length": 512}})
    places = np.sort(np.random.default_rng(0).choice(3_000_000, 1_000_000, replace=False)).tolist()
    other = dict(zip("ACGT", "CGTA", strict=True))
    with (tmp_path / "in.vcf").open("w") as file:
        file.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for place in places:
            file.write(
                f"c1\t{place + 1}\t.\t{letters[place]}\t{other[letters[place]]}\t.\tPASS\tAF=0.1\n"
            )
    words = [
        "score-variants",
        "model",
        "genome.fa",
        "in.vcf",
        "-o",
        "out.vcf.gz",
        "--scores",
        "llr_unmasked",
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1 << 20  # kB
    assert " left" in done.stderr
    with gzip.open(tmp_path / "out.vcf.gz", "rt") as file:
        found = [line.split("\t") for line in file if not line.startswith("#")]
    assert [int(row[1]) - 1 for row in found] == places
    assert all("ORCHID_LLR_UNMASKED=" in row[7] and "WHY" not in row[7] for row in found)
