"""The documentation site: its references hold every key and command, and it builds without a
warning.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

pytest.importorskip("mkdocs")

from mkdocs.config.defaults import MkDocsConfig

from orchid_genomics.cli import group
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.tasks.pretraining import SOURCES

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site():
    """The hook, as mkdocs loads it."""
    found = importlib.util.spec_from_file_location("docs_site", ROOT / "docs" / "site.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def blocks(site, model: type[BaseModel], seen: set) -> set[type[BaseModel]]:
    """A schema and every block within it."""
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for each in site._models(field.annotation):
                blocks(site, each, seen)
    return seen


def test_every_recipe_key_is_in_the_reference_and_says_what_it_is(site):
    text, schemas = site.recipe_reference(), set()
    for root in (*(source.Recipe for source in SOURCES.values()), FinetuneRecipe):
        blocks(site, root, schemas)
    silent = []
    for model in schemas:
        for key in model.model_fields:
            assert f"| `{key}` |" in text
            if not site.describe(model, key):
                silent.append(f"{model.__name__}.{key}")
    assert sorted(silent) == []
    titles = [line for line in text.splitlines() if line.startswith("### `[model.filter]`")]
    assert len({title.partition("{")[0] for title in titles}) == len(titles)


def test_every_command_and_option_is_in_the_reference(site):
    text = site.command_reference()
    for name, command in group.commands.items():
        assert f"\n## {name}\n" in text
        for parameter in command.params:
            assert all(flag in text for flag in parameter.opts if flag.startswith("--"))


def test_every_page_of_the_repository_is_in_the_navigation(site):
    config = MkDocsConfig()
    config.nav = yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)["nav"]
    pages = {page.relative_to(ROOT).as_posix() for page in site._pages()}
    assert pages - set(site.leaves(config.nav)) <= set(site.leaves(site.on_config(config).nav[-1]))
    config.nav = [{"Home": "README.md"}]
    listed = set(site.leaves(site.on_config(config).nav))
    assert pages == listed


def test_a_notebook_becomes_a_page_with_its_pictures(site):
    text, pictures = site.notebook_markdown(ROOT / "notebooks" / "1-saliency.ipynb")
    assert text.startswith("# 1. Saliency")
    assert pictures
    assert all(f"]({name})" in text for name in pictures)
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in ("index.html", "docs/first-hour/index.html", "reference/commands/index.html"):
        assert (tmp_path / "site" / page).exists()
    assert "score-variants" in (tmp_path / "site/search/search_index.json").read_text()
