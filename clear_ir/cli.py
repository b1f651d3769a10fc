"""The command line: parse, call, print. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from clear_ir.files import InputError

app = typer.Typer(
    name="clear-ir",
    help="Make text-embedding models good at cross-lingual retrieval, and prove it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
prepare = typer.Typer(
    help="Data set -> rows.jsonl to train on and a collection to test on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(prepare, name="prepare")

Out = Annotated[Path, typer.Option(help="What to make.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier output of the same command.")]
Strict = Annotated[bool, typer.Option("--strict", help="Make a row with a null or empty field an error.")]
Langs = Annotated[Optional[str], typer.Option(help="Languages, separated by commas.")]  # noqa: UP045
Map = Annotated[Optional[list[str]], typer.Option("--map", help="OURS=THEIRS: a column under another name.")]  # noqa: UP045
Judge = Annotated[str, typer.Option(help="What the collection is: test, or dev for choosing settings.")]
Model = Annotated[str, typer.Option(help="Model folder, hub name, or 'minilm'.")]
Recipe = Annotated[Optional[str], typer.Option(help="YAML file, or a shipped recipe: paper, small.")]  # noqa: UP045
Remote = Annotated[bool, typer.Option("--trust-remote-code", help="Run Python code the model brings along.")]
Set = Annotated[Optional[list[str]], typer.Option("--set", help="KEY=VALUE: any other setting of the stage.")]  # noqa: UP045


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


@prepare.command("afriqa")
def prepare_afriqa(
    data: Annotated[Path, typer.Option(help="Folder with the AfriQA gold passage files.")],
    langs: Annotated[str, typer.Option(help="Languages, separated by commas: hau, ibo, kin, swa, zul.")],
    out: Out,
    judge: Judge = "test",
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """AfriQA: questions in African languages, English passages."""
    from clear_ir.datasets.afriqa import load_afriqa

    _write_prepared(load_afriqa(data, _list(langs), _one_of("judge", judge, "test", "dev")), out, strict, overwrite)


@prepare.command("xquad")
def prepare_xquad(
    data: Annotated[Path, typer.Option(help="Folder with xquad.en.json and one file a language.")],
    langs: Annotated[str, typer.Option(help="Languages, separated by commas: ar, de, es, hi, ru, vi, zh.")],
    out: Out,
    judge: Annotated[str, typer.Option(help="test, dev, or all: every question, nothing to train on.")] = "test",
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """XQuAD: questions and passages, parallel in all languages."""
    from clear_ir.datasets.xquad import load_xquad

    judged = _one_of("judge", judge, "test", "dev", "all")
    _write_prepared(load_xquad(data, _list(langs), judged), out, strict, overwrite)


@prepare.command("atlas")
def prepare_atlas(
    out: Out,
    langs: Annotated[str, typer.Option(help="Languages, separated by commas.")] = "de,sw",
    judge: Judge = "test",
    overwrite: Overwrite = False,
) -> None:
    """Atlas: the small data set that ships with clear-ir."""
    from clear_ir.datasets.atlas import load_atlas

    _write_prepared(load_atlas(_list(langs), _one_of("judge", judge, "test", "dev")), out, False, overwrite)


@prepare.command("jsonl")
def prepare_jsonl(
    rows: Annotated[Path, typer.Option(help="JSON Lines, CSV, Parquet or a saved datasets folder.")],
    out: Out,
    mapping: Map = None,
    lang: Annotated[Optional[str], typer.Option(help="Language of all rows, where no column says it.")] = None,  # noqa: UP045
    langs: Langs = None,
    test_share: Annotated[float, typer.Option(help="Share of the passages held out to test on.")] = 0.2,
    seed: int = 0,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Your own parallel data: query, passage, cross_query (and lang, id, passage_id)."""
    from clear_ir.datasets.parallel import load_parallel

    if not 0 <= test_share < 1:
        raise InputError(f"--test-share is {test_share}; give a share from 0 to below 1.")
    prepared = load_parallel(rows, _mapping(mapping), lang, _list(langs) if langs else None, test_share, seed)
    _write_prepared(prepared, out, strict, overwrite)


@app.command()
def mine(
    rows: Annotated[Path, typer.Option(help="Parallel rows, as prepare writes them.")],
    out: Annotated[Path, typer.Option(help="File of training rows to make.")],
    model: Annotated[Optional[str], typer.Option(help="Encoder that ranks; see evaluate.")] = None,  # noqa: UP045
    recipe: Recipe = None,
    mapping: Map = None,
    num_negatives: Annotated[Optional[int], typer.Option(help="Negatives a row and side.")] = None,  # noqa: UP045
    range_min: Annotated[Optional[int], typer.Option(help="Skip candidates above this rank.")] = None,  # noqa: UP045
    range_max: Annotated[Optional[int], typer.Option(help="Skip candidates from this rank on.")] = None,  # noqa: UP045
    absolute_margin: Optional[float] = None,  # noqa: UP045
    relative_margin: Optional[float] = None,  # noqa: UP045
    query_side: Annotated[Optional[str], typer.Option(help="english or target: the text that ranks queries.")] = None,  # noqa: UP045
    seed: Optional[int] = None,  # noqa: UP045
    settings: Set = None,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Hard-negative passages and queries for each parallel row."""
    names = "num_negatives range_min range_max absolute_margin relative_margin query_side seed"
    flags = _given(names, locals()) | _settings(settings)
    from clear_ir.encoding import load_encoder
    from clear_ir.files import check_new, write_jsonl
    from clear_ir.mining import mine_hard_negatives
    from clear_ir.recipe import load_recipe
    from clear_ir.rows import read_parallel_rows

    chosen = load_recipe(recipe, {"mine": flags})
    check_new(out, overwrite=overwrite)
    parallel, rejected = read_parallel_rows(rows, _mapping(mapping))
    rejected.raise_first()
    name = _model_name(model, chosen.model)
    mined = mine_hard_negatives(load_encoder(name, trust_remote_code), parallel, chosen.mine)
    write_jsonl(out, mined.records)
    _print_summary(mined.summary())
    if mined.left_out:
        typer.echo(f"Left out for want of candidates: {_some(mined.left_out)}")
    _made(f"{len(mined.records)} training rows: {out}", f"clear-ir train --model {name} --rows {out} --out MODEL")


@app.command()
def train(
    rows: Annotated[Path, typer.Option(help="Training rows, as mine writes them.")],
    out: Annotated[Path, typer.Option(help="Model folder to make.")],
    model: Annotated[Optional[str], typer.Option(help="Encoder to start from; see evaluate.")] = None,  # noqa: UP045
    recipe: Recipe = None,
    mapping: Map = None,
    loss: Annotated[Optional[str], typer.Option(help="clear, infonce or infonce-both.")] = None,  # noqa: UP045
    cached: Annotated[Optional[bool], typer.Option("--cached/--plain", help="Gradient cache.")] = None,  # noqa: UP045
    alpha: Optional[float] = None,  # noqa: UP045
    beta: Optional[float] = None,  # noqa: UP045
    gamma: Optional[float] = None,  # noqa: UP045
    batch_size: Optional[int] = None,  # noqa: UP045
    mini_batch_size: Optional[int] = None,  # noqa: UP045
    epochs: Optional[float] = None,  # noqa: UP045
    max_steps: Optional[int] = None,  # noqa: UP045
    learning_rate: Optional[float] = None,  # noqa: UP045
    num_negatives: Annotated[Optional[int], typer.Option(help="Use only this many of the rows' negatives.")] = None,  # noqa: UP045
    precision: Annotated[Optional[str], typer.Option(help="auto, fp32, bf16 or fp16.")] = None,  # noqa: UP045
    dev_share: Annotated[Optional[float], typer.Option(help="Share of the passages that judges checkpoints.")] = None,  # noqa: UP045
    seed: Optional[int] = None,  # noqa: UP045
    settings: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run into --out.")] = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Train an encoder with CLEAR or a baseline."""
    names = "loss cached alpha beta gamma batch_size mini_batch_size epochs max_steps learning_rate num_negatives"
    flags = _given(f"{names} precision dev_share seed", locals()) | _settings(settings)
    from clear_ir.recipe import load_recipe
    from clear_ir.rows import read_training_rows
    from clear_ir.training import train_model

    chosen = load_recipe(recipe, {"train": flags})
    name = _model_name(model, chosen.model)
    training_rows = read_training_rows(rows, _mapping(mapping))
    log = train_model(
        name,
        training_rows,
        chosen.train,
        out,
        overwrite=overwrite,
        resume=resume,
        trust_remote_code=trust_remote_code,
    )
    losses = [entry["loss"] for entry in log if "loss" in entry]
    typer.echo(f"Loss from {losses[0]:.3f} to {losses[-1]:.3f} in {log[-1]['step']} steps.")
    _made(f"Model, recipe and training log: {out}", f"clear-ir evaluate --model {out} --data COLLECTION --out RESULTS")


@app.command()
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Option(help="Collection folder: corpus.jsonl, queries.jsonl, qrels/.")],
    out: Annotated[Path, typer.Option(help="Results folder to make.")],
    name: Annotated[Optional[str], typer.Option(help="The model's name in tables; its folder's by default.")] = None,  # noqa: UP045
    split: Annotated[Optional[str], typer.Option(help="Which qrels; test if there, else the only one.")] = None,  # noqa: UP045
    batch_size: int = 64,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Score a model in every direction that a collection allows."""
    from clear_ir.collection import read_collection
    from clear_ir.encoding import load_encoder
    from clear_ir.evaluation import RESULTS_FILE, evaluate_model, write_results
    from clear_ir.files import check_new
    from clear_ir.report import measures_table

    check_new(out, RESULTS_FILE, overwrite)
    collection = read_collection(data, split or _only_split(data))
    encoder = load_encoder(model, trust_remote_code)
    results = evaluate_model(encoder, collection, name or Path(model).name, batch_size)
    log = Path(model) / "train_log.jsonl"
    write_results(out, results, overwrite, log if log.exists() else None)
    typer.echo(measures_table([results]).markdown())
    _made(f"Results: {out}", f"clear-ir compare BASE {out}")


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(help="Results folder of the reference.")],
    others: Annotated[list[Path], typer.Argument(help="Results folders of the models to compare.")],
) -> None:
    """Differences from a base with intervals and corrected p-values."""
    from clear_ir.comparison import compare_results
    from clear_ir.evaluation import read_results
    from clear_ir.report import check_names, comparison_table, differences_table

    first, rest = read_results(base), [read_results(other) for other in others]
    check_names([first, *rest])
    differences = compare_results(first, rest)
    typer.echo(comparison_table(first, rest, differences).markdown())
    typer.echo(differences_table(differences).markdown())
    typer.echo(f"nDCG@10 x 100. Next: clear-ir report {base} {' '.join(map(str, others))} --out REPORT")


@app.command()
def report(
    base: Annotated[Path, typer.Argument(help="Results folder of the reference.")],
    others: Annotated[Optional[list[Path]], typer.Argument(help="Results folders of other models.")] = None,  # noqa: UP045
    out: Annotated[Path, typer.Option(help="Report folder to make.")] = Path("report"),
    overwrite: Overwrite = False,
) -> None:
    """One self-contained HTML page, and the same tables in Markdown."""
    from clear_ir.evaluation import read_results, read_train_log
    from clear_ir.report import REPORT_FILE, render_report

    results = {read.model: (read, folder) for folder in (others or []) for read in [read_results(folder)]}
    logs = {name: log for name, (_, folder) in results.items() if (log := read_train_log(folder))}
    render_report(out, read_results(base), [read for read, _ in results.values()], logs, overwrite)
    _made(f"Report: {out / REPORT_FILE} and {out / 'report.md'}")


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for all that is made.")] = Path("quickstart"),
    lang: Annotated[Optional[list[str]], typer.Option(help="Language to add; repeat for more.")] = None,  # noqa: UP045
    seed: int = 0,
    overwrite: Overwrite = False,
) -> None:
    """The whole path on the data that ships with clear-ir, in minutes, without a network."""
    from clear_ir.quickstart import run_quickstart

    run_quickstart(out, lang, seed, overwrite)


def _write_prepared(prepared: Any, out: Path, strict: bool, overwrite: bool) -> None:
    from collections import Counter

    from clear_ir.collection import write_collection
    from clear_ir.files import new_folder
    from clear_ir.rows import write_parallel_rows

    rejected = prepared.rejected.reasons
    if strict:
        prepared.rejected.raise_first()
    with new_folder(out, "prepared.json", overwrite) as partial:
        if prepared.rows:
            write_parallel_rows(partial / "rows.jsonl", prepared.rows)
        if prepared.collection:
            write_collection(partial / "collection", prepared.collection)
        langs = dict(Counter(row.lang for row in prepared.rows))
        summary = {"rows by language": langs, "left out": len(rejected), "notes": prepared.notes}
        (partial / "prepared.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if rejected:
        typer.echo(f"{len(rejected)} rows left out: {_some(f'{where} ({reason})' for where, reason in rejected)}")
    for note in prepared.notes:
        typer.echo(note)
    if collection := prepared.collection:
        directions = ", ".join(map(str, collection.directions))
        sizes = f"{len(collection.queries)} queries, {len(collection.passages)} passages"
        typer.echo(f"Collection: {out / 'collection'} ({sizes}; {directions})")
    if not prepared.rows:
        _made("No training rows.", f"clear-ir evaluate --model MODEL --data {out / 'collection'} --out RESULTS")
        return
    counts = ", ".join(f"{count} {lang}" for lang, count in langs.items())
    _made(
        f"Training rows: {out / 'rows.jsonl'} ({counts})",
        f"clear-ir mine --model MODEL --rows {out / 'rows.jsonl'} --out {out / 'train.jsonl'}",
    )


def _only_split(data: Path) -> str:
    found = sorted(path.stem for path in (data / "qrels").glob("*.tsv"))
    if "test" in found or not found:
        return "test"
    if len(found) > 1:
        raise InputError(f"{data}/qrels has the splits {', '.join(found)}; choose one with --split.")
    return found[0]


def _model_name(flag: str | None, from_recipe: str | None) -> str:
    name = flag or from_recipe
    if not name:
        raise InputError("No model is named; give --model, or a recipe with one (--recipe small uses minilm).")
    return name


def _given(names: str, values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in names.split() if values[name] is not None}


def _settings(pairs: Iterable[str] | None) -> dict[str, Any]:
    import yaml

    return {key: yaml.safe_load(value) for key, value in _pairs("--set", pairs).items()}


def _mapping(pairs: Iterable[str] | None) -> dict[str, str]:
    return _pairs("--map", pairs)


def _pairs(flag: str, pairs: Iterable[str] | None) -> dict[str, str]:
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise InputError(f"{flag} {pair!r} is not of the form NAME=VALUE.")
        found[name] = value
    return found


def _list(text: str) -> list[str]:
    return list(dict.fromkeys(part for part in text.replace(",", " ").split()))


def _one_of(flag: str, value: str, *choices: str) -> Any:
    if value not in choices:
        raise InputError(f"--{flag} is {value!r}; choose among {', '.join(choices)}.")
    return value


def _some(items: Iterable[str], most: int = 3) -> str:
    shown = list(items)
    return "; ".join(shown[:most]) + (f"; and {len(shown) - most} more" if len(shown) > most else "")


def _print_summary(summary: dict[str, Any], indent: str = "") -> None:
    for name, value in summary.items():
        if isinstance(value, dict):
            typer.echo(f"{indent}{name}:")
            _print_summary(value, indent + "  ")
        else:
            typer.echo(f"{indent}{name}: {value}")


def _made(what: str, following: str | None = None) -> None:
    typer.echo(what)
    if following:
        typer.echo(f"Next: {following}")
