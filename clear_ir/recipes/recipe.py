"""Recipes: YAML in, the validated settings of each stage out. An unknown key is an error."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clear_ir.align.settings import AlignSettings
from clear_ir.data.files import InputError, parse_yaml, reason_of
from clear_ir.data.settings import Settings
from clear_ir.data.validation import setting_error
from clear_ir.encode.settings import EncodingSettings
from clear_ir.merge.settings import MergeSettings
from clear_ir.mine.settings import MiningSettings
from clear_ir.train.settings import TrainingSettings
from clear_ir.translate.settings import EndpointSettings, QuerySettings, TranslationSettings

SHIPPED = Path(__file__).resolve().parent


class Recipe(BaseModel):
    """The settings of the stages.

    Attributes:
        model: The encoder to start from. None: the recipe names none.
        encode: Settings of every command that encodes.
        translate: Settings of `clear-ir translate`.
        queries: Settings of `clear-ir queries`.
        endpoint: Settings of chat endpoints, which translate and write questions.
        mine: Settings of `clear-ir mine`.
        train: Settings of `clear-ir train`.
        align: Settings of `clear-ir align`.
        merge: Settings of `clear-ir merge`.
    """

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    encode: EncodingSettings = Field(default_factory=EncodingSettings)
    translate: TranslationSettings = Field(default_factory=TranslationSettings)
    queries: QuerySettings = Field(default_factory=QuerySettings)
    endpoint: EndpointSettings = Field(default_factory=EndpointSettings)
    mine: MiningSettings = Field(default_factory=MiningSettings)
    train: TrainingSettings = Field(default_factory=TrainingSettings)
    align: AlignSettings = Field(default_factory=AlignSettings)
    merge: MergeSettings = Field(default_factory=MergeSettings)


#: The settings of each stage that a recipe may hold.
STAGES: dict[str, type[Settings]] = {
    name: field.annotation
    for name, field in Recipe.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
}


def load_recipe(name: str | None, flags: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """Load a recipe and replace the settings that flags of the command line give.

    Args:
        name: A YAML file, or the name of a recipe that ships with the package. None: the defaults.
        flags: Settings by stage that replace those of the recipe: `{"train": {"epochs": 1}}`.

    Returns:
        The validated recipe.

    Raises:
        InputError: If there is no such recipe, it is not a YAML mapping, a key is unknown, or a value is wrong.
    """
    path = _path_of(name) if name else None
    document: Any = {}
    if path:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not valid YAML: {reason_of(error)}.") from None
        document = parse_yaml(text, str(path)) or {}
        if not isinstance(document, dict):
            raise InputError(f"{path} is not a mapping of stages; write for example 'train:' and settings below it.")
        # Validated once without the flags: a mistake in the file is then reported as the file's, not as the flags'.
        _validate(document, str(path))
    for stage, settings in (flags or {}).items():
        document[stage] = {**(document.get(stage) or {}), **settings}
    return _validate(document, f"{path} with the flags" if path else "", with_flags=True)


def shipped_recipes() -> dict[str, str]:
    """The recipes that ship with the package.

    Returns:
        By name, the first sentence of the comment at the top of the file.
    """
    described = {}
    for path in sorted(SHIPPED.glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = " ".join(line.lstrip("# ") for line in itertools.takewhile(lambda line: line.startswith("#"), lines))
        described[path.stem] = comment.split(". ")[0].rstrip(".") + "."
    return described


def _path_of(name: str) -> Path:
    for path in (Path(name), SHIPPED / f"{name}.yaml"):
        if path.is_file():
            return path
    raise InputError(f"There is no recipe {name!r}; give a YAML file or one of: {', '.join(shipped_recipes())}.")


def _validate(document: Mapping[str, Any], source: str, with_flags: bool = False) -> Recipe:
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f"{source}: " if source else ""
        if first["type"] == "extra_forbidden":
            known = f"{where}unknown key" if where else "Unknown key"
            raise InputError(f"{known} {key!r}{_suggestion(first['loc'])}.") from None
        if with_flags and len(first["loc"]) > 1:  # a single value, which only a flag can have made wrong
            raise setting_error(Recipe, {**first, "loc": first["loc"][:2]}) from None
        message = first["msg"].removeprefix("Value error, ").removesuffix(".")
        if with_flags:
            raise InputError(f"{where}{message}.") from None
        message = message[0].lower() + message[1:]
        value = f"; the value is {first['input']!r}" if not isinstance(first["input"], dict) else ""
        raise InputError(f"{where}{key}: {message}{value}.") from None


def _suggestion(location: tuple[str | int, ...]) -> str:
    """The known key that is most similar to an unknown one, else all known keys."""
    stage = Recipe.model_fields[str(location[0])].annotation if len(location) > 1 else Recipe
    known = list(stage.model_fields) if stage else []
    similar = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {similar[0]!r}?" if similar else f"; choose among {', '.join(known)}"
