"""`clear-ir compare`: which differences from a base are real."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clear_ir.cli.next_command import after_compare
from clear_ir.cli.output import print_json, print_result
from clear_ir.cli.shared_options import AsJson


def compare(
    base: Annotated[Path, typer.Argument(help="Results folder of the base.")],
    others: Annotated[list[Path], typer.Argument(help="Results folders of the models to compare with the base.")],
    as_json: AsJson = False,
) -> None:
    """Compare models with a base: differences, confidence intervals, corrected p-values."""
    from clear_ir.compare.comparison import compare_models
    from clear_ir.evaluate.results import read_results
    from clear_ir.report.json_documents import comparison_document
    from clear_ir.report.tables import comparison_table, differences_table, mixed_table, summary_table

    comparison = compare_models(read_results(base), [read_results(other) for other in others])
    if as_json:
        print_json(comparison_document(comparison))
        return
    models = comparison.base, comparison.others
    typer.echo(comparison_table(*models, comparison.directions).markdown())
    typer.echo(differences_table(comparison.directions, *models).markdown())
    if comparison.base.mixed:
        typer.echo(mixed_table([comparison.base, *comparison.others], comparison.mixed).markdown())
    if (
        summaries := summary_table(*models, comparison.summaries)
    ).rows:  # of one direction that is not English there are none
        typer.echo(summaries.markdown())
    for results in comparison.models:
        if how := results.origin.get("made_by"):
            typer.echo(f"{results.model}: {how}.")
    for warning in comparison.base.few_questions:
        typer.echo(warning)
    print_result("nDCG@10 x 100.", after_compare([base, *others], comparison.base.origin))
