"""`clear-ir report`: results as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clear_ir.cli.next_command import after_report
from clear_ir.cli.output import print_result
from clear_ir.cli.shared_options import Overwrite


def report(
    base: Annotated[Path, typer.Argument(help="Results folder of the base.")],
    others: Annotated[list[Path] | None, typer.Argument(help="Results folders of other models.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The collection that was evaluated, to show the texts of the queries that changed most."),
    ] = None,
    translations: Annotated[
        Path | None,
        typer.Option(help="Rows that clear-ir translate made, to show some of them beside their English queries."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Report folder to make.")] = Path("report"),
    overwrite: Overwrite = False,
) -> None:
    """Write results as one HTML page, and their tables as Markdown."""
    from clear_ir.data.collection_files import read_collection
    from clear_ir.data.rows import read_parallel_rows
    from clear_ir.evaluate.results import read_results, read_train_log
    from clear_ir.report.page import REPORT_FILE, render_report

    folders = [base, *(others or [])]
    first, *rest = map(read_results, folders)
    logs = {result.model: read_train_log(folder) for result, folder in zip([first, *rest], folders, strict=True)}
    collection = read_collection(data, first.split) if data else None
    translated = read_parallel_rows(translations)[0] if translations else []
    logs = {model: log for model, log in logs.items() if log}
    render_report(out, first, rest, logs, overwrite, collection, translated)
    if rest and not collection:
        typer.echo("With --data COLLECTION the report shows the queries that gained and lost most.")
    next_command = after_report(first.origin, [result.origin for result in rest], data)
    print_result(f"Report: {out / REPORT_FILE} and {out / 'report.md'}", next_command)
