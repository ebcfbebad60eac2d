"""Choices by name: ours first, others' by entry points, loaded when they are asked for."""

import sys
from typing import Literal

import pytest

from orchid_genomics.errors import InputError, MachineError, RecipeError
from orchid_genomics.recipe import Choice, Strict, validate
from orchid_genomics.registry import Registry

SHAPES: Registry[type] = Registry("shape")


class Shape(Choice):
    choices = SHAPES


class RoundRecipe(Shape):
    kind: Literal["round"] = "round"
    radius: float = 1.0


class SquareRecipe(Shape):
    kind: Literal["square"] = "square"
    sides: tuple[float, ...] = (1.0, 1.0)


@SHAPES.register("round")
class Round:
    Recipe = RoundRecipe


@SHAPES.register("square")
class Square:
    Recipe = SquareRecipe


class Whole(Strict):
    shape: Shape = RoundRecipe()
    other: Shape | None = None


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install, without an installer, a package whose module has the text given."""

    def install(entries: str, text: str) -> None:
        (tmp_path / "otherlib.py").write_text(text)
        info = tmp_path / "otherlib-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otherlib\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entries)
        monkeypatch.syspath_prepend(str(tmp_path))

    yield install
    sys.modules.pop("otherlib", None)


def test_a_name_that_nobody_registered_is_one_line_with_the_choices():
    with pytest.raises(InputError) as caught:
        SHAPES.pick("oval", "shape", InputError)
    assert str(caught.value) == "shape: unknown shape 'oval'; possible: round, square"


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="there is a shape 'round' already"):
        SHAPES.register("round")(Square)
    assert SHAPES["round"] is Round


def test_an_entry_point_is_listed_at_once_and_imported_when_asked_for(installed):
    installed("[orchid_genomics.letters]\nomega = otherlib:OMEGA\n", "OMEGA = 24\n")
    letters: Registry[int] = Registry("letter")
    letters["alpha"] = 1
    assert list(letters) == ["alpha", "omega"]
    assert len(letters) == 2
    assert "omega" in letters
    assert "otherlib" not in sys.modules
    assert letters.pick("omega", "letter") == 24


def test_an_entry_point_never_takes_the_place_of_ours(installed):
    installed("[orchid_genomics.letters]\nalpha = otherlib:OMEGA\n", "OMEGA = 24\n")
    letters: Registry[int] = Registry("letter")
    letters["alpha"] = 1
    assert list(letters) == ["alpha"]
    assert letters["alpha"] == 1


def test_an_entry_point_that_cannot_be_imported_names_its_package(installed):
    installed("[orchid_genomics.letters]\nomega = otherlib:OMEGA\n", "raise KeyError('lost')\n")
    with pytest.raises(MachineError) as caught:
        Registry("letter")["omega"]
    assert str(caught.value) == (
        "otherlib: the letter 'omega' cannot be loaded ('lost'); mend or uninstall that package"
    )


def test_a_block_is_of_any_registered_kind_also_one_registered_later():
    whole = validate(Whole, {"shape": {"kind": "square", "sides": [2, 3]}}, "recipe")
    assert whole.shape == SquareRecipe(sides=(2, 3))
    assert validate(Whole, whole.model_dump(mode="json"), "recipe") == whole

    class LineRecipe(Shape):
        kind: Literal["line"] = "line"

    SHAPES["line"] = type("Line", (), {"Recipe": LineRecipe})
    try:
        later = validate(Whole, {"other": {"kind": "line"}}, "recipe")
        assert later == Whole(other=LineRecipe())
    finally:
        del SHAPES["line"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"kind": "oval"}, "shape: unknown kind 'oval'; possible: 'round', 'square'"),
        ({"radius": 2.0}, "shape: has no kind; possible: 'kind'"),
        ({"kind": "round", "sides": [1]}, "shape.round.sides: unknown key; possible: kind, radius"),
        ({"kind": ["round"]}, "shape: unknown kind \"['round']\"; possible: 'round', 'square'"),
        ({"kind": "square", "sides": "12"}, "shape.square.sides: Input should be a valid array"),
        (3, "shape: Input should be an object (found 3)"),
    ],
)
def test_a_wrong_block_is_one_line(shape, message):
    with pytest.raises(RecipeError) as caught:
        validate(Whole, {"shape": shape}, "recipe")
    assert str(caught.value).startswith(f"recipe: {message}")
