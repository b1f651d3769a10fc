"""`clear-ir queries`: questions for passages that have none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from clear_ir.cli.next_command import after_translate
from clear_ir.cli.output import counted, print_json, print_result
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import AsJson, Overwrite, Recipe, Remote
from clear_ir.encode.settings import EncodingSettings
from clear_ir.translate.settings import EndpointSettings, QuerySettings


def _show_prompt(show: bool) -> None:
    if show:
        from clear_ir.translate.prompts import shipped_prompt

        typer.echo(shipped_prompt("queries"), nl=False)
        raise typer.Exit


@takes(queries=QuerySettings, endpoint=EndpointSettings, encode=EncodingSettings)
def queries(
    passages: Annotated[Path, typer.Option(help="English passages: a file with one a line, or a collection.")],
    to: Annotated[str, typer.Option(help="Languages of the questions beside English. Put commas between several.")],
    endpoint: Annotated[
        str, typer.Option(help="URL of an OpenAI-compatible chat endpoint, such as http://localhost:8000/v1.")
    ],
    model: Annotated[str, typer.Option(help="Name of the endpoint's model.")],
    out: Annotated[Path, typer.Option(help="File of parallel rows to make.")],
    flags: Flags,
    encoder: Annotated[
        str | None,
        typer.Option(help="Encoder that has to find the passage of a question: model folder, hub name, or 'minilm'."),
    ] = None,
    recipe: Recipe = None,
    as_json: AsJson = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
    show_prompt: Annotated[
        bool,
        typer.Option("--show-prompt", callback=_show_prompt, is_eager=True, help="Print the prompt that ships."),
    ] = False,
) -> None:
    """Write questions for passages, in English and in other languages."""
    from clear_ir.data.rows import RejectedRecords
    from clear_ir.encode.cache import default_cache
    from clear_ir.encode.model_loading import load_encoder
    from clear_ir.encode.text_encoder import TextEncoder
    from clear_ir.recipes.recipe import load_recipe
    from clear_ir.translate.chat_endpoint import ChatEndpoint
    from clear_ir.translate.languages import target_languages
    from clear_ir.translate.output import hold_outputs, rejected_file, write_outputs
    from clear_ir.translate.passage_ranks import PassageRanks
    from clear_ir.translate.quality import find_faults
    from clear_ir.translate.question_rows import read_passages, write_questions
    from clear_ir.translate.question_writer import QuestionWriter, read_prompt
    from clear_ir.translate.samples import side_by_side
    from clear_ir.translate.store import TranslationStore

    chosen = load_recipe(recipe, flags)
    settings, encode = chosen.queries, chosen.encode
    langs = target_languages(to)
    notes: list[str] = []
    with hold_outputs(out, overwrite):
        chat = ChatEndpoint(endpoint, model, chosen.endpoint)
        writer = QuestionWriter(chat, settings.num_queries, read_prompt(settings.prompt))
        corpus = read_passages(passages, notes)
        ranks = None
        if encoder:
            # Before anything is paid for: an encoder that cannot be loaded is found now.
            text_encoder = TextEncoder.from_settings(load_encoder(encoder, trust_remote_code), encode)
            ranks = PassageRanks(text_encoder, [passage.text for passage in corpus])
        store = TranslationStore(None if encode.no_cache else encode.cache or default_cache("translations"))
        judge = None if settings.no_checks else find_faults
        made = write_questions(corpus, langs, writer, store, settings, judge, ranks)
        how = {
            "writer": {lang: writer.identity(lang) for lang in langs},
            "encoder": encoder,
            "top_k": settings.top_k if encoder else None,
            "passages read": len(corpus),
        }
        document = write_outputs(out, made, RejectedRecords(), how, "clear-ir queries")
    tokens = chat.spending.spent
    if as_json:
        print_json({**document, "notes": notes, "known": made.num_known, "tokens": tokens, "out": str(out)})
        return
    for note in notes:
        typer.echo(note)
    typer.echo(side_by_side(made.rows))
    if not encoder:
        typer.echo("The questions were not checked by an encoder; --encoder leaves out those that fit other passages.")
    _print_counts(document["languages"], made.num_known)
    typer.echo(f"Tokens spent: {tokens:,}.")
    if made.rejected:
        typer.echo(f"Left out: {len(made.rejected)}; {rejected_file(out)} says why.")
    print_result(f"{counted(len(made.rows), 'parallel row')}: {out}", after_translate(out))


def _print_counts(languages: Mapping[str, Any], num_known: Mapping[str, int]) -> None:
    """Print what was kept and left out.

    Args:
        languages: Counts by language.
        num_known: By language, the passages whose questions an earlier run had written.
    """
    for lang, counts in languages.items():
        known = f", {num_known[lang]} of them by an earlier run" if num_known[lang] else ""
        asked = counted(counts["texts"], "passage")
        typer.echo(f"{lang}: {counted(counts['rows'], 'question')} kept, for {asked}{known}.")
        for reason, count in counts["left out"].items():
            typer.echo(f"{lang}: {count} left out: {reason}.")
