"""Parallel data of the user: English query, English passage, query in another language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from clear_ir.data.collection import Asked, Text, collect_questions, translated_passage
from clear_ir.data.files import InputError
from clear_ir.data.rows import ParallelRow, read_parallel_rows
from clear_ir.data.splits import hold_out
from clear_ir.data.texts import text_key
from clear_ir.prepare.languages import choose_langs
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, register


def load_rows(
    rows: Annotated[Path, Field(description="File of JSON, CSV, TSV, Excel or Parquet, or a saved datasets folder.")],
    mapping: Annotated[
        Mapping[str, str] | None,
        Field(
            description="One of our columns and its name in the file, where it is not guessed right; repeat for more.",
            json_schema_extra={"flag": "--map"},
        ),
    ] = None,
    lang: Annotated[str | None, Field(description="Language of all rows, if no column says it.")] = None,
    langs: Annotated[Sequence[str], Field(description="Languages to keep; or all.")] = ("all",),
    test_share: Annotated[
        float, Field(ge=0, lt=1, description="Share of the passages held out to test on, with all questions on them.")
    ] = 0.2,
    dev_share: Annotated[
        float,
        Field(ge=0, lt=1, description="Share held out likewise to choose settings by, as for merge. 0: none."),
    ] = 0.0,
    seed: Annotated[int, Field(description="Chooses the passages to hold out.")] = 0,
) -> Prepared:
    """Load parallel rows and hold out a share of the passages to test on, and one to choose settings by.

    The file has the columns `query`, `passage` and `cross_query`, and may have `lang`, `id`, `passage_id` and
    `cross_passage`. Other names are guessed, see `clear_ir.data.column_names.choose_columns`.

    Returns:
        Rows, and two collections whose pool is all passages of the file, and their translations in the languages that
        are kept: test and dev. There is none where its share is 0. Nothing that one of them asks or answers is in the
        other or in the rows.

    Raises:
        InputError: If the file cannot be used, lacks a language, or nothing is left to train on.
    """
    notes: list[str] = []
    parallel, rejected = read_parallel_rows(rows, mapping, lang, notes)
    langs = list(choose_langs(langs, sorted({row.lang for row in parallel}), f"{rows} has no rows in language"))
    chosen = [row for row in parallel if row.lang in langs]
    passages = _passages(rows, parallel, chosen, notes)
    train, test = _hold_out(chosen, test_share, seed)
    train, dev = _hold_out(train, min(1.0, dev_share / (1 - test_share)), seed)
    if not train:
        raise InputError(
            f"{rows}: nothing is left to train on after holding out {test_share + dev_share:.0%}, because rows that "
            "share a question or a passage are held out together; hold out less, or hold out nothing and test on other "
            "data.",
            "test_share",
            *(["dev_share"] if dev_share else []),
        )
    collections = {
        split: collect_questions(rows.stem, passages.values(), map(_asked, held), split) if held else None
        for split, held in (("test", test), ("dev", dev))
    }
    return Prepared(
        train,
        collections["test"],
        rejected,
        notes,
        dev=collections["dev"],
        source_rows=chosen,
        places=rejected.places,
    )


def _passages(
    file: Path, rows: Sequence[ParallelRow], chosen: Sequence[ParallelRow], notes: list[str]
) -> dict[str, Text]:
    """The passages of all rows in English, and those of chosen rows in their languages, by id."""
    passages: dict[str, Text] = {}
    num_other = 0
    english = [Text(row.passage_id, row.passage, "en") for row in rows]
    translated = [
        translated_passage(row.passage_id, row.lang, row.cross_passage) for row in chosen if row.cross_passage
    ]
    for passage in english + translated:
        first = passages.setdefault(passage.id, passage)
        if text_key(first.text) == text_key(passage.text):
            continue
        if first.lang == "en" or first.parallel_id != passage.parallel_id:
            raise InputError(
                f"{file}: the passage_id {first.id!r} is used for two different passages; make ids unique."
            )
        num_other += 1
    if num_other:
        notes.append(
            f"Rows whose passage has another translation in an earlier row, which is the one in the pool: {num_other}."
        )
    return passages


def _hold_out(rows: Sequence[ParallelRow], share: float, seed: int) -> tuple[list[ParallelRow], list[ParallelRow]]:
    return hold_out(rows, share, seed, lambda row: (row.passage_id, row.query))


def _asked(row: ParallelRow) -> Asked:
    return Asked(row.id, row.query, row.passage_id, row.cross_query, row.lang)


register(
    DataSet(
        name="rows",
        aliases=("jsonl",),
        title="Your data",
        what="query, passage, cross_query (and cross_passage, lang, ids) from JSON, CSV, TSV, Excel or Parquet",
        rows=True,
        directions="q-en.p-en, q-L.p-en; with cross_passage all k x k",
        source="",
        licence="",
        example="--rows pairs.csv --map query=question --map cross_query=question_sw --lang sw --out data",
        load=load_rows,
    )
)
