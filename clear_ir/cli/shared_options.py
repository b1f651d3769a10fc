"""Options that several commands share, and functions that parse their values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from clear_ir.data.files import InputError

Model = Annotated[str, typer.Option(help="Model folder, hub name, or 'minilm'.")]
ModelOrRecipe = Annotated[
    str | None, typer.Option(help="Model folder, hub name, or 'minilm'. Default: the model of the recipe.")
]
Data = Annotated[Path | None, typer.Option(help="Collection folder, with corpus.jsonl, queries.jsonl and qrels/.")]
Split = Annotated[
    str | None, typer.Option(help="Name of the file in qrels/. Default: test if it exists, else the only file.")
]
Recipe = Annotated[
    str | None, typer.Option(help="YAML file, or a recipe that ships with clear-ir: see clear-ir recipe list.")
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map", help="OURS=THEIRS: one of our columns and its name in the file, where the two differ. Repeat for more."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, written as in a recipe. Repeat for more settings."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON, with unrounded numbers.")]
Remote = Annotated[bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier output of the same command.")]


def parse_mapping(pairs: Iterable[str] | None) -> dict[str, str]:
    """The values of `--map` flags: by our column name, the user's."""
    return parse_pairs("--map", pairs)


def parse_pairs(flag: str, pairs: Iterable[str] | None) -> dict[str, str]:
    """The values of flags such as `NAME=VALUE`, by name.

    Raises:
        InputError: If a value has another form.
    """
    values = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise InputError(f"{flag} {pair!r} is not of the form NAME=VALUE; put one = between name and value.")
        values[name] = value
    return values


def parse_langs(text: str) -> list[str]:
    """Language codes between commas or spaces, each once."""
    langs = list(dict.fromkeys(text.replace(",", " ").split()))
    if not langs:
        raise InputError("No language is named; give codes separated by commas.")
    return langs


def default_split(data: Path) -> str:
    """The split to use if the user names none: test if it exists, else the only one.

    Raises:
        InputError: If there are several splits and none is named test.
    """
    splits = sorted({path.name.partition(".tsv")[0] for path in (data / "qrels").glob("*.tsv*")})
    if "test" in splits or not splits:
        return "test"
    if len(splits) > 1:
        raise InputError(f"{data}/qrels has the splits {', '.join(splits)}; choose one.", "split")
    return splits[0]


def model_name(flag: str | None, from_recipe: str | None) -> str:
    """The model that the flag names, else that of the recipe.

    Raises:
        InputError: If neither names a model.
    """
    name = flag or from_recipe
    if not name:
        raise InputError("No model is named; give one, or a recipe that names one (small uses minilm).", "model")
    return name


def column_names(models: Sequence[str], most: int | None = None) -> list[str]:
    """Short names of models for a table; whole paths where short ones are equal.

    Args:
        models: The models, as the user named them.
        most: How many can be shown beside each other; None for any number.

    Raises:
        InputError: If a model is named twice, or too many are named.
    """
    if most and len(models) > most:
        raise InputError(f"{len(models)} models are named; give one, or {most} to see them side by side.", "model")
    places = [Path(model).resolve() for model in models]
    if twice := next((model for model, place in zip(models, places, strict=True) if places.count(place) > 1), None):
        raise InputError(f"{twice} is named twice; name each model once.", "model")
    short = [place.name for place in places]
    return short if len(set(short)) == len(short) else list(models)
