"""What every command says of itself, and how the program ends."""

import json
import re
import subprocess
import sys

import click
import pytest

from orchid_genomics import __version__
from orchid_genomics.cli import group, main


def said(capsys, *words):
    """Exit status, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as stop:
        sys.exit(main(list(words)))
    return (stop.value.code or 0, *capsys.readouterr())


@pytest.mark.parametrize("command", sorted(group.commands))
def test_every_help_states_its_coordinates(capsys, command):
    code, out, _ = said(capsys, command, "--help")
    assert code == 0
    assert re.search("0-based half-open|1-based", " ".join(out.split()))
    assert all(len(line) <= 112 for line in out.splitlines())


@pytest.mark.parametrize("command", sorted(group.commands))
def test_every_option_and_argument_is_explained(command):
    words = group.commands[command].help
    for parameter in group.commands[command].params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"--{parameter.name}"
        else:
            assert parameter.human_readable_name in words


def test_an_option_of_several_commands_reads_the_same_everywhere():
    """The same switch: the same values and default; the same words too, where what it does is the
    same.
    """
    met: dict[str, tuple] = {}
    for name, command in group.commands.items():
        for option in (each for each in command.params if each.param_type_name == "option"):
            if option.opts[0] in ("--device", "--shard", "--quiet", "--set"):
                said = option.help, option.metavar, str(option.type), option.default
                assert met.setdefault(option.opts[0], said) == said, f"{name} {option.opts[0]}"
            if option.is_flag is False and option.multiple:
                assert "may be repeated" in option.help, f"{name} {option.opts[0]}"
            if isinstance(option.type, click.Path):
                assert option.metavar or "-o" not in option.opts, f"{name} {option.opts[0]}"
            assert option.opts[0] != "--seed" or option.help.startswith("Decides "), name
    assert len(met) == 4


@pytest.mark.parametrize("columns", ["80", "110"])
def test_every_command_is_named_by_a_whole_sentence(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", columns)
    lines = said(capsys, "--help")[1].split("Commands:\n")[1].splitlines()
    assert len(lines) == len(group.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


def test_the_group_lists_every_command_and_the_version(capsys):
    code, out, _ = said(capsys, "-h")
    assert code == 0
    assert {"pretrain", "plan", "info", "features"} <= set(out.split())
    assert "Coordinates are 0-based half-open" in " ".join(out.split())
    assert said(capsys, "--version")[1] == f"orchid-genomics, version {__version__}\n"


def test_nothing_heavy_is_imported_on_the_way_to_help():
    program = """
import json, sys
from orchid_genomics.cli import main
for words in (["--help"], ["pretrain", "--help"]):
    try:
        main(words)
    except SystemExit:
        pass
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    modules = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    heavy = {
        "torch",
        "pydantic",
        "numpy",
        "pysam",
        "Bio",
        "rich",
        "sklearn",
        "matplotlib",
        "h5py",
        "safetensors",
    }
    assert not modules & heavy


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pretrian"], "No such command 'pretrian'"),
        (["pretrain"], "Missing argument 'RECIPE'"),
        (["plan", "x.toml", "--steps", "0"], "0 is not in the range x>=1"),
        (["info", "--colour"], "No such option"),
    ],
)
def test_wrong_words_exit_with_2(capsys, words, message):
    code, out, err = said(capsys, *words)
    assert (code, out) == (2, "")
    assert message in err


def test_a_reader_that_stops_reading_is_no_traceback(small, tmp_path):
    main(["pretrain", str(small), "-o", str(tmp_path / "run"), "--set", "training.steps=1"])
    command = f"{sys.executable} -m orchid_genomics info {tmp_path / 'run' / 'model'} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
