"""A TOML file becomes one frozen, strict model; paths in it are relative to the file that names
them.
"""

import json
import reprlib
import tomllib
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.files import is_regular
from orchid_genomics.registry import Registry


class Strict(BaseModel):
    """The base of every schema: frozen, no unknown keys, no silent conversions between kinds of
    value.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class Choice(Strict):
    """The base of blocks of which a recipe holds one of several kinds, each with keys of its own.

    A family is a class with `choices`, a registry whose entries name their block as ``Recipe``;
    its kinds inherit from it and set `kind`. A field of the family's type takes any registered
    kind, also one that another package registers after this class was made::

        class HeadRecipe(Choice):
            choices = HEADS

        class LettersRecipe(HeadRecipe):
            kind: Literal["letters"] = "letters"

        @HEADS.register("letters")
        class Letters(nn.Module):
            Recipe = LettersRecipe
    """

    choices: ClassVar[Registry[Any]]
    kind: str

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        if "choices" not in vars(cls):  # one kind: an ordinary model
            return handler(source)
        # As `SerializeAsAny`: written by what it is, not by what the family has in common.
        written = core_schema.wrap_serializer_function_ser_schema(
            lambda block, write: write(block), schema=core_schema.any_schema()
        )
        return core_schema.with_info_plain_validator_function(cls._dispatch, serialization=written)

    @classmethod
    def _dispatch(cls, value: Any, info: ValidationInfo) -> "Choice":
        """The block of the kind that a plain value names; errors are those of a tagged union."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, dict):
            raise PydanticKnownError("model_attributes_type")
        kind = value.get("kind")
        if kind is None:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'kind'"})
        if not isinstance(kind, str) or kind not in cls.choices:
            possible = ", ".join(repr(name) for name in cls.choices)
            names = {"discriminator": "'kind'", "tag": str(kind), "expected_tags": possible}
            raise PydanticKnownError("union_tag_invalid", names)
        adapter = _tag_union(kind, cls.choices[kind].Recipe)
        # What pydantic hands over was parsed already; as JSON, a list is a tuple again.
        if info.mode == "json":
            text = json.dumps(value)
            return adapter.validate_json(text, strict=True, context=info.context)
        return adapter.validate_python(value, context=info.context)


@lru_cache(maxsize=64)
def _tag_union(kind: str, recipe: type[Choice]) -> TypeAdapter[Choice]:
    """A tagged union of one kind, so that faults are told with the same path as in any other."""

    class Tag:
        def __get_pydantic_core_schema__(
            self, source: Any, handler: GetCoreSchemaHandler
        ) -> core_schema.CoreSchema:
            kinds: dict[Hashable, core_schema.CoreSchema] = {kind: handler.generate_schema(recipe)}
            return core_schema.tagged_union_schema(kinds, "kind")

    tagged: Any = Annotated[recipe, Tag()]
    return TypeAdapter(tagged)


def one_of(registry: Registry[Any]) -> AfterValidator:
    """A word that a registry knows; else the error of a `Literal` of its names."""

    def check(name: str) -> str:
        if name not in registry:
            *others, last = (repr(choice) for choice in registry)
            expected = f"{', '.join(others)} or {last}" if others else last
            raise PydanticKnownError("literal_error", {"expected": expected})
        return name

    return AfterValidator(check)


def _resolve(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    if folder is not None and not path.is_absolute():
        path = (folder / path).resolve()
    # A run is resumed and compared with what it read: a pipe would be empty then, or hang.
    if path.exists() and not (is_regular(path) or path.is_dir()):
        message = "is a pipe or device; a file, which can be read again"
        raise PydanticCustomError("pipe", message)
    return path


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
        # Editors of Windows put a byte order mark before UTF-8, which TOML does not allow.
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text) if form == "JSON" else tomllib.loads(text)
    except OSError as error:
        raise InputError(
            path, f"cannot be read ({error.strerror})", "the path of a recipe (.toml)"
        ) from None
    # Brackets nested without end exhaust the stack, which is no ValueError.
    except (ValueError, RecursionError) as error:
        raise RecipeError(path, f"is no {form}: {error}") from None
    # JSON may hold something else than an object; `validate` is the one to say so.
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
            # TOML has dates and callers hand over paths: JSON knows neither, hence `default`.
            json.dumps(values, default=str),
            strict=True,
            context={"folder": folder},
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
        raise RecipeError("overrides", f"{override!r} is not KEY=VALUE", "such as model.depth=12")
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    block: Any = values
    for part in parts[:-1]:
        block = _step(block, part, override)
    if parts[-1] == "kind" and isinstance(block, dict):
        # The other keys belong to the old kind, and the new one would refuse them.
        block.clear()
    if isinstance(block, list):
        block[_position(block, parts[-1], override)] = value
    else:
        block[parts[-1]] = value


def _step(block: Any, part: str, override: str) -> Any:
    if isinstance(block, list):
        inner = block[_position(block, part, override)]
    else:
        inner = block.setdefault(part, {})
    if not isinstance(inner, dict | list):
        raise RecipeError("overrides", f"{override!r}: {part!r} is a value, not a block")
    return inner


def _position(block: list, part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(block):
        raise RecipeError("overrides", f"{override!r}: no item {part!r}", f"0 to {len(block) - 1}")
    return int(part)


def _one_line(error: ValidationError, schema: type[BaseModel], where: str) -> RecipeError:
    every = error.errors(include_url=False)
    within = {fault["loc"][:size] for fault in every for size in range(len(fault["loc"]))}
    # A list is "too short" as well when one of its items is wrong: only the innermost count.
    faults = [fault for fault in every if fault["loc"] not in within]
    first, context = faults[0], faults[0].get("ctx", {})
    key = ".".join(str(part) for part in first["loc"]) or "recipe"
    shown = reprlib.repr(first["input"])  # a value may be as long as a file
    message, possible = first["msg"], ""
    if first["type"] == "extra_forbidden":
        message = "unknown key"
        possible = f"possible: {', '.join(_keys_at(schema, first['loc'][:-1]))}"
    elif first["type"] == "missing":
        message = "is missing"
    elif "expected" in context:
        message, possible = shown, f"possible: {context['expected']}"
    elif first["type"] == "union_tag_invalid":
        message = f"unknown kind {reprlib.repr(context['tag'])}"
        possible = f"possible: {context['expected_tags']}"
    elif first["type"] == "union_tag_not_found":
        message, possible = "has no kind", f"possible: {context['discriminator']}"
    elif not isinstance(first["input"], dict | list):
        message = f"{message} (found {shown})"
    if len(faults) > 1:
        message += f" (and {len(faults) - 1} more)"
    return RecipeError(where, f"{key}: {message}", possible)


def _keys_at(schema: Any, loc: tuple) -> list[str]:
    """The keys that the block at `loc` admits, through unions and lists."""
    models = _models(schema)
    for part in loc:
        if isinstance(part, int):
            continue
        inner: list[type[BaseModel]] = []
        of_kind: list[type[BaseModel]] = []
        for model in models:
            fields = model.model_fields
            if part in fields:
                inner += _models(fields[part].annotation)
            if "kind" in fields and fields["kind"].default == part:
                # A tagged union puts the kind into the path of a fault, as a step of its own.
                of_kind.append(model)
        models = inner or of_kind or models
    return sorted({key for model in models for key in model.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if "choices" in vars(annotation):  # a family: whatever is registered now
            return [entry.Recipe for entry in vars(annotation)["choices"].values()]
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
