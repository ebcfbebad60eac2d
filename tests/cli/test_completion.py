"""What Tab offers for a MODEL: the names that come along, and folders."""

import pytest
from click.shell_completion import ShellComplete

from orchid_genomics.cli import group
from orchid_genomics.model.catalogue import MODELS


def offers(words, incomplete):
    complete = ShellComplete(group, {}, "orchid-genomics", "_ORCHID_GENOMICS_COMPLETE")
    return [(each.type, each.value) for each in complete.get_completions(words, incomplete)]


@pytest.mark.parametrize(
    "words",
    [["score-variants"], ["info"], ["explain"], ["pretrain", "r.toml", "--from"]],
    ids=lambda words: words[0],
)
def test_models_are_offered_by_name_beside_folders(words, monkeypatch):
    monkeypatch.setitem(MODELS, "yellow", "somewhere")
    assert offers(words, "ye") == [
        ("dir", "ye"),
        ("plain", "yeast"),
        ("plain", "yeast-long"),
        ("plain", "yellow"),
    ]
    assert offers(words, "yel")[1:] == [("plain", "yellow")]
    assert offers(words, "runs/") == [("dir", "runs/")]
    assert ("plain", "yeast") in offers(words, "")


def test_other_files_have_no_model_names():
    assert offers(["score-variants", "yeast"], "ye") == [("file", "ye")]
