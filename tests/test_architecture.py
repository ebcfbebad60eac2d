"""Who may import whom, what `--help` may load, and how long a file and a function may be."""

import ast
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import orchid_genomics

PACKAGE = Path(orchid_genomics.__file__).parent
NAME = PACKAGE.name

GROUND = {"errors", "recipe", "files", "terminal", "registry"}
MAY_IMPORT = {  # a floor -> the floors below it; every floor may import the ground
    "errors": set(),
    "files": set(),
    "registry": set(),
    "recipe": set(),
    "terminal": set(),
    "sequence": set(),
    "genome": {"sequence"},
    "answers": set(),
    "data": {"answers", "sequence", "genome"},
    "ops": set(),
    "model": {"answers", "sequence", "ops"},
    "draw": {"sequence", "genome"},
    "train": {"sequence", "data", "model"},
    "jobs": {"genome", "model"},
    "score": {"answers", "sequence", "genome", "data", "model", "jobs"},
    "explain": {"sequence", "genome", "ops", "model", "draw", "jobs", "score"},
    "evaluate": {"answers", "draw", "sequence", "genome", "data", "model", "train", "score"},
    "tasks": {
        "answers",
        "sequence",
        "genome",
        "data",
        "model",
        "draw",
        "train",
        "jobs",
        "score",
        "explain",
        "evaluate",
    },
    "cli": {"tasks", "score", "explain"},
    "__init__": {"sequence", "genome", "ops", "model", "explain", "tasks"},
    "__main__": {"cli"},
}
TORCHLESS = {"sequence", "genome", "errors", "recipe"}
LONGEST_FUNCTION = 80  # lines; a function's docstring does not count

FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}


def short(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def floor(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function, by its whole name."""
    names = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{short(path)}:{node.lineno}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_floor_is_in_the_table():
    assert {floor(path) for path in FILES} <= MAY_IMPORT.keys()


@pytest.mark.parametrize("path", FILES, ids=short)
def test_a_floor_imports_only_what_stands_below_it(path):
    own = floor(path)
    floors = {name.split(".")[1] for name in imports(path) if name.startswith(f"{NAME}.")}
    allowed = MAY_IMPORT[own] | {own, "__version__"} | (GROUND if own != "errors" else set())
    assert floors <= allowed


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_every_edge_of_the_table_is_used(name):
    """An edge that nobody uses is a door that nobody decided to open."""
    own = [imports(path) for path in FILES if floor(path) == name]
    used = {each.split(".")[1] for each in set().union(*own) if each.startswith(f"{NAME}.")}
    assert MAY_IMPORT[name] - used == set()


@pytest.mark.parametrize("path", FILES, ids=short)
def test_torch_and_triton_stay_where_they_belong(path):
    roots = {name.split(".")[0] for name in imports(path)}
    if floor(path) in TORCHLESS:
        assert "torch" not in roots
    if not short(path).startswith("ops/triton/"):
        assert "triton" not in roots


@pytest.mark.parametrize("path", FILES, ids=short)
def test_asserts_are_for_tests_and_imports_never_fail_silently(path):
    for node in ast.walk(TREES[path]):
        assert not isinstance(node, ast.Assert), (
            f"{short(path)}:{node.lineno}: raise an error that a user can read"
        )
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            caught = ast.unparse(node.type)
            if "ImportError" in caught or "ModuleNotFoundError" in caught:
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                assert raises, (
                    f"{short(path)}:{node.lineno}: a missing library is one clear line, never a"
                    " silence"
                )


@pytest.mark.parametrize("path", FILES, ids=short)
def test_functions_are_short(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not short(path).startswith(
            "ops/triton/"
        ):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node):
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            assert lines <= LONGEST_FUNCTION, (
                f"{short(path)}:{node.lineno}: {node.name} has {lines} lines"
            )


@pytest.mark.parametrize("path", [path for path in FILES if path.read_text().strip()], ids=short)
def test_a_module_opens_with_what_it_is_for(path):
    assert ast.get_docstring(TREES[path])


@pytest.mark.parametrize("words", [["--help"], ["pretrain", "--help"], ["--version"]], ids=" ".join)
def test_nothing_on_the_way_to_help_imports_torch(words):
    heavy = ("torch", "numpy", "pydantic", "sklearn", "Bio", "matplotlib", "h5py")
    program = (
        "import sys; from orchid_genomics.cli import group\n"
        f"group.main({words!r}, standalone_mode=False)\n"
        f"print('heavy:', *[name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_the_floors_form_no_circle():
    order: list[str] = []
    while len(order) < len(MAY_IMPORT):
        free = [
            name for name, below in MAY_IMPORT.items() if name not in order and below <= set(order)
        ]
        assert free, "the table holds a circle"
        order += free
    for lower, higher in pairwise(
        ["sequence", "genome", "data", "train", "evaluate", "tasks", "cli"]
    ):
        assert order.index(lower) < order.index(higher)
