"""Options that several commands have, and how their texts are read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from clear_ir.data.files import InputError

Model = Annotated[str, typer.Option(help="Model folder, hub name, or 'minilm'.")]
ModelOrRecipes = Annotated[
    str | None, typer.Option(help="Model folder, hub name, or 'minilm'. The recipe's where it is left out.")
]
Split = Annotated[str | None, typer.Option(help="Which qrels; test where it is there, else the only one.")]
Recipe = Annotated[str | None, typer.Option(help="YAML file, or a recipe that ships: see clear-ir recipe list.")]
Map = Annotated[list[str] | None, typer.Option("--map", help="OURS=THEIRS: a column under another name.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting, written as in a recipe. Repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, unrounded, and nothing else.")]
Remote = Annotated[bool, typer.Option("--trust-remote-code", help="Run Python code that a model brings along.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier output of the same command.")]


def parse_mapping(pairs: Iterable[str] | None) -> dict[str, str]:
    """Our column names to the user's, from ``--map`` flags."""
    return parse_pairs("--map", pairs)


def parse_pairs(flag: str, pairs: Iterable[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` flags as a dictionary; others are refused."""
    values = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise InputError(f"{flag} {pair!r} is not of the form NAME=VALUE.")
        values[name] = value
    return values


def parse_langs(text: str) -> list[str]:
    """Language codes between commas or spaces, each once."""
    langs = list(dict.fromkeys(text.replace(",", " ").split()))
    if not langs:
        raise InputError("No language is named; give codes separated by commas.")
    return langs


def only_split(data: Path) -> str:
    """The split of a collection when none is named: test if it is there, else the only one."""
    splits = sorted({path.name.partition(".tsv")[0] for path in (data / "qrels").glob("*.tsv*")})
    if "test" in splits or not splits:
        return "test"
    if len(splits) > 1:
        raise InputError(f"{data}/qrels has the splits {', '.join(splits)}; choose one.", "split")
    return splits[0]


def model_name(flag: str | None, from_recipe: str | None) -> str:
    """The model that a flag names, else the recipe's."""
    name = flag or from_recipe
    if not name:
        raise InputError("No model is named; give one, or a recipe that names one (small uses minilm).", "model")
    return name
