"""`clear-ir train`: training rows in, a model folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clear_ir.cli.next_command import after_train
from clear_ir.cli.output import counted, print_result
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import Map, ModelOrRecipe, Overwrite, Recipe, Remote, model_name, parse_mapping
from clear_ir.data.languages import UNKNOWN
from clear_ir.encode.settings import EncodingSettings
from clear_ir.train.settings import TrainingSettings


@takes(train=TrainingSettings)
def train(
    rows: Annotated[Path, typer.Option(help="File of training rows, as clear-ir mine writes it.")],
    out: Annotated[Path, typer.Option(help="Model folder to make.")],
    flags: Flags,
    model: ModelOrRecipe = None,
    recipe: Recipe = None,
    mapping: Map = None,
    translations: Annotated[
        Path | None,
        typer.Option(help="More texts for distillation: a file with columns english and translation (and lang)."),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="With --side queries, more passages to choose among: a file with a column text (and _id, title, "
            "lang), or a collection."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run that has the same --out.")
    ] = False,
    with_samples: Annotated[
        bool,
        typer.Option(
            "--with-samples",
            help="Show the first rows on the model card. Without it the model folder has no text of the rows.",
        ),
    ] = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Train an encoder with the CLEAR loss or a baseline."""
    from clear_ir.data.corpus import read_corpus
    from clear_ir.data.rows import read_translations
    from clear_ir.data.training_rows import read_training_rows
    from clear_ir.encode.text_encoder import cache_of
    from clear_ir.recipes.recipe import load_recipe
    from clear_ir.train.corpus import PassageSource
    from clear_ir.train.processes import leave_processes
    from clear_ir.train.run import train_model

    chosen = load_recipe(recipe, flags)
    base = model_name(model, chosen.model)
    training_rows = read_training_rows(rows, parse_mapping(mapping))
    for note in training_rows.notes:
        typer.echo(note)
    try:
        log = train_model(
            base,
            training_rows,
            chosen.train,
            out,
            overwrite=overwrite,
            resume=resume,
            trust_remote_code=trust_remote_code,
            translations=read_translations(translations) if translations else [],
            passages=PassageSource(read_corpus(corpus) if corpus else None, cache_of(chosen.encode)),
            with_samples=with_samples,
        )
    finally:
        leave_processes()
    if corpus:
        _print_corpus(log[0]["corpus"], corpus.name)
    _print_log(log, chosen.train)
    # Only a recipe that sets how texts are encoded matters when the model is evaluated.
    encoding = recipe if chosen.encode != EncodingSettings() else None
    used = {"recipe": encoding, "trust_remote_code": trust_remote_code}
    print_result(f"Model, recipe and training log: {out}", after_train(out, rows, used))


def _print_corpus(counts: dict[str, Any], name: str) -> None:
    """Say what the corpus gave."""
    from clear_ir.mine.pools import CorpusCounts

    typer.echo(CorpusCounts(**counts).sentence(name))


def _print_log(log: list[dict[str, Any]], settings: TrainingSettings) -> None:
    """Say what was trained on, what the loss came to, and whether the encoder became better."""
    from clear_ir.train.dimensions import describe_dimensions
    from clear_ir.train.verdict import describe_verdict

    plan = log[0]
    if "distil_pairs" in plan:
        first, last = plan["distil_loss"]
        pairs, steps = plan["distil_pairs"], plan["distil_steps"]
        typer.echo(f"Distilled on {pairs} pairs in {counted(steps, 'step')}: loss from {first:.2g} to {last:.2g}.")
    by_lang = plan["rows_by_language"].items()
    rows = ", ".join(f"{count} {lang}" if lang != UNKNOWN else str(count) for lang, count in by_lang)
    typer.echo(f"An epoch: {counted(plan['batches'], 'batch', 'batches')} of {rows} rows.")
    if left_out := plan["rows_left_out"]:
        were = "row was" if left_out == 1 else "rows were"
        typer.echo(f"{left_out} {were} left out of the first epoch: every batch already has its query or passage.")
    if "passage_languages" in plan:
        typer.echo(plan["passage_languages"])
    if "scale" in plan:
        typer.echo(f"Scale of the scores: {plan['scale']:g}, with which the encoder fits the English rows best.")
    for sentence in (plan["vocabulary"], plan.get("adapter")):
        if sentence:
            typer.echo(sentence)
    losses = [entry["loss"] for entry in log if "loss" in entry]
    typer.echo(f"Loss from {losses[0]:.3f} to {losses[-1]:.3f} in {counted(log[-1]['step'], 'step')}.")
    for sentence in describe_verdict(plan["dev"], settings.loss, settings.max_english_loss):
        typer.echo(sentence)
    if "dimensions" in plan:
        typer.echo(describe_dimensions(plan["dimensions"]))
