"""`clear-ir datasets`: the data sets that `clear-ir prepare` offers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from clear_ir.prepare.registry import DataSet


def datasets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the options of each data set.")] = False,
) -> None:
    """The data sets that prepare offers: what they hold, where they come from, their licences."""
    from clear_ir.prepare.registry import data_sets

    if as_json:
        typer.echo(json.dumps([data_set_as_json(each) for each in data_sets().values()], indent=2))
        return
    typer.echo(data_sets_table())
    typer.echo("Next: clear-ir prepare NAME --help")


def data_sets_table() -> str:
    """The table of data sets in Markdown. The command prints it, and docs/data.md has it."""
    from clear_ir.prepare.registry import data_sets
    from clear_ir.report.tables import Table

    rows = [_cells(data_set) | {"rows": "yes" if data_set.rows else ""} for data_set in data_sets().values()]
    return Table(list(rows[0]), [list(row.values()) for row in rows], num_names=len(rows[0])).markdown()


def data_set_as_json(data_set: DataSet) -> dict[str, Any]:
    """What the table shows of a data set, its title and example, and each option with its help and default."""
    return {
        **_cells(data_set),
        "title": data_set.title,
        "example": f"clear-ir prepare {data_set.name} {data_set.example}",
        "options": [
            {"name": name, "help": field.description, "required": field.is_required()}
            | ({} if field.is_required() else {"default": field.default})
            for name, field in data_set.options.model_fields.items()
        ],
    }


def _cells(data_set: DataSet) -> dict[str, Any]:
    return {
        "name": data_set.name,
        "what": data_set.what,
        "rows": data_set.rows,
        "directions": data_set.directions,
        "licence": data_set.licence,
        "from": data_set.source,
    }
