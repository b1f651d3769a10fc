"""`clear-ir translate`: English queries into other languages, for who has no translations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from clear_ir.cli.next_command import after_translate
from clear_ir.cli.output import counted, print_json, print_result
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import AsJson, Map, Overwrite, Recipe, Remote, parse_mapping
from clear_ir.translate.settings import EndpointSettings, TranslationSettings


@takes(translate=TranslationSettings, endpoint=EndpointSettings)
def translate(
    rows: Annotated[Path, typer.Option(help="File with English queries and their passages.")],
    to: Annotated[str, typer.Option(help="Languages to translate into. Put commas between several.")],
    out: Annotated[Path, typer.Option(help="File of parallel rows to make.")],
    flags: Flags,
    model: Annotated[
        str | None,
        typer.Option(
            help="Marian (Opus-MT), NLLB, M2M-100, MADLAD-400 or SeamlessM4T: model folder or hub name. "
            "dictionary:FILE: words are replaced by a word list, TSV or FreeDict."
        ),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(help="Program that reads lines and writes their translations; {lang} in it becomes the language."),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="URL of an OpenAI-compatible chat endpoint, such as http://localhost:8000/v1."),
    ] = None,
    passages: Annotated[
        bool,
        typer.Option("--passages", help="Translate the passages, too, so that every direction is trained and tested."),
    ] = False,
    recipe: Recipe = None,
    mapping: Map = None,
    as_json: AsJson = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Translate English queries, so that their rows can be mined and trained on."""
    from clear_ir.encode.cache import default_cache
    from clear_ir.recipes.recipe import load_recipe
    from clear_ir.translate.english_rows import read_english_rows
    from clear_ir.translate.judges import checks_of, judge_for
    from clear_ir.translate.kinds import load_translator
    from clear_ir.translate.languages import target_languages
    from clear_ir.translate.output import hold_outputs, rejected_file, write_outputs
    from clear_ir.translate.samples import side_by_side
    from clear_ir.translate.store import TranslationStore
    from clear_ir.translate.translation import translate_passages, translate_rows
    from clear_ir.translate.translator import Choice

    chosen = load_recipe(recipe, flags)
    settings = chosen.translate
    langs = target_languages(to)
    notes: list[str] = []
    with hold_outputs(out, overwrite):
        english, unread = read_english_rows(rows, parse_mapping(mapping), notes)
        choice = Choice(model or "", settings, command, endpoint, chosen.endpoint, trust_remote_code)
        translator = load_translator(choice)
        store = TranslationStore(None if settings.no_cache else settings.cache or default_cache("translations"))
        judge = judge_for(choice, translator, store)
        made = translate_rows(english, langs, translator, store, judge)
        made.check_usable()
        if passages:
            translate_passages(made, translator, store, judge)
        how = {
            "translator": {lang: translator.identity(lang) for lang in langs},
            "checks": checks_of(choice),
            "rows read": len(english),
        }
        document = write_outputs(out, made, unread, how)
    if as_json:
        print_json({**document, "notes": notes, "known": made.num_known, "out": str(out)})
        return
    for note in notes:
        typer.echo(note)
    typer.echo(side_by_side(made.rows))
    for lang, counts in document["languages"].items():
        _print_counts(lang, counts, made.num_known[lang])
    if tokens := getattr(translator, "tokens_spent", 0):
        typer.echo(f"Tokens spent: {tokens:,}.")
    if left_out := len(made.rejected) + len(unread.reasons):
        typer.echo(f"Left out: {left_out}; {rejected_file(out)} says why.")
    print_result(f"{counted(len(made.rows), 'parallel row')}: {out}", after_translate(out))


def _print_counts(lang: str, counts: Mapping[str, Any], num_known: int) -> None:
    """Say what was translated into a language, and what was left out.

    Args:
        lang: The language.
        counts: What `clear_ir.translate.translation.TranslatedRows.counts` says of it.
        num_known: Queries that an earlier run had translated.
    """
    known = f", {num_known} of them by an earlier run" if num_known else ""
    typer.echo(f"{lang}: {counted(counts['texts'], 'query', 'queries')} translated{known}.")
    for reason, count in counts["left out"].items():
        typer.echo(f"{lang}: {counted(count, 'translation')} left out: {reason}.")
    if "passages" in counts:
        rows = f"{counts['rows with cross_passage']} of {counted(counts['rows'], 'row')}"
        typer.echo(f"{lang}: {counted(counts['passages'], 'passage')} translated; {rows} have a cross_passage.")
        for reason, count in counts["passages left out"].items():
            typer.echo(f"{lang}: {counted(count, 'passage')} left in English: {reason}.")
