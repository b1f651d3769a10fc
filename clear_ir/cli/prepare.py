"""`clear-ir prepare`: a data set in, rows to train on and a collection to test on out.

There is one command for each registered data set; its options come from the data set.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clear_ir.cli.next_command import after_prepare
from clear_ir.cli.output import counted, join_first, print_result
from clear_ir.cli.settings_as_flags import Commands, options_of, values_of
from clear_ir.cli.shared_options import Overwrite
from clear_ir.data.files import InputError
from clear_ir.encode.settings import EncodingSettings

if TYPE_CHECKING:
    from clear_ir.prepare.prepared import Prepared
    from clear_ir.prepare.registry import DataSet

Out = Annotated[Path, typer.Option(help="Folder to make.")]
Encode = Annotated[
    str | None,
    typer.Option(
        help="Also encode all texts with this model, into the cache: a model folder, hub name, or 'minilm'.",
        rich_help_panel="Encoding",
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Make rows that are left out, and what the data check finds, an error.")
]


class DataSetCommands(Commands):
    """The commands of `clear-ir prepare`. The registry is read when they are needed, not when the program starts."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the data sets."""
        from clear_ir.prepare.registry import data_sets

        return list(data_sets())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of one data set; None if there is no such data set."""
        from clear_ir.prepare.registry import find_data_set

        data_set = find_data_set(cmd_name)
        return command_of(data_set) if data_set else None


prepare = typer.Typer(
    cls=DataSetCommands,
    help="Data set -> rows.jsonl to train on and a collection to test on.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def command_of(data_set: DataSet) -> Any:
    """The command that prepares a data set."""

    def run(out: Path, strict: bool, overwrite: bool, encode: str | None, **given: Any) -> None:
        from clear_ir.recipes.recipe import load_recipe

        encoding = load_recipe(None, {"encode": values_of(EncodingSettings, given)}).encode
        if encode and encoding.no_cache:
            raise InputError("What is encoded here is for the cache; leave one of the two out.", "encode", "no_cache")
        prepared = data_set.prepare(values_of(data_set.options, given))
        write_prepared(prepared, out, strict, overwrite)
        if encode:
            _encode(prepared, encode, encoding)
        _print_made(prepared, out)

    parameter = inspect.Parameter
    parameters = [
        *options_of(data_set.options),
        parameter("encode", parameter.KEYWORD_ONLY, annotation=Encode, default=None),
        *options_of(EncodingSettings, optional=True),
        parameter("out", parameter.KEYWORD_ONLY, annotation=Out),
        parameter("strict", parameter.KEYWORD_ONLY, annotation=Strict, default=False),
        parameter("overwrite", parameter.KEYWORD_ONLY, annotation=Overwrite, default=False),
    ]
    # Typer makes options from a function's signature and annotations, so this one gets those of the data set.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command(
        data_set.name,
        help=f"{data_set.title}: {data_set.what}.\n\n{describe(data_set)}",
        short_help=f"{data_set.title}: {data_set.what}",
        epilog=f"Example: clear-ir prepare {data_set.name} {data_set.example}",
    )(run)
    return typer.main.get_command(app)


def _encode(prepared: Prepared, model: str, encoding: EncodingSettings) -> None:
    from clear_ir.encode.model_loading import load_encoder
    from clear_ir.encode.text_encoder import TextEncoder
    from clear_ir.prepare.encoding import encode_prepared

    encoder = TextEncoder.from_settings(load_encoder(model), encoding)
    counts = encode_prepared(encoder, prepared)
    made = f"{counts['query']} distinct queries and {counts['passage']} passages"
    typer.echo(f"Encoded by {model}: {made}, kept in {encoder.cache}")


def describe(data_set: DataSet) -> str:
    """What a data set offers and where it comes from, in a few sentences."""
    sentences = ["It has rows to train on." if data_set.rows else "It has no rows to train on."]
    sentences.append(f"Directions: {data_set.directions}.")
    if data_set.source:
        sentences.append(f"Files: {data_set.source}.")
    if data_set.licence:
        sentences.append(f"Licence: {data_set.licence}.")
    return " ".join(sentences)


def write_prepared(prepared: Prepared, out: Path, strict: bool = False, overwrite: bool = False) -> None:
    """Write rows, collection and translations into a folder, and print what was left out and what was noticed.

    Args:
        prepared: What a loader returned.
        out: The folder to make.
        strict: Whether a record that was left out, or a finding of the data check, is an error.
        overwrite: Whether to replace earlier output.

    Raises:
        InputError: If `out` is taken, or `strict` and a record was left out or the data check found something.
    """
    from collections import Counter
    from dataclasses import asdict

    from clear_ir.data.collection_files import write_collection
    from clear_ir.data.output_files import new_folder, write_json, write_jsonl
    from clear_ir.data.rows import write_parallel_rows
    from clear_ir.prepare.data_check import check_data

    rejected = prepared.rejected.reasons
    if strict:
        prepared.rejected.raise_first()
    check = check_data(prepared)
    if strict:
        check.raise_first()
    with new_folder(out, "prepared.json", overwrite) as partial:
        if prepared.rows:
            write_parallel_rows(partial / "rows.jsonl", prepared.rows)
        if prepared.translations:
            write_jsonl(partial / "translations.jsonl", map(asdict, prepared.translations))
        for place, collection in prepared.collections.items():
            write_collection(partial / place, collection)
        summary = {
            "rows by language": Counter(row.lang for row in prepared.rows),
            "left out": len(rejected),
            "notes": prepared.notes,
        }
        summary["check"] = check.as_json()
        write_json(partial / "prepared.json", summary)
    if rejected:
        places = join_first(f"{where} ({reason})" for where, reason in rejected)
        typer.echo(f"{counted(len(rejected), 'row')} left out: {places}")
    for note in (*prepared.notes, *check.lines()):
        typer.echo(note)


def _print_made(prepared: Prepared, out: Path) -> None:
    """Say what was made, with the rows of each language, and the next command."""
    from collections import Counter

    for place, collection in prepared.collections.items():
        directions = join_first(map(str, collection.directions), most=9)
        sizes = f"{len(collection.queries)} queries, {len(collection.passages)} passages"
        name = "Collection" if collection is prepared.collection else "Dev collection, to choose settings by"
        typer.echo(f"{name}: {out / place} ({sizes}; {directions})")
    if prepared.translations:
        typer.echo(f"Translations, for train --translations: {out / 'translations.jsonl'}")
    if not prepared.rows:
        print_result("No training rows.", after_prepare(out, has_rows=False))
        return
    counts = Counter(row.lang for row in prepared.rows)
    by_lang = ", ".join(f"{count} {lang}" for lang, count in counts.items())
    print_result(f"Training rows: {out / 'rows.jsonl'} ({by_lang})", after_prepare(out))
