"""Genomes that every test may read; index caches go to a temporary folder, never to the user's
home.
"""

import os
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in a command; read when torch is imported

# isort: split
import numpy as np
import pytest
import torch

from orchid_genomics.cli import main
from orchid_genomics.genome.fasta import Genome

if not torch.cuda.is_available():
    os.environ.setdefault(
        "TRITON_INTERPRET", "1"
    )  # read when triton is first imported, which torch's compiler does

ROOT = Path(__file__).parent.parent
TINY = {
    "chr1": "ACGTNacgtnRYSWacgtTTTT",
    "chr2": "GGGGCCCCAAAATTTT" * 8,
    "chrM": "acgtACGTAC",
}


THREADS = torch.get_num_threads()


@pytest.fixture(autouse=True)
def same_threads() -> None:
    """As many as the run began with: whatever ran before may have left others behind, and sums
    round differently with them.
    """
    torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def index_cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ORCHID_CACHE", str(folder))
    return folder


@pytest.fixture
def tiny() -> dict[str, str]:
    """The letters of the tiny genome."""
    return dict(TINY)


@pytest.fixture
def tiny_fasta(tmp_path) -> Path:
    """Three contigs by hand, ten letters a line: lower case, IUPAC codes and N among them."""
    path = tmp_path / "tiny.fa"
    path.write_text(
        "".join(
            f">{name} by hand\n"
            + "".join(f"{letters[i : i + 10]}\n" for i in range(0, len(letters), 10))
            for name, letters in TINY.items()
        )
    )
    return path


@pytest.fixture
def tiny_genome(tiny_fasta) -> Genome:
    return Genome(tiny_fasta)


SMALL = """
[[genomes]]
fasta = "genome.fa"
validation = ["v"]
test = ["t"]
[data]
length = 128
[model]
width = 16
depth = 1
[training]
device = "cpu"
steps = 12
batch = 4
save_every = 4
validate_every = 6
[evaluation]
sites = 40
validation_windows = 8
baselines = false
"""


@pytest.fixture
def small(tmp_path) -> Path:
    """A recipe that trains in well under a second, on a genome of random letters beside it: contigs
    a, b, v and t.
    """
    rng = np.random.default_rng(0)
    sizes = {"a": 6_000, "b": 3_000, "v": 2_000, "t": 2_000}
    text = "".join(
        f">{name}\n{bytes(rng.choice(list(b'ACGTacgt'), size).tolist()).decode()}\n"
        for name, size in sizes.items()
    )
    (tmp_path / "genome.fa").write_text(text)
    (tmp_path / "small.toml").write_text(SMALL)
    return tmp_path / "small.toml"


@pytest.fixture(scope="session")
def yeast() -> Genome:
    """The embedded genome, S. cerevisiae R64."""
    return Genome(ROOT / "recipes" / "yeast" / "sacCer3.fa.gz")


@pytest.fixture(scope="session")
def edge_cases() -> Path:
    """Public corpora of odd files, which lie beside some checkouts only."""
    folder = ROOT.parent / "shared" / "data" / "edge_cases"
    if not folder.is_dir():
        pytest.skip("no ../shared/data/edge_cases here")
    return folder


@pytest.fixture
def refused(capsys, tmp_path):
    """Run words; they must fail with one line, and leave every file as it was. Returns that
    line.
    """

    def run(*words, code=1):
        before = snapshot(tmp_path)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert (stop.value.code, out) == (code, "")
        assert err.count("\n") == 1, err
        assert err.startswith("error: ")
        assert snapshot(tmp_path) == before
        return err.strip()

    return run


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
