"""``clear-ir merge``: an adapted encoder and its base in, the point between them that keeps English out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clear_ir.cli.options import Overwrite, only_split
from clear_ir.cli.output import print_made
from clear_ir.data.files import InputError


def merge(
    base: Annotated[str, typer.Argument(help="The encoder that was adapted: folder, hub name, or 'minilm'.")],
    model: Annotated[str, typer.Argument(help="The adapted encoder.")],
    out: Annotated[Path, typer.Option(help="Model folder to make.")],
    weights: Annotated[
        str, typer.Option(help="Shares of the adapted encoder: FROM:TO:STEP, or values between commas; one is taken.")
    ] = "0:1:0.1",
    data: Annotated[
        Path | None, typer.Option(help="Collection that decides among several weights: a dev split, not the test.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Which qrels; test if there, else the only one.")] = None,
    max_english_loss: Annotated[
        float, typer.Option(help="Points of nDCG@10 x 100 that q-en.p-en may lose against the base.")
    ] = 0.5,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code the models bring along.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Interpolate between an encoder and its base: keep English, and most of what was learnt."""
    from clear_ir.merge.settings import parse_weights

    chosen = parse_weights(weights)
    if len(chosen) > 1 and data is None:
        raise InputError(
            f"--weights {weights} names {len(chosen)}; give --data COLLECTION to choose by, or one weight."
        )
    from clear_ir.data.collection import read_collection
    from clear_ir.data.files import check_new
    from clear_ir.encode.cache import default_cache
    from clear_ir.encode.models import load_encoder
    from clear_ir.encode.text_encoder import TextEncoder
    from clear_ir.merge.interpolation import MERGE_FILE, best_point, merge_encoders, sweep_weights, write_merged
    from clear_ir.report.tables import Table

    check_new(out, MERGE_FILE, overwrite)
    collection = read_collection(data, split or only_split(data)) if data else None
    first, second = load_encoder(base, trust_remote_code), load_encoder(model, trust_remote_code)
    settings = {"base": base, "model": model}
    if collection is None or len(chosen) == 1:
        write_merged(out, merge_encoders(first, second, chosen[0]), chosen[0], (), settings, overwrite)
        print_made(
            f"Merged at weight {chosen[0]:g}: {out}", f"clear-ir evaluate --model {out} --data COLLECTION --out R"
        )
        return
    points = sweep_weights(TextEncoder(first, cache=default_cache()), second, sorted({0.0, *chosen}), collection)
    best = best_point(points, max_english_loss)
    settings |= {"data": collection.name, "data_hash": collection.data_hash, "max_english_loss": str(max_english_loss)}
    write_merged(out, merge_encoders(first, second, best.weight), best.weight, points, settings, overwrite)
    rows = [
        [f"{p.weight:g}{' *' if p is best else ''}", f"{100 * p.english:.1f}", f"{100 * p.cross_lingual:.1f}"]
        for p in points
    ]
    typer.echo(Table(["weight", "q-en.p-en", "mean across languages"], rows).markdown())
    typer.echo(f"* the best across languages that loses at most {max_english_loss:g} points in English.")
    print_made(
        f"Model, merge.json and merge.svg: {out}", f"clear-ir evaluate --model {out} --data TEST_COLLECTION --out R"
    )
