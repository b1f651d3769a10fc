"""`clear-ir evaluate`: one model, one collection, every direction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clear_ir.cli.next_command import after_evaluate, origin_of
from clear_ir.cli.output import print_json, print_result
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import (
    AsJson,
    Data,
    Model,
    Overwrite,
    Recipe,
    Remote,
    Split,
    default_split,
    parse_langs,
)
from clear_ir.data.files import InputError
from clear_ir.encode.settings import EncodingSettings

if TYPE_CHECKING:
    from clear_ir.encode.text_encoder import TextEncoder
    from clear_ir.evaluate.results import Results


@takes(encode=EncodingSettings)
def evaluate(
    model: Model,
    out: Annotated[Path, typer.Option(help="Results folder to make.")],
    flags: Flags,
    data: Data = None,
    mteb: Annotated[
        list[str] | None,
        typer.Option(help="Instead of --data: a task of mteb, such as BelebeleRetrieval. Repeat for more tasks."),
    ] = None,
    langs: Annotated[
        str | None, typer.Option(help="Only with --mteb: the languages to evaluate. Put commas between several.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model in tables. Default: the name of its folder.")
    ] = None,
    split: Split = None,
    truncate_dim: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cut embeddings to so many numbers, such as one of --matryoshka-dims of clear-ir train."
        ),
    ] = None,
    recipe: Recipe = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Make empty documents, and judgments of what is missing, an error.")
    ] = False,
    as_json: AsJson = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Evaluate a model in every direction of a collection, and with pools in several languages."""
    from clear_ir.encode.architecture import cut_embeddings
    from clear_ir.encode.model_loading import load_encoder
    from clear_ir.recipes.recipe import load_recipe

    encoding = load_recipe(recipe, flags).encode
    name = name or Path(model).name + (f", {truncate_dim} numbers" if truncate_dim else "")

    def load() -> TextEncoder:
        from clear_ir.encode.text_encoder import TextEncoder

        encoder = cut_embeddings(load_encoder(model, trust_remote_code), truncate_dim)
        return TextEncoder.from_settings(encoder, encoding)

    if mteb and data is None:
        from clear_ir.data.output_files import hold_output
        from clear_ir.evaluate.mteb import evaluate_mteb, select_tasks
        from clear_ir.evaluate.results import MTEB_FILE
        from clear_ir.report.tables import mteb_table

        with hold_output(out, MTEB_FILE, overwrite):
            mteb_langs = parse_langs(langs) if langs else None
            select_tasks(mteb, mteb_langs, split)  # errors in the arguments come before the model is loaded
            scores = evaluate_mteb(name, load(), mteb, out, mteb_langs, split, overwrite)
        if as_json:
            print_json(scores)
            return
        typer.echo(mteb_table(scores).markdown())
        print_result(f"Scores by mteb, x 100: {out} (compare and report cannot read them: there are none per query)")
        return
    if data is None or mteb or langs:
        raise InputError("Give either --data COLLECTION, or --mteb TASK with or without --langs.")
    from clear_ir.data.collection_files import read_collection
    from clear_ir.data.output_files import hold_output
    from clear_ir.evaluate.evaluation import evaluate_model
    from clear_ir.evaluate.results import RESULTS_FILE, write_results
    from clear_ir.report.json_documents import evaluation_document

    with hold_output(out, RESULTS_FILE, overwrite):
        collection = read_collection(data, split or default_split(data), strict)
        encoder = load()
        results = evaluate_model(encoder, collection, name)
        results.origin = origin_of(model, data, trust_remote_code, truncate_dim)
        log = Path(model) / "train_log.jsonl"
        write_results(out, results, overwrite, log if log.exists() else None)
    if as_json:
        print_json(evaluation_document(results))
        return
    for note in collection.notes:
        typer.echo(note)
    _print_tables(results)
    if encoder.cache:
        typer.echo(f"The embeddings are cached in {encoder.cache} for later runs; --no-cache switches this off.")
    used = {"data": data, "split": split, "truncate_dim": truncate_dim}
    used |= {"recipe": recipe, "trust_remote_code": trust_remote_code}
    print_result(f"Results: {out}", after_evaluate(out, used))


def _print_tables(results: Results) -> None:
    """Print the scores, and a warning where they rest on few questions."""
    from clear_ir.report.tables import measures_table, mixed_table, summary_table

    typer.echo(measures_table([results]).markdown())
    if results.mixed:
        typer.echo(mixed_table([results]).markdown())
    if (summaries := summary_table(results, [], [])).rows:  # of one direction that is not English there are none
        typer.echo(summaries.markdown())
    for warning in results.few_questions:
        typer.echo(warning)
