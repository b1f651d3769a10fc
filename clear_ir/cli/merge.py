"""`clear-ir merge`: an adapted encoder and its base in, a merged encoder out that keeps English."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clear_ir.cli.next_command import after_merge
from clear_ir.cli.output import print_json, print_result
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import AsJson, Overwrite, Recipe, Remote, Split, default_split
from clear_ir.data.files import InputError
from clear_ir.encode.settings import EncodingSettings
from clear_ir.merge.settings import MergeSettings

if TYPE_CHECKING:
    from clear_ir.merge.interpolation import MergePoint
    from clear_ir.report.tables import Table


@takes(merge=MergeSettings, encode=EncodingSettings)
def merge(
    base: Annotated[
        str, typer.Argument(help="The encoder before it was adapted: model folder, hub name, or 'minilm'.")
    ],
    model: Annotated[str, typer.Argument(help="The adapted encoder: model folder or hub name.")],
    out: Annotated[Path, typer.Option(help="Model folder to make.")],
    flags: Flags,
    data: Annotated[
        Path | None,
        typer.Option(help="Collection on which the best weight is chosen: a dev split, not the test split."),
    ] = None,
    split: Split = None,
    recipe: Recipe = None,
    as_json: AsJson = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Interpolate between an adapted encoder and its base, to win back English."""
    from clear_ir.data.collection_files import read_collection
    from clear_ir.data.output_files import hold_output
    from clear_ir.encode.mixed_weights import merge_encoders
    from clear_ir.encode.model_loading import load_encoder, refuse_exported
    from clear_ir.encode.text_encoder import TextEncoder
    from clear_ir.merge.interpolation import MERGE_FILE, best_point, sweep_weights, write_merged
    from clear_ir.recipes.recipe import load_recipe

    chosen = load_recipe(recipe, flags)
    weights, limit = chosen.merge.shares, chosen.merge.max_english_loss
    if len(weights) > 1 and data is None:
        raise InputError(
            f"--weights {chosen.merge.weights} names {len(weights)} weights; give --data COLLECTION to choose by, or a "
            "single weight."
        )
    for name in (base, model):
        refuse_exported(name)
    with hold_output(out, MERGE_FILE, overwrite):
        collection = read_collection(data, split or default_split(data)) if data else None
        base_encoder, adapted = load_encoder(base, trust_remote_code), load_encoder(model, trust_remote_code)
        record: dict[str, Any] = {"base": base, "model": model}
        points: list[MergePoint] = []
        best = weights[0]
        if collection and len(weights) > 1:
            encoder = TextEncoder.from_settings(base_encoder, chosen.encode)
            points = sweep_weights(encoder, adapted, sorted({0.0, *weights}), collection)
            best = best_point(points, limit).weight
            record |= {"data": collection.name, "data_hash": collection.data_hash, "max_english_loss": limit}
        write_merged(out, merge_encoders(base_encoder, adapted, best), best, points, record, overwrite)
    if as_json:
        print_json({"weight": best, "points": [asdict(point) for point in points], "out": str(out)})
        return
    if points:
        typer.echo(_table(points, best).markdown())
        lost = f"at most {limit:g} points in English and in the mean within languages"
        typer.echo(f"* the best mean across languages among the weights that lose {lost}.")
    result = f"Model, merge.json and merge.svg: {out}" if points else f"Model merged with weight {best:g}: {out}"
    print_result(result, after_merge(out, data, {"recipe": recipe, "trust_remote_code": trust_remote_code}))


def _table(points: list[MergePoint], best: float) -> Table:
    """The scores at each weight."""
    from clear_ir.data.directions import ENGLISH_DIRECTION
    from clear_ir.report.tables import Table

    rows = [
        [f"{p.weight:g}{' *' if p.weight == best else ''}", f"{100 * p.english:.1f}", f"{100 * p.cross_lingual:.1f}"]
        for p in points
    ]
    return Table(["weight", ENGLISH_DIRECTION, "mean across languages"], rows)
