"""`clear-ir rank`: which encoder to start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clear_ir.cli.output import counted, print_json
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import AsJson, Recipe, Remote, Split, column_names, default_split
from clear_ir.data.files import InputError
from clear_ir.encode.settings import EncodingSettings

if TYPE_CHECKING:
    from clear_ir.compare.starting_points import StartingPoint
    from clear_ir.data.collection import Collection
    from clear_ir.data.directions import Direction
    from clear_ir.report.tables import Table


@takes(encode=EncodingSettings)
def rank(
    models: Annotated[list[str], typer.Argument(help="Encoders: model folders, hub names, or 'minilm'.")],
    data: Annotated[Path, typer.Option(help="Collection folder, with corpus.jsonl, queries.jsonl and qrels/.")],
    flags: Flags,
    pair: Annotated[
        str | None,
        typer.Option(
            help="Languages of queries and passages, such as de-en, to rank by. Default: the mean of all pairs that "
            "cross languages."
        ),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(help="Parallel rows or training rows, to show what alignment without training would add."),
    ] = None,
    split: Split = None,
    recipe: Recipe = None,
    as_json: AsJson = False,
    trust_remote_code: Remote = False,
) -> None:
    """Rank encoders by how well they find passages across languages before any training."""
    from clear_ir.compare.starting_points import directions_of_pair, measure_starting_point
    from clear_ir.data.collection_files import read_collection
    from clear_ir.data.training_rows import read_training_rows
    from clear_ir.encode.model_loading import load_encoder
    from clear_ir.encode.text_encoder import TextEncoder
    from clear_ir.recipes.recipe import load_recipe

    names = column_names(models)
    encoding = load_recipe(recipe, flags).encode
    collection = read_collection(data, split or default_split(data))
    wanted = directions_of_pair(collection, pair)
    fitting_rows = read_training_rows(rows) if rows else None
    points: list[StartingPoint] = []
    failures: dict[str, str] = {}
    for model, name in zip(models, names, strict=True):
        try:
            encoder = TextEncoder.from_settings(load_encoder(model, trust_remote_code), encoding)
            points.append(measure_starting_point(name, encoder, collection, wanted, fitting_rows))
        except InputError as error:  # the others are measured all the same
            failures[name] = str(error)
    points.sort(key=lambda point: -point.score)
    if as_json and points:
        directions = [str(direction) for direction in wanted]
        print_json({"directions": directions, "models": [asdict(point) for point in points], "failed": failures})
    elif points:
        _print_ranking(points, collection, wanted)
    if failures:
        first = next(iter(failures.values()))
        others = f" {counted(len(failures) - 1, 'other model')} failed, too." if len(failures) > 1 else ""
        ranked = f" The others are ranked: {counted(len(points), 'model')}." if points else ""
        raise InputError(f"{first}{others}{ranked}")


def _print_ranking(points: Sequence[StartingPoint], collection: Collection, wanted: Sequence[Direction]) -> None:
    """Print the table, and what is needed to read it."""
    from clear_ir.compare.starting_points import NO_ROWS
    from clear_ir.evaluate.results import MANY_QUESTIONS

    typer.echo(_table(points).markdown())
    what = str(wanted[0]) if len(wanted) == 1 else f"the mean of {len(wanted)} directions across languages"
    queries = {query for direction in wanted for query in collection.judged_queries(direction)}
    asked = len({collection.queries[query].parallel_id or query for query in queries})
    few = f" Few questions: {MANY_QUESTIONS} and more are better." if asked < MANY_QUESTIONS else ""
    typer.echo(f"nDCG@10 x 100 of {what} with its 95 % interval, on {counted(asked, 'question')}.{few}")
    if any(point.own_first is not None for point in points):
        typer.echo(
            "own first: % of the queries that find their passage in their own language before its translation. Far "
            "from 50 is a bias for or against their language."
        )
    for point in points:
        if point.aligned is None and point.alignment != NO_ROWS:
            typer.echo(f"{point.model} was not aligned: {point.alignment}")
    if any(point.aligned is not None for point in points):
        typer.echo(
            "+ align: points that clear-ir align gains or loses without training, and its method. base: no map is "
            "better."
        )
    elif points[0].alignment == NO_ROWS:
        typer.echo("With --rows ROWS the table also shows what alignment without training would add.")
    typer.echo("texts/s: passages a second on this machine. Where intervals overlap, the order may be chance.")


def _table(points: Sequence[StartingPoint]) -> Table:
    from clear_ir.report.tables import Table

    with_alignment = any(point.aligned is not None for point in points)
    rows = []
    for point in points:
        row = [point.model, _share(point.score), f"{_share(point.low)} to {_share(point.high)}"]
        row += [_share(point.english), _share(point.own_first)]
        if with_alignment:
            gain = "" if point.aligned is None else f"{100 * (point.aligned - point.score):+.1f} {point.alignment}"
            row.append(gain)
        size = f"{point.parameters / 1e6:.1f} M" if point.parameters >= 1e5 else str(point.parameters)
        row += [size, str(point.dimensions), str(point.max_length or ""), f"{point.texts_per_second:.3g}"]
        rows.append(row)
    head = ["model", "nDCG@10", "95 % interval", "English", "own first", *(["+ align"] if with_alignment else [])]
    return Table([*head, "parameters", "dimensions", "max length", "texts/s"], rows)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
