"""What commands print: what was made, and summaries."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import typer


def some_of(items: Iterable[str], most: int = 3) -> str:
    """The first few of many, and how many more."""
    shown = list(items)
    return "; ".join(shown[:most]) + (f"; and {len(shown) - most} more" if len(shown) > most else "")


def print_made(what: str, following: str | None = None) -> None:
    """Say what was made, where, and the next command."""
    typer.echo(what)
    if following:
        typer.echo(f"Next: {following}")


def print_summary(summary: dict[str, Any], indent: str = "") -> None:
    """Print nested names and values, one a line."""
    for name, value in summary.items():
        if isinstance(value, dict):
            typer.echo(f"{indent}{name}:")
            print_summary(value, indent + "  ")
        else:
            typer.echo(f"{indent}{name}: {value}")


def print_json(document: Any) -> None:
    """Print a document for other programs."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
