"""Options that several commands have, and how their texts are read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from clear_ir.data.files import InputError

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier output of the same command.")]
Map = Annotated[list[str] | None, typer.Option("--map", help="OURS=THEIRS: a column under another name.")]


def parse_mapping(pairs: Iterable[str] | None) -> dict[str, str]:
    """Our column names to the user's, from ``--map`` flags."""
    return parse_pairs("--map", pairs)


def parse_pairs(flag: str, pairs: Iterable[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` flags as a dictionary; others are refused."""
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise InputError(f"{flag} {pair!r} is not of the form NAME=VALUE.")
        found[name] = value
    return found


def parse_langs(text: str) -> list[str]:
    """Language codes between commas or spaces, each once."""
    found = list(dict.fromkeys(text.replace(",", " ").split()))
    if not found:
        raise InputError("No language is named; give codes separated by commas.")
    return found


def only_split(data: Path) -> str:
    """The split of a collection when none is named: test if it is there, else the only one."""
    found = sorted(path.stem for path in (data / "qrels").glob("*.tsv"))
    if "test" in found or not found:
        return "test"
    if len(found) > 1:
        raise InputError(f"{data}/qrels has the splits {', '.join(found)}; choose one with --split.")
    return found[0]
