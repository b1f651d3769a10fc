"""``clear-ir evaluate``: one model, one collection, every direction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clear_ir.cli.flags import Flags, takes
from clear_ir.cli.options import AsJson, Model, Overwrite, Recipe, Remote, Split, only_split, parse_langs
from clear_ir.cli.output import print_json, print_made
from clear_ir.data.files import InputError
from clear_ir.encode.settings import EncodingSettings

if TYPE_CHECKING:
    from clear_ir.encode.text_encoder import TextEncoder


@takes(encode=EncodingSettings)
def evaluate(
    model: Model,
    out: Annotated[Path, typer.Option(help="Results folder to make.")],
    flags: Flags,
    data: Annotated[Path | None, typer.Option(help="Collection folder: corpus.jsonl, queries.jsonl, qrels/.")] = None,
    mteb: Annotated[
        list[str] | None, typer.Option(help="In place of --data: a task of mteb, say BelebeleRetrieval. Repeatable.")
    ] = None,
    langs: Annotated[str | None, typer.Option(help="With --mteb: only these languages, between commas.")] = None,
    name: Annotated[str | None, typer.Option(help="The model's name in tables. Its folder's by default.")] = None,
    split: Split = None,
    recipe: Recipe = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Make empty documents, and judgments of what is missing, an error.")
    ] = False,
    as_json: AsJson = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Score a model in every direction that a collection allows, and in pools of several languages."""
    from clear_ir.encode.models import load_encoder
    from clear_ir.recipes.recipe import load_recipe

    encoding = load_recipe(recipe, flags).encode
    name = name or Path(model).name

    def load() -> TextEncoder:
        from clear_ir.encode.text_encoder import TextEncoder

        return TextEncoder.from_settings(load_encoder(model, trust_remote_code), encoding)

    if mteb and data is None:
        from clear_ir.data.files import check_new
        from clear_ir.evaluate.mteb import evaluate_mteb, select_tasks
        from clear_ir.evaluate.results import MTEB_FILE
        from clear_ir.report.tables import mteb_table

        check_new(out, MTEB_FILE, overwrite)
        wanted = parse_langs(langs) if langs else None
        select_tasks(mteb, wanted, split)  # refuses what it does not know before the model is loaded
        scores = evaluate_mteb(name, load(), mteb, out, wanted, split, overwrite)
        if as_json:
            print_json(scores)
            return
        typer.echo(mteb_table(scores).markdown())
        print_made(f"Scores by mteb, x 100: {out} (none per query, so compare and report cannot read them)")
        return
    if data is None or mteb or langs:
        raise InputError("Give either --data COLLECTION, or --mteb TASK with or without --langs.")
    from clear_ir.data.collection import read_collection
    from clear_ir.data.files import check_new
    from clear_ir.evaluate.evaluation import evaluate_model
    from clear_ir.evaluate.results import RESULTS_FILE, write_results
    from clear_ir.report.json_documents import evaluation_document
    from clear_ir.report.tables import measures_table, mixed_table, summary_table

    check_new(out, RESULTS_FILE, overwrite)
    collection = read_collection(data, split or only_split(data), strict)
    encoder = load()
    results = evaluate_model(encoder, collection, name)
    log = Path(model) / "train_log.jsonl"
    write_results(out, results, overwrite, log if log.exists() else None)
    if as_json:
        print_json(evaluation_document(results))
        return
    for note in collection.notes:
        typer.echo(note)
    typer.echo(measures_table([results]).markdown())
    if results.mixed:
        typer.echo(mixed_table([results]).markdown())
    typer.echo(summary_table(results, [], []).markdown())
    if encoder.cache:
        typer.echo(f"Embeddings are kept in {encoder.cache} for the next time; --no-cache keeps none.")
    print_made(f"Results: {out}", f"clear-ir compare BASE {out}")
