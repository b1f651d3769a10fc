"""``clear-ir prepare``: a data set in, rows to train on and a collection to test on out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from clear_ir.data.files import InputError

prepare = typer.Typer(
    help="Data set -> rows.jsonl to train on and a collection to test on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Out = Annotated[Path, typer.Option(help="What to make.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier output of the same command.")]
Strict = Annotated[bool, typer.Option("--strict", help="Make a row with a null or empty field an error.")]
Langs = Annotated[str | None, typer.Option(help="Languages, separated by commas.")]
AllLangs = Annotated[str, typer.Option(help="Languages, separated by commas; or all.")]
Map = Annotated[list[str] | None, typer.Option("--map", help="OURS=THEIRS: a column under another name.")]
Judge = Annotated[str, typer.Option(help="What the collection is: test, or dev for choosing settings.")]


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
    from clear_ir.prepare.afriqa import load_afriqa

    _write_prepared(
        load_afriqa(data, parse_langs(langs), _one_of("judge", judge, "test", "dev")), out, strict, overwrite
    )


@prepare.command("xquad")
def prepare_xquad(
    data: Annotated[str, typer.Option(help="Folder with xquad.en.json and one file a language, or google/xquad.")],
    langs: Annotated[str, typer.Option(help="Languages, separated by commas, such as de,zh; or all.")],
    out: Out,
    judge: Annotated[str, typer.Option(help="test, dev, or all: every question, nothing to train on.")] = "test",
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """XQuAD: questions and passages, parallel in all languages."""
    from clear_ir.prepare.xquad import load_xquad

    judged = _one_of("judge", judge, "test", "dev", "all")
    _write_prepared(load_xquad(data, parse_langs(langs), judged), out, strict, overwrite)


@prepare.command("xquad-r")
def prepare_xquad_r(
    data: Annotated[Path, typer.Option(help="Folder with en.json and one file a language.")],
    langs: AllLangs,
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """XQuAD-R (LAReQA): XQuAD's questions against single sentences; test only."""
    from clear_ir.prepare.xquad_r import load_xquad_r

    _write_prepared(load_xquad_r(data, parse_langs(langs)), out, False, overwrite)


@prepare.command("belebele")
def prepare_belebele(
    data: Annotated[str, typer.Option(help="Folder with eng_Latn.jsonl and others, or facebook/belebele.")],
    langs: Annotated[str, typer.Option(help="FLORES codes, separated by commas, such as hau_Latn; or all.")],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Belebele: questions and passages, parallel in 122 languages; test only."""
    from clear_ir.prepare.belebele import load_belebele

    _write_prepared(load_belebele(data, parse_langs(langs)), out, False, overwrite)


@prepare.command("mlqa")
def prepare_mlqa(
    data: Annotated[str, typer.Option(help="Folder with test-context-en-question-en.json and others, or a hub name.")],
    langs: AllLangs,
    out: Out,
    judge: Judge = "test",
    overwrite: Overwrite = False,
) -> None:
    """MLQA: questions and contexts in seven languages; test only."""
    from clear_ir.prepare.mlqa import load_mlqa

    _write_prepared(load_mlqa(data, parse_langs(langs), _one_of("judge", judge, "test", "dev")), out, False, overwrite)


@prepare.command("xor-tydi")
def prepare_xor_tydi(
    data: Annotated[Path, typer.Option(help="gp_squad_dev_data.json, or its folder.")],
    langs: AllLangs,
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """XOR-TyDi's gold paragraphs: questions in seven languages, English passages; test only."""
    from clear_ir.prepare.xor_tydi import load_xor_tydi

    _write_prepared(load_xor_tydi(data, parse_langs(langs)), out, False, overwrite)


@prepare.command("ntrex")
def prepare_ntrex(
    data: Annotated[Path, typer.Option(help="Folder with newstest2019-src.eng.txt and the translations.")],
    langs: AllLangs,
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """NTREX-128: a sentence searches its translation; to test on, or to distil on."""
    from clear_ir.prepare.ntrex import load_ntrex

    _write_prepared(load_ntrex(data, parse_langs(langs)), out, False, overwrite)


@prepare.command("atlas")
def prepare_atlas(
    out: Out,
    langs: Annotated[str, typer.Option(help="Languages, separated by commas.")] = "de,sw",
    judge: Judge = "test",
    overwrite: Overwrite = False,
) -> None:
    """Atlas: the small data set that ships with clear-ir."""
    from clear_ir.prepare.atlas import load_atlas

    _write_prepared(load_atlas(parse_langs(langs), _one_of("judge", judge, "test", "dev")), out, False, overwrite)


@prepare.command("jsonl")
def prepare_jsonl(
    rows: Annotated[Path, typer.Option(help="JSON Lines, CSV, Parquet or a saved datasets folder.")],
    out: Out,
    mapping: Map = None,
    lang: Annotated[str | None, typer.Option(help="Language of all rows, where no column says it.")] = None,
    langs: Langs = None,
    test_share: Annotated[float, typer.Option(help="Share of the passages held out to test on.")] = 0.2,
    seed: int = 0,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Your own parallel data: query, passage, cross_query (and lang, id, passage_id)."""
    from clear_ir.prepare.parallel import load_parallel

    if not 0 <= test_share < 1:
        raise InputError(f"--test-share is {test_share}; give a share from 0 to below 1.")
    prepared = load_parallel(
        rows, parse_mapping(mapping), lang, parse_langs(langs) if langs else None, test_share, seed
    )
    _write_prepared(prepared, out, strict, overwrite)


def _write_prepared(prepared: Any, out: Path, strict: bool, overwrite: bool) -> None:
    from collections import Counter
    from dataclasses import asdict

    from clear_ir.data.collection import write_collection
    from clear_ir.data.files import new_folder, write_json, write_jsonl
    from clear_ir.data.rows import write_parallel_rows

    rejected = prepared.rejected.reasons
    if strict:
        prepared.rejected.raise_first()
    with new_folder(out, "prepared.json", overwrite) as partial:
        if prepared.rows:
            write_parallel_rows(partial / "rows.jsonl", prepared.rows)
        if prepared.translations:
            write_jsonl(partial / "translations.jsonl", map(asdict, prepared.translations))
        if prepared.collection:
            write_collection(partial / "collection", prepared.collection)
        langs = dict(Counter(row.lang for row in prepared.rows))
        summary = {"rows by language": langs, "left out": len(rejected), "notes": prepared.notes}
        write_json(partial / "prepared.json", summary)
    if rejected:
        typer.echo(f"{len(rejected)} rows left out: {some_of(f'{where} ({reason})' for where, reason in rejected)}")
    for note in prepared.notes:
        typer.echo(note)
    if collection := prepared.collection:
        directions = some_of(map(str, collection.directions), most=9)
        sizes = f"{len(collection.queries)} queries, {len(collection.passages)} passages"
        typer.echo(f"Collection: {out / 'collection'} ({sizes}; {directions})")
    if prepared.translations:
        typer.echo(f"Translations, for train --translations: {out / 'translations.jsonl'}")
    if not prepared.rows:
        print_made("No training rows.", f"clear-ir evaluate --model MODEL --data {out / 'collection'} --out RESULTS")
        return
    counts = ", ".join(f"{count} {lang}" for lang, count in langs.items())
    print_made(
        f"Training rows: {out / 'rows.jsonl'} ({counts})",
        f"clear-ir mine --model MODEL --rows {out / 'rows.jsonl'} --out {out / 'train.jsonl'}",
    )


def parse_mapping(pairs: Iterable[str] | None) -> dict[str, str]:
    """Our column names to the user's, from ``--map`` flags."""
    return parse_pairs("--map", pairs)


def parse_pairs(flag: str, pairs: Iterable[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` flags as a dictionary; others are refused."""
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise InputError(f"{flag} {pair!r} is not of the form NAME=VALUE.")
        found[name] = value
    return found


def parse_langs(text: str) -> list[str]:
    """Language codes between commas or spaces, each once."""
    found = list(dict.fromkeys(text.replace(",", " ").split()))
    if not found:
        raise InputError("No language is named; give codes separated by commas.")
    return found


def _one_of(flag: str, value: str, *choices: str) -> Any:
    if value not in choices:
        raise InputError(f"--{flag} is {value!r}; choose among {', '.join(choices)}.")
    return value


def some_of(items: Iterable[str], most: int = 3) -> str:
    """The first few of many, and how many more."""
    shown = list(items)
    return "; ".join(shown[:most]) + (f"; and {len(shown) - most} more" if len(shown) > most else "")


def print_made(what: str, following: str | None = None) -> None:
    """Say what was made, where, and the next command."""
    typer.echo(what)
    if following:
        typer.echo(f"Next: {following}")


def only_split(data: Path) -> str:
    """The split of a collection when none is named: test if it is there, else the only one."""
    found = sorted(path.stem for path in (data / "qrels").glob("*.tsv"))
    if "test" in found or not found:
        return "test"
    if len(found) > 1:
        raise InputError(f"{data}/qrels has the splits {', '.join(found)}; choose one with --split.")
    return found[0]


def print_summary(summary: dict[str, Any], indent: str = "") -> None:
    """Print nested names and values, one a line."""
    for name, value in summary.items():
        if isinstance(value, dict):
            typer.echo(f"{indent}{name}:")
            print_summary(value, indent + "  ")
        else:
            typer.echo(f"{indent}{name}: {value}")
