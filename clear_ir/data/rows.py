"""Parallel rows and training rows: their columns, read and checked, written.

A parallel row is an English query, its English passage and the query in the target language. A training
row adds hard negatives on both sides. This module owns the columns' names and order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clear_ir.data.collection import check_id
from clear_ir.data.files import InputError, hash_of, read_records, write_jsonl

PARALLEL_COLUMNS = ("id", "query", "passage", "passage_id", "cross_query", "lang")

#: Names of the example file of the CLEAR authors, beside the names of their README that we use.
AUTHORS_NAMES = {"en_question": "anchor", "paragraphs": "positive", "lang_question": "cross_anchor"}


@dataclass(frozen=True)
class ParallelRow:
    """An English query, its English passage and the query in the target language ``lang``."""

    id: str
    query: str
    passage: str
    passage_id: str
    cross_query: str
    lang: str


@dataclass(frozen=True)
class Translation:
    """An English text and its translation into the language ``lang``."""

    english: str
    translation: str
    lang: str = "xx"


@dataclass
class Rejected:
    """The records left out, each as where it stands and why."""

    reasons: list[tuple[str, str]] = field(default_factory=list)

    def add(self, where: str, reason: str) -> None:
        """Leave one record out."""
        self.reasons.append((where, reason))

    def raise_first(self) -> None:
        """Make the first record left out an error.

        Raises:
            InputError: If there is any.
        """
        for where, reason in self.reasons:
            raise InputError(f"{where}: {reason}; mend the row or take it out.")


def read_parallel_rows(
    path: Path, mapping: Mapping[str, str] | None = None, lang: str | None = None
) -> tuple[list[ParallelRow], Rejected]:
    """Read parallel rows from any file that :func:`clear_ir.data.files.read_records` reads.

    Args:
        path: The file.
        mapping: Our column name to the file's, for those that differ: ``{"query": "question_en"}``.
        lang: Language code of all rows, for a file without a column for it.

    Returns:
        The rows, and those left out for a missing, null or empty field.

    Raises:
        InputError: If a column is missing from the file, or two rows have one id.
    """
    names = {column: column for column in PARALLEL_COLUMNS} | dict(mapping or {})
    if unknown := set(names) - set(PARALLEL_COLUMNS):
        raise InputError(
            f"The mapping names {sorted(unknown)[0]!r}; map one of {', '.join(PARALLEL_COLUMNS)}.", "mapping"
        )
    rows: list[ParallelRow] = []
    rejected = Rejected()
    seen: dict[str, str] = {}
    needed = ["query", "passage", "cross_query"] + ([] if lang else ["lang"])
    for number, (where, record) in enumerate(read_records(path), start=1):
        missing = [names[column] for column in needed if names[column] not in record]
        if missing:
            lacks = f"{where}: no column {missing[0]!r} among {', '.join(map(str, record))}"
            if missing[0] == "lang":
                raise InputError(f"{lacks}; give the language of all rows, or map its column.", "lang", "mapping")
            raise InputError(f"{lacks}; map the column that holds it.", "mapping")
        texts = {column: _text(record[names[column]]) for column in needed}
        if empty := [names[column] for column, text in texts.items() if text is None]:
            rejected.add(where, f"{empty[0]!r} is null or empty")
            continue
        values = {column: text for column, text in texts.items() if text is not None}
        row_lang = lang or values["lang"]
        row_id = _text(record.get(names["id"])) or f"{row_lang}-{number}"
        check_id(row_id, f"{where}: the {names['id']}")
        if row_id in seen:
            raise InputError(f"{where}: the id {row_id!r} was already used in {seen[row_id]}; make ids unique.")
        seen[row_id] = where
        passage_id = _text(record.get(names["passage_id"])) or "p-" + hash_of(values["passage"])[:12]
        check_id(passage_id, f"{where}: the {names['passage_id']}")
        rows.append(
            ParallelRow(row_id, values["query"], values["passage"], passage_id, values["cross_query"], row_lang)
        )
    if not rows:
        raise InputError(f"{path} holds no usable row; each needs {', '.join(names[column] for column in needed)}.")
    return rows, rejected


def write_parallel_rows(path: Path, rows: Iterable[ParallelRow]) -> None:
    """Write parallel rows as JSON Lines."""
    write_jsonl(path, (asdict(row) for row in rows))


def read_translations(path: Path) -> list[Translation]:
    """Read translations from any file that :func:`clear_ir.data.files.read_records` reads.

    Args:
        path: The file, with columns ``english`` and ``translation``; ``lang`` may be missing.

    Returns:
        The translations.

    Raises:
        InputError: If a column is missing, a text is null or empty, or there is none.
    """
    found = []
    for where, record in read_records(path):
        texts = {}
        for column in ("english", "translation"):
            if column not in record:
                known = ", ".join(map(str, record))
                raise InputError(f"{where}: no column {column!r} among {known}; name the columns english, translation.")
            text = _text(record[column])
            if text is None:
                raise InputError(f"{where}: {column!r} is null or empty; mend the line or take it out.")
            texts[column] = text
        found.append(Translation(**texts, lang=_text(record.get("lang")) or "xx"))
    if not found:
        raise InputError(f"{path} holds no translation; give one English text and its translation a line.")
    return found


def training_columns(num_negatives: int, num_neg_queries: int) -> list[str]:
    """The columns that a CLEAR loss reads, in its order.

    Args:
        num_negatives: Negative passages a row.
        num_neg_queries: Negative target-language queries a row.

    Returns:
        ``["anchor", "positive", "negative_1", ..., "cross_anchor", "neg_query_1", ...]``.
    """
    negatives = [f"negative_{i}" for i in range(1, num_negatives + 1)]
    queries = [f"neg_query_{i}" for i in range(1, num_neg_queries + 1)]
    return ["anchor", "positive", *negatives, "cross_anchor", *queries]


@dataclass(frozen=True)
class TrainingRows:
    """Training rows: the columns for the loss in order, and for each row its language and ids."""

    columns: list[str]
    num_negatives: int
    num_neg_queries: int
    records: list[dict[str, str]]


def read_training_rows(path: Path, mapping: Mapping[str, str] | None = None) -> TrainingRows:
    """Read training rows under our names, the CLEAR authors' names, or names that the user maps.

    Args:
        path: JSON Lines, CSV, Parquet or a saved ``datasets`` folder.
        mapping: Our column name to the file's, for those that differ: ``{"anchor": "question"}``.

    Returns:
        The rows; ``lang``, ``id`` and ``passage_id`` are kept where the file has them.

    Raises:
        InputError: If a column is missing, a field is null or empty, or the first row's negatives are not
            numbered from 1 without gaps.
    """
    rename = AUTHORS_NAMES | {theirs: ours for ours, theirs in (mapping or {}).items()}
    records: list[dict[str, str]] = []
    columns: list[str] = []
    counts = (0, 0)
    for where, raw in read_records(path):
        record = {
            rename.get(name) or re.sub(r"^neg_(\d+)$", r"negative_\1", name): value for name, value in raw.items()
        }
        if not columns:
            counts = _count(where, record, "negative"), _count(where, record, "neg_query")
            columns = training_columns(*counts)
        for column in columns:
            if column not in record:
                lacks = f"{where}: no column {column!r} among {', '.join(map(str, raw))}"
                raise InputError(f"{lacks}; map the column that holds it.", "mapping")
            if _text(record[column]) is None:
                raise InputError(f"{where}: {column!r} is null or empty; mend the row or take it out.")
        kept = [*columns, *(name for name in ("lang", "id", "passage_id") if record.get(name) is not None)]
        records.append({column: str(record[column]) for column in kept})
    if not records:
        raise InputError(f"{path} holds no rows.")
    return TrainingRows(columns, *counts, records)


def _count(where: str, record: Mapping[str, Any], prefix: str) -> int:
    numbers = sorted(int(name[len(prefix) + 1 :]) for name in record if re.fullmatch(rf"{prefix}_\d+", str(name)))
    if numbers != list(range(1, len(numbers) + 1)):
        raise InputError(f"{where}: the columns {prefix}_{numbers} are not numbered 1, 2, ... without gaps.")
    return len(numbers)


def _text(value: Any) -> str | None:
    """The value as text without surrounding space; None if nothing is left of it."""
    if value is None:
        return None
    return str(value).strip() or None


def hold_out(rows: list[Any], share: float, seed: int, group_of: Callable[[Any], str]) -> tuple[list[Any], list[Any]]:
    """Split rows by group, so that no group stands on both sides.

    Args:
        rows: Rows of any kind.
        share: About this share of the groups is held out, at least one where the share is above 0.
        seed: Chooses the groups.
        group_of: Names a row's group, its passage say.

    Returns:
        The rows kept and the rows held out, both in their order.
    """
    groups = sorted({group_of(row) for row in rows}, key=lambda group: hash_of(str(seed), group))
    held = set(groups[: max(1, round(share * len(groups)))] if share > 0 else [])
    return [row for row in rows if group_of(row) not in held], [row for row in rows if group_of(row) in held]
