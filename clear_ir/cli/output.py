"""Functions that print the results of commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import typer


def join_first(items: Iterable[str], most: int = 3) -> str:
    """The first items as one text, and the number of the others: `a; b; c; and 2 more`."""
    texts = list(items)
    return "; ".join(texts[:most]) + (f"; and {len(texts) - most} more" if len(texts) > most else "")


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: `1 row`, `2 rows`, `2 batches`."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def print_result(result: str, next_command: str | None = None) -> None:
    """Print what a command made and where, and the command to run next."""
    typer.echo(result)
    if next_command:
        typer.echo(f"Next: {next_command}")


def print_summary(summary: dict[str, Any], indent: str = "") -> None:
    """Print nested names and values, one per line."""
    for name, value in summary.items():
        if isinstance(value, dict):
            typer.echo(f"{indent}{name}:")
            print_summary(value, indent + "  ")
        else:
            typer.echo(f"{indent}{name}: {value}")


def print_json(document: Any) -> None:
    """Print a document as JSON, for other programs."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    # json escapes the control characters below 32. A terminal obeys these, too.
    typer.echo(re.sub(r"[\x7f-\x9f]", lambda control: f"\\u{ord(control[0]):04x}", text))
