"""The command line: parse, call, print. Heavy imports happen inside the commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from clear_ir.cli.datasets import datasets
from clear_ir.cli.flags import Commands
from clear_ir.cli.merge import merge
from clear_ir.cli.options import Map, Overwrite, only_split, parse_langs, parse_mapping, parse_pairs
from clear_ir.cli.output import print_made, print_summary, some_of
from clear_ir.cli.prepare import prepare
from clear_ir.data.files import InputError

app = typer.Typer(
    name="clear-ir",
    cls=Commands,
    help="Make text-embedding models good at cross-lingual retrieval, and prove it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(prepare, name="prepare")
app.command()(datasets)
app.command()(merge)

Model = Annotated[str, typer.Option(help="Model folder, hub name, or 'minilm'.")]
Recipe = Annotated[
    str | None, typer.Option(help="YAML file, or a shipped recipe: paper, multilingual-e5, gte, small, quickstart.")
]
Remote = Annotated[bool, typer.Option("--trust-remote-code", help="Run Python code the model brings along.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: any other setting of the stage.")]


def main() -> None:
    """Run the command line; bad input ends in one sentence and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except InputError as error:
        typer.echo(f"clear-ir: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        typer.echo(f"clear-ir: {error.strerror or error}: {error.filename or ''}", err=True)
        sys.exit(2)


@app.command()
def mine(
    rows: Annotated[Path, typer.Option(help="Parallel rows, as prepare writes them.")],
    out: Annotated[Path, typer.Option(help="File of training rows to make.")],
    model: Annotated[str | None, typer.Option(help="Encoder that ranks; see evaluate.")] = None,
    recipe: Recipe = None,
    mapping: Map = None,
    num_negatives: Annotated[int | None, typer.Option(help="Negatives a row and side.")] = None,
    range_min: Annotated[int | None, typer.Option(help="Skip candidates above this rank.")] = None,
    range_max: Annotated[int | None, typer.Option(help="Skip candidates from this rank on.")] = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    query_side: Annotated[str | None, typer.Option(help="english or target: the text that ranks queries.")] = None,
    seed: int | None = None,
    settings: Set = None,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Hard-negative passages and queries for each parallel row."""
    names = "num_negatives range_min range_max absolute_margin relative_margin query_side seed"
    flags = _given(names, locals()) | _settings(settings)
    from clear_ir.data.files import check_new, write_jsonl
    from clear_ir.data.rows import read_parallel_rows
    from clear_ir.encode.models import load_encoder
    from clear_ir.encode.text_encoder import TextEncoder
    from clear_ir.mine.hard_negatives import mine_hard_negatives
    from clear_ir.recipes.recipe import load_recipe

    chosen = load_recipe(recipe, {"mine": flags})
    check_new(out, overwrite=overwrite)
    parallel, rejected = read_parallel_rows(rows, parse_mapping(mapping))
    rejected.raise_first()
    name = _model_name(model, chosen.model)
    encoder = TextEncoder.from_settings(load_encoder(name, trust_remote_code), chosen.encode)
    mined = mine_hard_negatives(encoder, parallel, chosen.mine)
    write_jsonl(out, mined.records)
    print_summary(mined.summary())
    if mined.left_out:
        typer.echo(f"Left out for want of candidates: {some_of(mined.left_out)}")
    print_made(f"{len(mined.records)} training rows: {out}", f"clear-ir train --model {name} --rows {out} --out MODEL")


@app.command()
def train(
    rows: Annotated[Path, typer.Option(help="Training rows, as mine writes them.")],
    out: Annotated[Path, typer.Option(help="Model folder to make.")],
    model: Annotated[str | None, typer.Option(help="Encoder to start from; see evaluate.")] = None,
    recipe: Recipe = None,
    mapping: Map = None,
    translations: Annotated[
        Path | None, typer.Option(help="More to distil on: a file of english, translation (and lang).")
    ] = None,
    loss: Annotated[str | None, typer.Option(help="clear, infonce or infonce-both.")] = None,
    cached: Annotated[bool | None, typer.Option("--cached/--plain", help="Gradient cache.")] = None,
    alpha: float | None = None,
    beta: float | None = None,
    gamma: float | None = None,
    batch_size: int | None = None,
    mini_batch_num_tokens: Annotated[
        str | None, typer.Option(help="Gradient cache: tokens embedded at once, the knob for memory; or auto.")
    ] = None,
    epochs: float | None = None,
    max_steps: int | None = None,
    learning_rate: float | None = None,
    num_negatives: Annotated[int | None, typer.Option(help="Use only this many of the rows' negatives.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")] = None,
    dev_share: Annotated[float | None, typer.Option(help="Share of the passages that judges checkpoints.")] = None,
    seed: int | None = None,
    settings: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run into --out.")] = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Train an encoder with CLEAR or a baseline."""
    names = "loss cached alpha beta gamma batch_size epochs max_steps learning_rate num_negatives"
    flags = _given(f"{names} precision mini_batch_num_tokens dev_share seed", locals()) | _settings(settings)
    from clear_ir.data.rows import read_training_rows, read_translations
    from clear_ir.recipes.recipe import load_recipe
    from clear_ir.train.run import train_model

    chosen = load_recipe(recipe, {"train": flags})
    name = _model_name(model, chosen.model)
    training_rows = read_training_rows(rows, parse_mapping(mapping))
    log = train_model(
        name,
        training_rows,
        chosen.train,
        out,
        overwrite=overwrite,
        resume=resume,
        trust_remote_code=trust_remote_code,
        translations=read_translations(translations) if translations else [],
    )
    plan = log[0]
    rows_of = ", ".join(f"{lang} {count}" for lang, count in plan["rows_by_language"].items())
    left = f"; {plan['rows_left_out']} of them find no batch without their like" if plan["rows_left_out"] else ""
    if "distil_pairs" in plan:
        first, last = plan["distil_loss"]
        pairs, steps = plan["distil_pairs"], plan["distil_steps"]
        typer.echo(f"Distilled on {pairs} pairs in {steps} steps: loss from {first:.2g} to {last:.2g}.")
    typer.echo(f"An epoch: {plan['batches']} batches of rows in {rows_of}{left}.")
    losses = [entry["loss"] for entry in log if "loss" in entry]
    typer.echo(f"Loss from {losses[0]:.3f} to {losses[-1]:.3f} in {log[-1]['step']} steps.")
    vetoed = [entry["eval_vetoed"] for entry in log if "eval_vetoed" in entry]
    if vetoed and all(vetoed):
        limit = chosen.train.max_english_loss
        typer.echo(f"Every checkpoint lost more than {limit:g} points in English; the best across languages was kept.")
    print_made(
        f"Model, recipe and training log: {out}", f"clear-ir evaluate --model {out} --data COLLECTION --out RESULTS"
    )


@app.command()
def evaluate(
    model: Model,
    out: Annotated[Path, typer.Option(help="Results folder to make.")],
    data: Annotated[Path | None, typer.Option(help="Collection folder: corpus.jsonl, queries.jsonl, qrels/.")] = None,
    mteb: Annotated[
        list[str] | None, typer.Option(help="In place of --data: a task of mteb, say BelebeleRetrieval; repeatable.")
    ] = None,
    langs: Annotated[str | None, typer.Option(help="With --mteb: only these languages, separated by commas.")] = None,
    name: Annotated[str | None, typer.Option(help="The model's name in tables; its folder's by default.")] = None,
    split: Annotated[str | None, typer.Option(help="Which qrels; test if there, else the only one.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Texts encoded at once.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of embeddings; $CLEAR_IR_CACHE or the user's cache folder by default.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep embeddings.")] = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Score a model in every direction that a collection allows, and in pools of several languages."""
    from clear_ir.data.collection import read_collection
    from clear_ir.data.files import check_new
    from clear_ir.encode.models import load_encoder
    from clear_ir.encode.settings import EncodingSettings
    from clear_ir.encode.text_encoder import TextEncoder
    from clear_ir.evaluate.evaluation import evaluate_model
    from clear_ir.evaluate.results import MTEB_FILE, RESULTS_FILE, write_results
    from clear_ir.report.tables import measures_table, mixed_table, mteb_table, summary_table

    encoding = EncodingSettings(batch_size=batch_size, cache=cache, no_cache=no_cache)
    if mteb and data is None:
        from clear_ir.evaluate.mteb import evaluate_mteb, select_tasks

        check_new(out, MTEB_FILE, overwrite)
        wanted = parse_langs(langs) if langs else None
        select_tasks(mteb, wanted, split)  # refuses what it does not know before the model is loaded
        encoder = TextEncoder.from_settings(load_encoder(model, trust_remote_code), encoding)
        scores = evaluate_mteb(name or Path(model).name, encoder, mteb, out, wanted, split, overwrite)
        typer.echo(mteb_table(scores).markdown())
        print_made(f"Scores by mteb, x 100: {out} (none per query, so compare and report cannot read them)")
        return
    if data is None or mteb or langs:
        raise InputError("Give either --data COLLECTION, or --mteb TASK with or without --langs.")
    check_new(out, RESULTS_FILE, overwrite)
    collection = read_collection(data, split or only_split(data))
    encoder = TextEncoder.from_settings(load_encoder(model, trust_remote_code), encoding)
    results = evaluate_model(encoder, collection, name or Path(model).name)
    log = Path(model) / "train_log.jsonl"
    write_results(out, results, overwrite, log if log.exists() else None)
    typer.echo(measures_table([results]).markdown())
    if results.mixed:
        typer.echo(mixed_table([results]).markdown())
    typer.echo(summary_table(results, [], []).markdown())
    if encoder.cache:
        typer.echo(f"Embeddings kept in {encoder.cache}, for the next time; --no-cache keeps none.")
    print_made(f"Results: {out}", f"clear-ir compare BASE {out}")


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(help="Results folder of the reference.")],
    others: Annotated[list[Path], typer.Argument(help="Results folders of the models to compare.")],
) -> None:
    """Differences from a base with intervals and corrected p-values."""
    from clear_ir.compare.comparison import check_names, compare_results, compare_summaries
    from clear_ir.evaluate.results import read_results
    from clear_ir.report.tables import comparison_table, differences_table, summary_table

    first, rest = read_results(base), [read_results(other) for other in others]
    check_names([first, *rest])
    differences = compare_results(first, rest)
    typer.echo(comparison_table(first, rest, differences).markdown())
    typer.echo(differences_table(differences, first, rest).markdown())
    typer.echo(summary_table(first, rest, compare_summaries(first, rest)).markdown())
    results = " ".join(map(str, [base, *others]))
    typer.echo(f"nDCG@10 x 100. Next: clear-ir report {results} --data COLLECTION --out REPORT")


@app.command()
def report(
    base: Annotated[Path, typer.Argument(help="Results folder of the reference.")],
    others: Annotated[list[Path] | None, typer.Argument(help="Results folders of other models.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The collection evaluated, for the texts of the queries that changed most.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Report folder to make.")] = Path("report"),
    overwrite: Overwrite = False,
) -> None:
    """One self-contained HTML page, and the same tables in Markdown."""
    from clear_ir.data.collection import read_collection
    from clear_ir.evaluate.results import read_results, read_train_log
    from clear_ir.report.page import REPORT_FILE, render_report

    first, rest = read_results(base), [read_results(folder) for folder in others or []]
    found = zip(rest, others or [], strict=True)
    logs = {result.model: log for result, folder in found if (log := read_train_log(folder))}
    collection = read_collection(data, first.split) if data else None
    render_report(out, first, rest, logs, overwrite, collection)
    if rest and not collection:
        typer.echo("Give --data COLLECTION to see the queries that gained and lost most.")
    print_made(f"Report: {out / REPORT_FILE} and {out / 'report.md'}")


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for all that is made.")] = Path("quickstart"),
    lang: Annotated[
        list[str] | None, typer.Option(help="Language to add (de and sw by default); repeat for more.")
    ] = None,
    seed: int = 0,
    overwrite: Overwrite = False,
) -> None:
    """The whole path on the data that ships with clear-ir, in minutes, without a network."""
    from clear_ir.quickstart import run_quickstart

    run_quickstart(out, parse_langs(" ".join(lang)) if lang else None, seed, overwrite)


def _model_name(flag: str | None, from_recipe: str | None) -> str:
    name = flag or from_recipe
    if not name:
        raise InputError("No model is named; give --model, or a recipe with one (--recipe small uses minilm).")
    return name


def _given(names: str, values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in names.split() if values[name] is not None}


def _settings(pairs: Iterable[str] | None) -> dict[str, Any]:
    import yaml

    return {key: yaml.safe_load(value) for key, value in parse_pairs("--set", pairs).items()}
