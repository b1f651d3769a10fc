"""`clear-ir align`: an encoder in, an encoder with aligned languages out, without training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clear_ir.align.settings import AlignSettings
from clear_ir.cli.next_command import after_align
from clear_ir.cli.output import counted, print_json, print_result
from clear_ir.cli.settings_as_flags import Flags, takes
from clear_ir.cli.shared_options import (
    AsJson,
    Map,
    ModelOrRecipe,
    Overwrite,
    Recipe,
    Remote,
    Split,
    default_split,
    model_name,
    parse_mapping,
)
from clear_ir.data.files import InputError
from clear_ir.data.languages import language_tag
from clear_ir.encode.settings import EncodingSettings

if TYPE_CHECKING:
    from clear_ir.align.alignment import Alignment
    from clear_ir.align.fitting import Fitted
    from clear_ir.align.maps import AffineMap

Side = Literal["query", "passage"]


@takes(align=AlignSettings, encode=EncodingSettings)
def align(
    out: Annotated[Path, typer.Option(help="Model folder to make; with --apply the .npy file.")],
    flags: Flags,
    model: ModelOrRecipe = None,
    rows: Annotated[
        Path | None, typer.Option(help="Parallel rows or training rows; their queries and translations are fitted on.")
    ] = None,
    translations: Annotated[
        Path | None, typer.Option(help="More pairs: a file with columns english, translation and lang.")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Texts of single languages: a file with columns text and lang.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Collection to choose by: a dev split, not the test split. Default: the rows, part by part."),
    ] = None,
    split: Split = None,
    apply: Annotated[
        Path | None,
        typer.Option(help="Instead of fitting: a .npy file of vectors of the base, moved as the aligned --model does."),
    ] = None,
    side: Annotated[
        Side | None,
        typer.Option(help="Only with --apply: what the vectors are of. Default: passages; with --lang, queries."),
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option(help="Only with --apply: the language of the vectors, queries; its own map moves them."),
    ] = None,
    recipe: Recipe = None,
    mapping: Map = None,
    as_json: AsJson = False,
    trust_remote_code: Remote = False,
    overwrite: Overwrite = False,
) -> None:
    """Align the languages of an encoder without training: maps of its vectors, fitted in seconds."""
    from clear_ir.recipes.recipe import load_recipe

    chosen = load_recipe(recipe, flags)
    name = model_name(model, chosen.model)
    inputs = (rows, translations, texts, data)
    if apply is not None:
        if any(inputs):
            raise InputError(
                "--apply moves vectors and fits nothing; leave out --rows, --translations, --texts, --data."
            )
        _apply(apply, Path(name), side or ("query" if lang else "passage"), lang, out, overwrite)
        return
    if lang is not None:
        raise InputError("--lang says what language vectors are in that --apply moves; leave it out, or add --apply.")
    if not any(inputs[:3]):
        raise InputError("Give --rows ROWS, --translations FILE or --texts FILE to fit on, or --apply VECTORS.")
    from clear_ir.align.alignment import AlignmentTexts, align_model
    from clear_ir.data.collection_files import read_collection
    from clear_ir.data.rows import read_labelled_texts, read_translations
    from clear_ir.data.training_rows import read_training_rows

    given = AlignmentTexts(
        read_training_rows(rows, parse_mapping(mapping)) if rows else None,
        read_translations(translations) if translations else [],
        read_labelled_texts(texts) if texts else [],
        read_collection(data, split or default_split(data)) if data else None,
    )
    alignment = align_model(
        name,
        given,
        chosen.align,
        chosen.encode,
        out,
        overwrite=overwrite,
        trust_remote_code=trust_remote_code,
    )
    if as_json:
        print_json(_document(alignment, out))
        return
    for note in given.rows.notes if given.rows else []:
        typer.echo(note)
    _print_choice(alignment, chosen.align)
    if alignment.fitted is None:
        typer.echo(
            "No map makes the encoder better by the dev questions, so no folder was made: use the base as it is."
        )
        return
    used = {"recipe": recipe, "trust_remote_code": trust_remote_code}
    print_result(f"Model, align.json and align.safetensors: {out}", after_align(out, rows, data, used))


def _apply(source: Path, folder: Path, side: Side, lang: str | None, out: Path, overwrite: bool) -> None:
    from clear_ir.align.model_folder import read_alignment
    from clear_ir.align.stored_vectors import move_vectors

    document, maps, by_language = read_alignment(folder)
    of_side = maps.query if side == "query" else maps.passage
    tag = language_tag(lang, "--lang", "lang") if lang else None
    if tag is not None:
        of_side = _map_of_language(by_language, tag, side, folder)
    elif of_side is None:
        other = "passages" if side == "passage" else "queries"
        raise InputError(f"{folder} leaves {other} where the base has them; use their vectors as they are.", "side")
    count = move_vectors(source, out, of_side, overwrite)
    moved_by = f"the map of {tag}" if tag else document["method"]
    print_result(f"{counted(count, 'vector')} moved by {moved_by}: {out}")


def _map_of_language(by_language: dict[str, AffineMap], tag: str, side: Side, folder: Path) -> AffineMap:
    if side != "query":
        raise InputError("The maps of single languages are for queries, and passages stay; set side to query.", "side")
    if tag not in by_language:
        known = f"it has {', '.join(by_language)}" if by_language else "it has none"
        raise InputError(
            f"{folder} has no map for the language {tag}: {known}; align on pairs in that language.", "lang"
        )
    return by_language[tag]


def _print_choice(alignment: Alignment, settings: AlignSettings) -> None:
    """Print what each method would give, and what is worth knowing."""
    from clear_ir.align.alignment import FEW_DEV_QUESTIONS
    from clear_ir.report.tables import Table

    choice = alignment.choice
    typer.echo(f"Fitted on {', '.join(f'{count} {lang}' for lang, count in alignment.counts.items())} texts.")
    head = ["method", "settings", "English", "monolingual", "cross-lingual", "worst", "Complete@10"]
    rows = [_row(fit, fit is alignment.fitted) for fit in (choice.base, *choice.tried)]
    typer.echo(Table(head, rows, num_names=2).markdown())
    typer.echo(
        f"Means of nDCG@10 x 100 on {counted(alignment.num_questions, 'dev question')}. * the best across languages "
        f"among those that lose at most {settings.max_loss:g} points in English and in the monolingual mean."
        if settings.method == "auto"
        else f"Means of nDCG@10 x 100 on {counted(alignment.num_questions, 'dev question')}."
    )
    if (by_language := alignment.by_language) is not None:
        typer.echo(
            f"With the language of each query known (--apply --lang), and passages unmoved: cross-lingual "
            f"{100 * by_language.scores.cross_lingual:.1f}, strength {by_language.strength:g}."
        )
    for note in choice.notes:
        typer.echo(note)
    if alignment.num_questions < FEW_DEV_QUESTIONS:
        typer.echo(f"Fewer than {FEW_DEV_QUESTIONS} dev questions: the choice may be luck.")
    if alignment.fitted and alignment.fitted is not choice.best and choice.best is choice.base:
        typer.echo(f"Warning: by the dev questions {alignment.fitted.method} is not better than the base.")


def _row(fit: Fitted, is_chosen: bool) -> list[str]:
    scores = fit.scores
    values = (scores.english, scores.monolingual, scores.cross_lingual, scores.worst, scores.complete)
    settings = ", ".join(f"{name} {value:g}" for name, value in fit.chosen.items())
    return [
        f"{fit.method}{' *' if is_chosen else ''}",
        settings,
        *("" if v is None else f"{100 * v:.1f}" for v in values),
    ]


def _document(alignment: Alignment, out: Path) -> dict[str, object]:
    choice, fitted = alignment.choice, alignment.fitted
    return {
        "method": fitted.method if fitted else None,
        "tried": [{"method": fit.method, **fit.chosen, **asdict(fit.scores)} for fit in (choice.base, *choice.tried)],
        "by_language": asdict(alignment.by_language.scores) if alignment.by_language else None,
        "notes": choice.notes,
        "dev_questions": alignment.num_questions,
        "out": str(out) if fitted else None,
    }
