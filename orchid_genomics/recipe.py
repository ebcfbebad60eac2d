"""A TOML file becomes one frozen, strict model; paths in it are relative to the file that names
them.
"""

import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo

from orchid_genomics.errors import InputError, RecipeError


class Strict(BaseModel):
    """The base of every schema: frozen, no unknown keys, no silent conversions between kinds of
    value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _resolve(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None or path.is_absolute() else (folder / path).resolve()


RecipePath = Annotated[Path, AfterValidator(_resolve)]
"""A path written in a recipe: relative to the recipe, absolute once loaded."""

Schema = TypeVar("Schema", bound=BaseModel)


def load(
    path: str | Path,
    schema: type[Schema] | Callable[[Any, str], type[Schema]],
    overrides: Sequence[str] = (),
) -> Schema:
    """Read a recipe (`.toml`, or the `recipe.json` of a run) with ``KEY=VALUE`` overrides.

    `schema` may be a function of the plain values and the file's name that gives the schema. Raises
    InputError for a file that cannot be read, RecipeError for one wrong key, type or kind.
    """
    path = Path(path)
    form = "JSON" if path.suffix == ".json" else "TOML"
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if form == "JSON" else tomllib.loads(text)
    except OSError as error:
        raise InputError(
            path, f"cannot be read ({error.strerror})", "the path of a recipe (.toml)"
        ) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise RecipeError(path, f"is no {form}: {error}") from None
    for override in overrides if isinstance(values, dict) else ():
        _set(values, override)
    chosen = schema if isinstance(schema, type) else schema(values, str(path))
    return validate(chosen, values, where=str(path), folder=path.resolve().parent)


def validate(
    schema: type[Schema], values: dict[str, Any], where: str, folder: Path | None = None
) -> Schema:
    """Check plain values against a schema; the first fault becomes one line with its path.

    As JSON, where strict means what it should: "12" is no number and 12 no text, but a list is a
    tuple and text a path.
    """
    try:
        return schema.model_validate_json(
            json.dumps(values, default=str), strict=True, context={"folder": folder}
        )
    except ValidationError as error:
        raise _one_line(error, schema, where) from None


def _set(values: dict[str, Any], override: str) -> None:
    """Apply one ``a.b=VALUE``; VALUE is TOML, or a bare word for a string; a `.kind` replaces its
    block.
    """
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError("--set", f"{override!r} is not KEY=VALUE", "such as --set model.depth=12")
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    block: Any = values
    for part in parts[:-1]:
        block = _step(block, part, override)
    if parts[-1] == "kind" and isinstance(block, dict):
        block.clear()
    if isinstance(block, list):
        block[_position(block, parts[-1], override)] = value
    else:
        block[parts[-1]] = value


def _step(block: Any, part: str, override: str) -> Any:
    inner = (
        block[_position(block, part, override)]
        if isinstance(block, list)
        else block.setdefault(part, {})
    )
    if not isinstance(inner, dict | list):
        raise RecipeError("--set", f"{override!r}: {part!r} is a value, not a block")
    return inner


def _position(block: list, part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(block):
        raise RecipeError("--set", f"{override!r}: no item {part!r}", f"0 to {len(block) - 1}")
    return int(part)


def _one_line(error: ValidationError, schema: type[BaseModel], where: str) -> RecipeError:
    found = error.errors(include_url=False)
    within = {fault["loc"][:size] for fault in found for size in range(len(fault["loc"]))}
    faults = [
        fault for fault in found if fault["loc"] not in within
    ]  # a list is "too short" when an item is wrong
    first = faults[0]
    place = ".".join(str(part) for part in first["loc"]) or "recipe"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    found, possible = first["msg"], ""
    if first["type"] == "extra_forbidden":
        found, possible = (
            "unknown key",
            "possible: " + ", ".join(_keys_at(schema, first["loc"][:-1])),
        )
    elif first["type"] == "missing":
        found = "is missing"
    elif "expected" in first.get("ctx", {}):
        found, possible = f"{first['input']!r}", f"possible: {first['ctx']['expected']}"
    elif first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        context = first["ctx"]
        found = f"unknown kind {context['tag']!r}" if "tag" in context else "has no kind"
        possible = "possible: " + context.get("expected_tags", context.get("discriminator", "kind"))
    elif not isinstance(first["input"], dict | list):
        found = f"{found} (found {first['input']!r})"
    return RecipeError(where, f"{place}: {found}{more}", possible)


def _keys_at(schema: Any, loc: tuple) -> list[str]:
    """The keys that the block at `loc` admits, through unions and lists."""
    models = _models(schema)
    for part in loc:
        if isinstance(part, int):
            continue
        inner = [
            m
            for model in models
            if part in model.model_fields
            for m in _models(model.model_fields[part].annotation)
        ]
        tagged = [
            m for m in models if "kind" in m.model_fields and m.model_fields["kind"].default == part
        ]
        models = inner or tagged or models
    return sorted({key for model in models for key in model.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
