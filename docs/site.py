"""What the documentation site is made of: a hook of mkdocs that lays out this repository's pages.

The pages keep their places, so that one link works in the repository, on a code host and here:
README.md, docs/, recipes/, benchmarks/ and the notebooks with their pictures. Added to them are the
reference of every recipe key, generated from the schemas, and of every command, from click.
"""

import ast
import base64
import inspect
import json
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from orchid_genomics.cli import group
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.recipe import Choice
from orchid_genomics.tasks.pretraining import SOURCES

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SKILL.md",
    "docs/*.md",
    "recipes/**/*.md",
    "benchmarks/*.md",
    "orchid_genomics/pretrained/*/*.md",
)
BESIDE = ("", ".png", ".toml", ".sh", ".sbatch", ".py", ".smk", ".cff", ".yaml")
"""Endings of files that pages link to; a Snakefile has none."""
_LINK = re.compile(r"(\]\()([^)#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A page that nobody put into the navigation stands at its end, under "More"."""
    nav = list(config.nav or [])
    named = set(leaves(nav))
    more = [uri for page in _pages() if (uri := page.relative_to(ROOT).as_posix()) not in named]
    config.nav = [*nav, {"More": more}] if more else nav
    return config


def leaves(nav: Any) -> Iterator[str]:
    """The pages of a navigation, however deep."""
    if isinstance(nav, str):
        yield nav
        return
    for part in nav.values() if isinstance(nav, dict) else nav:
        yield from leaves(part)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site: those of the theme, and ours at their places in the repository."""
    kept = [file for file in files if not file.is_documentation_page() and not _is_ours(file)]
    own = Files(kept)
    for page in _pages():
        own.append(_file(config, page))
    for path in sorted({linked for page in _pages() for linked in _linked_files(page)}):
        own.append(_file(config, path))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        uri = f"notebooks/{notebook.stem}"
        text, pictures = notebook_markdown(notebook)
        own.append(File.generated(config, f"{uri}.md", content=text))
        for name, picture in pictures.items():
            own.append(File.generated(config, f"notebooks/{name}", content=picture))
    own.append(File.generated(config, "site.css", content=_STYLE))
    own.append(File.generated(config, "reference/recipes.md", content=recipe_reference()))
    own.append(File.generated(config, "reference/commands.md", content=command_reference()))
    own.append(File.generated(config, "reference/python.md", content=python_reference()))
    return own


_STYLE = """
/* Keys and flags are looked up, so none breaks across lines. */
.md-typeset td:first-child code { white-space: nowrap; word-break: normal; }
.md-typeset table:not([class]) { font-size: .68rem; }
/* Tables of bits and lines of a VCF are a hundred letters wide. */
.md-grid { max-width: 78rem; }
"""


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links to notebooks lead to their pages."""

    def lead(match: re.Match[str]) -> str:
        target = match[2]
        if target.endswith(".ipynb"):
            target = target.removesuffix("ipynb") + "md"
        elif target == "notebooks":
            target = "notebooks/1-saliency.md"
        return match[1] + target

    return _LINK.sub(lead, markdown)


def _is_ours(file: File) -> bool:
    return file.abs_src_path is not None and Path(file.abs_src_path).is_relative_to(ROOT / "docs")


def _file(config: MkDocsConfig, path: Path) -> File:
    uri = path.relative_to(ROOT).as_posix()
    return File.generated(config, uri, abs_src_path=str(path))


@cache
def _pages() -> tuple[Path, ...]:
    paths = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return tuple(sorted(paths))


def _linked_files(page: Path) -> Iterator[Path]:
    """Files of the repository that a page shows or links to, pages aside."""
    for _, target in _LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        if path.suffix in BESIDE and path.is_file() and path.is_relative_to(ROOT):
            yield path


def notebook_markdown(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as a page: its text, code and what that printed; and its pictures by name."""
    parts, pictures = [], dict[str, bytes]()
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![What this draws]({name})")
                continue
            text = "".join(output.get("text", data.get("text/plain", [])))
            if text.strip():
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


# The reference of recipes.


def recipe_reference() -> str:
    """A page of every key of every recipe, from the schemas that read them."""
    reference = _Reference()
    parts = [_RECIPES]
    for name, source in SOURCES.items():
        parts.append(f'## Pretraining: `kind = "{name}"`')
        parts += reference.sections(source.Recipe, "", name)
    parts.append("## Fine-tuning")
    parts += reference.sections(FinetuneRecipe, "", "finetune")
    return "\n\n".join(parts) + "\n"


_RECIPES = """# Recipe keys

Generated from the schemas that read a recipe. One TOML file is one run, whole; it states only what
differs from these defaults, and a key that is not here is an error that lists the possible ones.
Paths are relative to the recipe. On the command line `--set KEY=VALUE` overrides one key, such as
`--set model.depth=12`. `orchid-genomics init` writes a first recipe, and `plan` says what one
takes.

The three kinds of pretraining and fine-tuning share blocks: each is described once, and linked."""


class _Reference:
    """Sections of a page, each block once."""

    def __init__(self) -> None:
        self.anchors: dict[tuple[str, type[BaseModel]], str] = {}

    def sections(self, model: type[BaseModel], path: str, run: str) -> Iterator[str]:
        """What a block is, a table of its keys, then the blocks in it that are new here."""
        rows: list[tuple[str, ...]] = []
        new: list[tuple[str, bool, type[BaseModel], bool]] = []
        for key, field in model.model_fields.items():
            where = f"{path}.{key}" if path else key
            below = list(_models(field.annotation))
            many = "tuple" in str(field.annotation)
            for each in below:
                if (where, each) not in self.anchors:
                    self.anchors[where, each] = f"key-{run}-{where}-{len(self.anchors)}"
                    new.append((where, many, each, len(below) > 1))
            value = _type(field)
            if below:
                title = f"[[{where}]]" if many else f"[{where}]"
                value = f"block [`{title}`](#{self.anchors[where, below[0]]})"
            meaning = describe(model, key).replace("|", "\\|")
            rows.append((f"`{key}`", value, _default(field), meaning))
        yield _summary(model)
        table = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
        yield "\n".join([*table, *("| " + " | ".join(row) + " |" for row in rows)])
        for where, many, each, is_choice in new:
            title = f"[[{where}]]" if many else f"[{where}]"
            kind = each.model_fields.get("kind")
            words = f' with `kind = "{kind.default}"`' if is_choice and kind else ""
            yield f"### `{title}`{words} {{ #{self.anchors[where, each]} }}"
            yield from self.sections(each, where, run)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The blocks that a value may be: all registered kinds of a family."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if issubclass(annotation, Choice) and "choices" in vars(annotation):
            yield from (entry.Recipe for entry in annotation.choices.values())
        else:
            yield annotation
        return
    for part in typing.get_args(annotation):
        yield from _models(part)


def _type(field: FieldInfo) -> str:
    bounds = []
    for each in field.metadata:
        for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
            if getattr(each, name, None) is not None:
                bounds.append(f"{sign} {getattr(each, name)}")
        if getattr(each, "multiple_of", None):
            bounds.append(f"a multiple of {each.multiple_of}")
        if getattr(each, "min_length", None):
            bounds.append(f"at least {each.min_length}")
        if getattr(each, "max_length", None):
            bounds.append(f"at most {each.max_length}")
    return ", ".join([_word(field.annotation), *bounds])


_WORDS = {int: "integer", float: "number", str: "text", bool: "true or false", Path: "path"}


def _word(annotation: Any) -> str:
    """A type as a person writes it in TOML."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f'`"{each}"`' for each in arguments)
    if origin is typing.Annotated:
        return _word(arguments[0])
    if origin is tuple:
        kinds = [each for each in arguments if each is not Ellipsis]
        return f"list of {_word(kinds[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_word(each) for each in arguments if each is not type(None))
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        kind = getattr(value, "kind", None)
        return f'`kind = "{kind}"`' if kind else "its defaults"
    if value is None:
        return "not given"
    return f"`{json.dumps(value, default=str)}`"


def describe(model: type[BaseModel], key: str) -> str:
    """What a schema says of a key, in the string below it, there or in a class that it is made
    from.
    """
    for each in model.__mro__:
        if key in vars(each).get("__annotations__", {}):
            text = attribute_docs(each).get(key)
            if text:
                return " ".join(text.split())
    return "Which kind this is." if key == "kind" else ""


@cache
def attribute_docs(model: type) -> dict[str, str]:
    """The string that stands below each attribute of a class."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = tree.body[0].body  # type: ignore[attr-defined]  # a class
    docs = {}
    for node, below in pairwise(body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[node.target.id] = str(below.value.value)
    return docs


def _summary(model: type) -> str:
    return inspect.cleandoc(model.__doc__ or "")


# The reference of commands.


def command_reference() -> str:
    """A page of every command, from click."""
    # With its settings: click keeps the help option of the first context for good.
    context = click.Context(group, info_name="orchid-genomics", **group.context_settings)
    parts = ["# Commands", "Generated from the commands themselves; `--help` says the same."]
    for name in group.list_commands(context):
        command = group.commands[name]
        inner = click.Context(command, info_name=name, parent=context)
        usage = command.get_usage(inner).removeprefix("Usage: ")
        parts += [f"## {name}", f"```text\n{usage}\n```"]
        parts += list(_paragraphs(command.help or ""))
        rows = [row for each in command.get_params(inner) if (row := _option_row(each, inner))]
        if rows:
            table = ["| option | default | meaning |", "| --- | --- | --- |", *rows]
            parts.append("\n".join(table))
        parts += list(_paragraphs(command.epilog or ""))
    return "\n\n".join(parts) + "\n"


def _paragraphs(help: str) -> Iterator[str]:
    r"""Paragraphs of a help text; what click keeps as it is (after \b) stays so here."""
    for paragraph in inspect.cleandoc(help).split("\n\n"):
        if paragraph.startswith("\b"):
            body = paragraph.removeprefix("\b").strip("\n")
            yield f"```text\n{body}\n```"
        elif paragraph.strip():
            yield re.sub(r"([<*])", r"\\\1", paragraph)


def _option_row(parameter: click.Parameter, context: click.Context) -> str:
    if not isinstance(parameter, click.Option):
        return ""
    record = parameter.get_help_record(context)
    if record is None:
        return ""
    flags = record[0].replace("|", "\\|")
    default = "" if parameter.is_flag or not parameter.show_default else f"`{parameter.default}`"
    needed = "**required**" if parameter.required else default
    meaning = (parameter.help or "").replace("|", "\\|").replace("*", "\\*")
    return f"| `{flags}` | {needed} | {meaning} |"


# The reference of Python.


def python_reference() -> str:
    """A page of everything that `import orchid_genomics` has, for mkdocstrings to fill."""
    import orchid_genomics as og

    homes = og._HOMES | {"explain": "tasks.explain"}
    parts = ["# Python", _PYTHON]
    for name in sorted(homes, key=str.lower):
        own = ("show_root_heading: true", "show_root_full_path: false", "heading_level: 2")
        options = "\n".join(["    options:", *(f"      {line}" for line in own)])
        parts.append(f"::: orchid_genomics.{homes[name]}.{name}\n{options}")
    return "\n\n".join(parts) + "\n"


_PYTHON = """`import orchid_genomics as og` takes a moment; each name is imported when it is first
used. Coordinates are 0-based half-open. [From Python](../docs/python.md) shows them at work."""
