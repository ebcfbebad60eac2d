"""The conda recipe and the Dockerfile name what the package names."""

import re
import tomllib
from pathlib import Path

import jinja2
import pytest

import orchid_genomics

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # where conda's name is another


@pytest.fixture
def recipe():
    """meta.yaml as conda-build reads it: a template, then YAML."""
    yaml = pytest.importorskip("yaml")
    text = (ROOT / "recipes" / "conda" / "meta.yaml").read_text()
    words = {"PYTHON": "python", "pin_subpackage": lambda name, **_: name}
    return yaml.safe_load(jinja2.Template(text, undefined=jinja2.StrictUndefined).render(words))


def conda_name(requirement: str) -> str:
    name, bound = re.fullmatch(r"([\w-]+)(>=[\d.]+)", requirement).groups()
    return f"{CONDA.get(name, name.lower())} {bound}"


def test_it_asks_for_what_the_package_asks_for(recipe):
    needed = {f"python {PROJECT['requires-python']}", *map(conda_name, PROJECT["dependencies"])}
    assert set(recipe["requirements"]["run"]) == needed


def test_it_has_the_parts_that_bioconda_asks_for(recipe):
    assert recipe["package"] == {"name": "orchid-genomics", "version": orchid_genomics.__version__}
    about = recipe["about"]
    assert about["license"] == PROJECT["license"]
    assert about["summary"] == PROJECT["description"]
    assert (ROOT / about["license_file"]).exists()
    (script,) = PROJECT["scripts"].items()
    assert recipe["build"]["entry_points"] == [" = ".join(script)]
    assert recipe["build"]["noarch"] == "python"
    assert recipe["build"]["run_exports"]
    assert recipe["test"]["commands"]
    assert recipe["extra"]["recipe-maintainers"]


def test_what_the_dockerfile_copies_is_there_and_not_ignored():
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    names = {name for line in copies for name in line.split()}
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert names == set(kept)
    assert all((ROOT / name).exists() for name in names)
