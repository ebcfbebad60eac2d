"""Provenance of any version is read and written as it was; what is none is one line."""

import json
from pathlib import Path

import pytest

from orchid_genomics.errors import InputError
from orchid_genomics.model.catalogue import MODELS
from orchid_genomics.model.provenance import Provenance

YEAST = Path(MODELS["yeast"]) / "provenance.json"


def test_the_shipped_models_is_written_byte_for_byte_as_it_was():
    provenance = Provenance.read(YEAST)
    assert provenance.text() == YEAST.read_text()
    assert provenance.window == 1024
    assert provenance.setting("objective", "masked") == 0.8
    assert provenance.genomes[0].split["validation"] == ("chrV", "chrXI")


def test_every_key_may_be_missing_and_those_of_a_later_version_are_kept():
    values = {"genomes": [{"fasta": "a.fa", "assembly": "R64"}], "carbon": 3}
    provenance = Provenance.of(values, "provenance.json")
    assert json.loads(provenance.text()) == values
    assert provenance.window is None
    assert provenance.setting("data", "length") is None
    assert provenance.plain("genomes") == values["genomes"]
    assert provenance.plain("evaluation") == []


def test_a_window_is_that_of_the_last_stage_else_of_the_recipe():
    recipe = {"data": {"length": 64}}
    assert Provenance.of({"recipe": recipe}, "").window == 64
    assert Provenance.of({"recipe": recipe, "report": {"length": 512}}, "").window == 512
    assert Provenance.of({"recipe": {"data": 3}}, "").window is None


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"genomes": 3}, "genomes"),
        ({"genomes": [3]}, "genomes.0"),
        ({"genomes": [{"seen": {"chrI": [[1]]}}]}, "genomes.0.seen.chrI.0.1"),
        ({"report": {"length": "long"}}, "report.length"),
        ({"labelled": {"labels": "AB"}}, "labelled.labels"),
        ({"recipe": []}, "recipe"),
        ({"evaluation": {"title": "x"}}, "evaluation"),
    ],
)
def test_another_form_is_one_line_with_the_key(values, key):
    with pytest.raises(InputError) as caught:
        Provenance.of(values, "model/provenance.json")
    message = str(caught.value)
    assert message.startswith(f"model/provenance.json: is damaged or not of this tool ({key}: ")
    assert message.endswith("; the file that training wrote, or none")
    assert "\n" not in message
