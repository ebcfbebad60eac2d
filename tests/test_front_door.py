"""`import orchid_genomics as og`: what everybody needs, at once, and nothing heavy before it is
used.
"""

import ast
import os
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import orchid_genomics as og
from orchid_genomics import _HOMES
from orchid_genomics.tasks.explain import explain

PROMISED = [
    "OrchidModel",
    "Orchid",
    "OrchidRecipe",
    "DNA",
    "Genome",
    "Interval",
    "Variant",
    "OneHot",
    "OrchidFeatures",
    "long_conv",
    "pretrain",
    "finetune",
    "score_variants",
    "score_genome",
    "score_elements",
    "embed",
    "explain",
]


def python(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("name", PROMISED)
def test_every_name_is_listed_and_is_what_its_home_holds(name):
    assert name in og.__all__
    assert name in dir(og)
    assert getattr(og, name) is not None
    if name != "explain":
        assert getattr(og, name) is getattr(sys.modules[f"{og.__name__}.{_HOMES[name]}"], name)


def test_what_checkers_read_is_what_is_there():
    (imports,) = [
        node
        for node in ast.parse(Path(og.__file__).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    typed = {
        alias.name: node.module.removeprefix("orchid_genomics.")
        for node in imports.body
        for alias in node.names
    }
    assert typed == _HOMES | {"explain": "tasks.explain"}
    assert sorted(og.__all__) == sorted([*typed, "__version__"])
    assert (Path(og.__file__).parent / "py.typed").exists()


def test_importing_it_imports_nothing_heavy_and_leaves_the_environment_alone():
    program = (
        "import os, sys; before = dict(os.environ); import orchid_genomics as og; dir(og)\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'sklearn', 'pysam', 'click'} & sys.modules.keys()\n"
        "print('heavy', *heavy, 'changed', *(dict(os.environ).items() ^ before.items()))"
    )
    assert python(program) == ["heavy", "changed"]


def test_the_alphabet_and_intervals_need_no_torch():
    program = (
        "import orchid_genomics as og, sys; og.DNA, og.Interval; print('torch' in sys.modules)"
    )
    assert python(program) == ["False"]


def test_help_shows_what_is_there():
    text = pydoc.render_doc(og, renderer=pydoc.plaintext)
    for name in PROMISED:
        assert name in text


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        og.Trainer  # noqa: B018


@pytest.mark.parametrize(
    "first",
    [
        "og.explain",
        "import orchid_genomics.explain.motifs",
        "from orchid_genomics.explain import deeplift",
    ],
)
def test_explain_is_a_call_and_a_floor_whatever_comes_first(first):
    program = (
        f"import orchid_genomics as og\n{first}\n"
        "from orchid_genomics.explain import OneHot\n"
        "import orchid_genomics.explain.gradients as gradients\n"
        "print(callable(og.explain), og.explain.OneHot is OneHot, gradients.Attribution.__name__)"
    )
    assert python(program) == ["True", "True", "Attribution"]


def test_a_call_of_explain_is_the_task(monkeypatch):
    task = sys.modules[explain.__module__]
    monkeypatch.setattr(task, "explain", lambda *given, **options: (given, options))
    assert og.explain("model", "genome", out="o.h5") == (("model", "genome"), {"out": "o.h5"})


def test_commands_say_how_threads_wait_and_what_the_user_said_stands():
    program = (
        "from orchid_genomics.cli import process; import os; process.settle()\n"
        "print(os.environ['GOMP_SPINCOUNT'], os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP_", "OMP_"))}
    for given, expected in (({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env=environment | given,
        )
        assert done.stdout.split() == [expected, "PASSIVE"]
