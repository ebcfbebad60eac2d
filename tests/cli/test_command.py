"""What all commands share: flags in their errors, outputs that are no inputs, one line for what the
system refuses.
"""

import os
import subprocess
import sys

import click
import pytest

from orchid_genomics.cli import group, main
from orchid_genomics.cli.command import Command
from orchid_genomics.errors import InputError


def fail(*fault):
    """A command that fails so, and has an option --window and one --score that are named
    otherwise.
    """

    def body(**_) -> None:
        raise InputError(*fault)

    window = click.Option(["--window", "windows"])
    resume = click.Option(["--resume"], is_flag=True)
    file = click.Argument(["genome"], type=click.Path())
    return Command("fail", params=[window, resume, file], callback=body)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (("windows", "0", "1 or more"), "--window: 0; 1 or more"),
        (("windows 7", "too short"), "--window 7: too short"),
        (("run", "is there", "`resume` to go on"), "run: is there; --resume to go on"),
        (("run", "has no `genome`", "`depth`"), "run: has no `genome`; `depth`"),
        (("genome", "is no FASTA"), "genome: is no FASTA"),
    ],
)
def test_an_error_that_names_a_parameter_is_told_with_its_flag(fault, message):
    with pytest.raises(InputError) as error:
        fail(*fault).main(["genome"], standalone_mode=False)
    assert str(error.value) == message


def test_a_file_that_is_called_like_an_option_keeps_its_name():
    with pytest.raises(InputError, match=r"^resume: is empty$"):
        fail("resume", "is empty").main(["resume"], standalone_mode=False)


def test_no_output_takes_the_place_of_a_file_of_a_folder_that_is_read(tmp_path, refused):
    (tmp_path / "model" / "deep").mkdir(parents=True)
    for name in ("config.json", "deep/x.json"):
        file = tmp_path / "model" / name
        file.write_text("{}")
        words = ["evaluate", tmp_path / "model", tmp_path / "data.tsv", "-o", file]
        assert refused(*words) == f"error: --out: {file} is the input; another name"


def paths_of(command):
    arguments = [each for each in command.params if isinstance(each.type, click.Path)]
    return {each.name for each in arguments} - {"out"}


WRITERS = sorted(
    name
    for name, command in group.commands.items()
    if any(each.name == "out" for each in command.params)
)


@pytest.mark.parametrize("name", WRITERS)
def test_no_command_writes_over_a_file_that_it_reads(name, refused, tmp_path):
    command = group.commands[name]
    for index, source in enumerate(sorted(paths_of(command))):
        file = tmp_path / f"{index}.tsv"
        file.write_text("something\n")
        words = [name]
        for parameter in command.params:
            if parameter.name == source:
                flag = [] if isinstance(parameter, click.Argument) else [parameter.opts[0]]
                words += [*flag, file]
            elif isinstance(parameter, click.Argument):
                words.append(tmp_path / "other")
            elif parameter.required and parameter.name != "out":
                words += [parameter.opts[0], "x"]
        assert f"{file} is the input" in refused(*words, "-o", file)


@pytest.mark.parametrize("name", WRITERS)
def test_no_command_puts_a_file_where_a_pipe_stands(name, refused, tmp_path):
    pipe = tmp_path / "out"
    os.mkfifo(pipe)
    words = [name]
    for parameter in group.commands[name].params:
        if isinstance(parameter, click.Argument):
            words.append(tmp_path / "in")
        elif parameter.required and parameter.name != "out":
            words += [parameter.opts[0], "x"]
    message = f"error: --out: {pipe} is no file but a device or pipe; the name of a file"
    assert refused(*words, "-o", pipe) == message
    assert pipe.is_fifo()


def test_a_number_of_thousands_of_digits_is_no_window(tmp_path):
    words = ["calibrate", "m", "g", "-o", "c.json", "--window", "9" * 5000]
    done = subprocess.run(
        [sys.executable, "-m", "orchid_genomics", *words], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "is not one or more lengths, such as 1024" in done.stderr.splitlines()[-1]


def start(*words, **options):
    """A process of the command line."""
    command = [sys.executable, "-m", "orchid_genomics", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture
def bed(tmp_path):
    path = tmp_path / "a.gff3"
    rows = ("##gff-version 3", "##sequence-region c 1 900", "c\tx\tgene\t9\t90\t.\t+\t.\tID=g")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("words", ["features a.gff3 -o out", "features --help", "--version"])
def test_a_full_standard_output_is_one_line(bed, words):
    with open("/dev/full", "w") as full:
        done = start(*words.split(), stdout=full, cwd=bed.parent)
    line = "error: standard output: cannot be written (No space left on device)\n"
    assert (done.communicate()[1], done.returncode) == (line, 1)


@pytest.mark.parametrize(
    ("closed", "words", "line"),
    [
        (
            ">&-",
            "features a.gff3 -o out",
            "standard output: cannot be written (Bad file descriptor)",
        ),
        (">&-", "score-variants m g v.vcf -o -", "standard output: is closed; a file, or a pipe"),
        ("<&-", "score-variants m g - -o o.vcf", "standard input: is closed; a file, or a pipe"),
    ],
)
def test_a_closed_stream_is_one_line(bed, closed, words, line):
    command = f"{sys.executable} -m orchid_genomics {words} {closed}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=bed.parent, timeout=300
    )
    assert (done.stderr, done.returncode) == (f"error: {line}\n", 1)


def test_what_a_command_writes_does_not_go_where_a_closed_stream_was(bed):
    command = f"{sys.executable} -m orchid_genomics features a.gff3 -o out >&- 2>&- <&-"
    subprocess.run(["bash", "-c", command], cwd=bed.parent, timeout=300)
    assert (bed.parent / "out/genes.bed").read_text().count("\n") == 1


def test_a_name_that_the_locale_cannot_print_is_printed_all_the_same(bed):
    name = os.fsdecode("gè".encode() + b"\xff")
    folder = bed.parent / name
    env = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = start("features", folder / "no.gff3", "-o", folder, env=env, stdout=subprocess.PIPE)
    error = done.communicate()[1]
    assert done.returncode == 1
    assert error.count("\n") == 1
    assert error.startswith("error: ")


def test_an_input_that_ends_too_early_is_one_line(monkeypatch, refused):
    def end(**_):
        raise EOFError("Compressed file ended")

    monkeypatch.setattr(group.commands["info"], "callback", end)
    assert refused("info", "m") == "error: info: an input ends too early (Compressed file ended)"


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (
            PermissionError(13, "Permission denied", "x.bed"),
            "x.bed: cannot be used (Permission denied)",
        ),
        (OSError(28, "No space left on device"), "info: No space left on device"),
        (MemoryError(), "info: not enough memory; a smaller window"),
    ],
)
def test_what_the_system_refuses_is_one_line(monkeypatch, refused, fault, line):
    def body(**_):
        raise fault

    monkeypatch.setattr(group.commands["info"], "callback", body)
    assert refused("info", "m") == f"error: {line}"


def test_an_interrupt_is_one_line_and_a_status_that_shells_know(monkeypatch, capsys):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(group.commands["info"], "callback", interrupt)
    with pytest.raises(SystemExit) as stop:
        main(["info", "m"])
    assert stop.value.code == 130
    assert capsys.readouterr().err.strip() == "stopped: interrupted"


def test_a_reader_that_leaves_early_ends_the_command_quietly(bed):
    command = f"{sys.executable} -m orchid_genomics features a.gff3 -o out | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, cwd=bed.parent, timeout=300
    )
    assert done.stderr == b""
    assert done.returncode in (0, 141)  # 0: all was written before the reader left


SCORED = ("score-variants", "score-genome", "score-elements")
MAPPED = ("features", "dataset", "mutate", *SCORED, "embed", "explain")


@pytest.mark.parametrize("name", [*MAPPED, "calibrate", "evaluate-variants"])
def test_commands_that_map_contig_names_take_aliases(name):
    assert "aliases" in {each.name for each in group.commands[name].params}


@pytest.mark.parametrize("name", sorted(group.commands))
def test_a_command_that_writes_a_file_can_be_quiet(name):
    names = {each.name for each in group.commands[name].params}
    prints_its_answer = name in ("pretrain", "finetune", "evaluate", "evaluate-variants")
    assert "out" not in names or prints_its_answer or "quiet" in names
