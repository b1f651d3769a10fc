"""`clear-ir export`: a model in, the same model for ONNX Runtime or OpenVINO out, with what that costs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clear_ir.cli.output import counted, print_json, print_result
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import AsJson, Overwrite, Recipe, Remote, Split, default_split
from clear_ir.encode.settings import EncodingSettings

if TYPE_CHECKING:
    from clear_ir.serve.export import Export


@takes(encode=EncodingSettings)
def export(
    model: Annotated[str, typer.Argument(help="Model folder, hub name, or 'minilm'.")],
    out: Annotated[Path, typer.Argument(help="Model folder to make.")],
    backend: Annotated[Literal["onnx", "openvino"], typer.Option(help="What will run the model.")],
    flags: Flags,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to 8 bits: smaller and faster; --data shows the loss.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Collection on which the model is measured before and after the export.")
    ] = None,
    split: Split = None,
    recipe: Recipe = None,
    as_json: AsJson = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Export a model to ONNX Runtime or OpenVINO, and measure what that costs."""
    from clear_ir.data.collection_files import read_collection
    from clear_ir.recipes.recipe import load_recipe
    from clear_ir.serve.export import EXPORT_FILE, export_model

    collection = read_collection(data, split or default_split(data)) if data else None
    cost = export_model(
        model,
        out,
        backend,
        load_recipe(recipe, flags).encode,
        int8=int8,
        collection=collection,
        overwrite=overwrite,
        trust_remote_code=trust_remote_code,
    )
    if as_json:
        print_json(asdict(cost) | {"out": str(out)})
        return
    _print_cost(cost)
    print_result(f"Model and {EXPORT_FILE}: {out}")


def _print_cost(cost: Export) -> None:
    from clear_ir.report.tables import Table

    if cost.scores:
        rows = [
            [name, f"{100 * before:.1f}", f"{100 * after:.1f}", f"{100 * (after - before):+.2f}"]
            for name, (before, after) in cost.scores.items()
        ]
        typer.echo(Table(["direction", "model", "exported", "change"], rows).markdown())
        typer.echo(f"nDCG@10 x 100 on {counted(cost.questions, 'question')} of {cost.data}.")
    else:
        typer.echo("With --data COLLECTION the loss in nDCG@10 is measured.")
    if cost.texts_per_second:
        before, after = cost.texts_per_second
        typer.echo(f"Passages a second on this machine: {before:.3g} before, {after:.3g} exported.")
    typer.echo(
        f"Size: {cost.bytes_before / 1e6:,.1f} MB before, {cost.bytes_after / 1e6:,.1f} MB exported. Lowest cosine "
        f"between a vector before and after: {cost.cosine:.5f}."
    )
