"""What every job checks before any work, in the words that its user reads."""

from pathlib import Path

import pytest
import torch

from orchid_genomics.errors import InputError, MachineError
from orchid_genomics.jobs.output import Destination, destination, kind_of
from orchid_genomics.model.device import device_of


def test_where_a_job_writes_and_which_part_of_it(tmp_path):
    out = tmp_path / "out.bed"
    assert destination(out, (None,), None, False) == Destination(out)
    assert destination(str(out), (tmp_path / "none.bed",), "3/10", True) == Destination(
        out, (3, 10), True
    )
    assert destination("-", ("-",), None, False).piped


@pytest.mark.parametrize(("shard", "resume"), [("1/2", False), (None, True)])
def test_standard_output_leaves_no_parts(shard, resume):
    with pytest.raises(InputError, match=r"^out: - leaves no parts to resume or merge; a file$"):
        destination("-", ("in.vcf",), shard, resume)


def test_no_job_writes_over_its_input_by_whatever_name(tmp_path):
    (tmp_path / "in.bed").write_text("chr1\t0\t9\n")
    (tmp_path / "other.bed").symlink_to(tmp_path / "in.bed")
    with pytest.raises(InputError, match=r"other\.bed is the input; another name$"):
        destination(tmp_path / "other.bed", (None, tmp_path / "in.bed"), None, False)


def test_an_output_is_a_file_in_a_folder_that_is_there(tmp_path):
    with pytest.raises(InputError, match=r"^out: .* is a folder; the name of a file in it$"):
        destination(tmp_path, (), None, False)
    with pytest.raises(InputError, match=r"^out: /dev/null is no file but a device or pipe"):
        destination("/dev/null", (), None, False)
    with pytest.raises(MachineError, match=r"cannot be written \(No such file or directory\)"):
        destination(tmp_path / "no" / "out.bed", (), None, False)


def test_a_name_says_its_format_and_the_longest_ending_comes_first():
    assert kind_of(Path("a.bed.gz"), ("bed.gz", "bed", "gz")) == "bed.gz"
    assert kind_of(Path("-"), ("tsv", "bed"), piped="tsv") == "tsv"
    with pytest.raises(
        InputError,
        match=r"^out: '\.bed' names no format; \.bed, or - \(BED to standard output\)$",
    ):
        kind_of(Path("x/.bed"), ("bed",), piped="bed")
    with pytest.raises(InputError, match=r"^out: '-' names no format; \.h5$"):
        kind_of(Path("-"), ("h5",))


def test_the_device_of_a_name():
    assert device_of("cpu") == torch.device("cpu")
    if torch.cuda.is_available():
        assert device_of() == device_of("cuda") == torch.device("cuda", 0)
        return
    assert device_of() == torch.device("cpu")
    with pytest.raises(MachineError, match=r"^--device: no CUDA device was found; cpu, or auto$"):
        device_of("cuda")


@pytest.mark.parametrize("ending", [".summary.json", ".tbi", ".csi"])
def test_nothing_that_is_written_beside_an_output_takes_the_place_of_an_input(tmp_path, ending):
    (tmp_path / f"out.vcf.gz{ending}").write_text("chr1\t0\t9\n")
    with pytest.raises(InputError, match=rf"out\.vcf\.gz\{ending} is the input; another name$"):
        destination(tmp_path / "out.vcf.gz", (tmp_path / f"out.vcf.gz{ending}",), None, False)
