"""Parallel rows and training rows: their columns, read and checked, written.

A parallel row is an English query, its English passage and the query in the target language. A training row adds hard
negatives: passages and target-language queries. The names and the order of the columns are defined here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clear_ir.data.collection_files import check_id
from clear_ir.data.files import InputError, hash_of
from clear_ir.data.languages import is_english
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.records import read_records
from clear_ir.data.texts import text_key, text_of

if TYPE_CHECKING:
    from datasets import Dataset

Row = TypeVar("Row")

PARALLEL_COLUMNS = ("id", "query", "passage", "passage_id", "cross_query", "lang")

#: What the numbered columns of negative passages and negative queries begin with.
PREFIXES = ("negative", "neg_query")

#: The CLEAR authors' example file has these names. Ours are those of their README.
AUTHORS_NAMES = {"en_question": "anchor", "paragraphs": "positive", "lang_question": "cross_anchor"}


@dataclass(frozen=True)
class ParallelRow:
    """An English query, its English passage and the query in the target language `lang`."""

    id: str
    query: str
    passage: str
    passage_id: str
    cross_query: str
    lang: str


@dataclass(frozen=True)
class Translation:
    """An English text and its translation into the language `lang`."""

    english: str
    translation: str
    lang: str = "xx"


@dataclass
class RejectedRecords:
    """The records that were left out: for each, its place in the file and the reason."""

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
            raise InputError(f"{where}: {reason}; fix the row or remove it.")


def read_parallel_rows(
    path: Path, mapping: Mapping[str, str] | None = None, lang: str | None = None
) -> tuple[list[ParallelRow], RejectedRecords]:
    """Read parallel rows from any file that `clear_ir.data.records.read_records` reads.

    Args:
        path: The file.
        mapping: Our name of a column to the file's, where they differ: `{"query": "question_en"}`.
        lang: Language code of all rows, for a file without such a column. None: the column `lang` has it.

    Returns:
        The rows, and the records that were left out because a field is null or empty.

    Raises:
        InputError: If a column is missing from the file, or two rows have one id.
    """
    names = {column: column for column in PARALLEL_COLUMNS} | dict(mapping or {})
    if unknown := set(names) - set(PARALLEL_COLUMNS):
        raise InputError(
            f"The mapping names {sorted(unknown)[0]!r}; map one of {', '.join(PARALLEL_COLUMNS)}.", "mapping"
        )
    rows: list[ParallelRow] = []
    rejected = RejectedRecords()
    where_of_id: dict[str, str] = {}
    needed = ["query", "passage", "cross_query"] + ([] if lang else ["lang"])
    for number, (where, record) in enumerate(read_records(path), start=1):
        missing = [names[column] for column in needed if names[column] not in record]
        if missing:
            lacks = _no_column(where, missing[0], record)
            if missing[0] == "lang":
                raise InputError(f"{lacks}; give the language of all rows, or map its column.", "lang", "mapping")
            raise InputError(f"{lacks}; map the column that holds it.", "mapping")
        texts = {column: _field(record, names[column], where) for column in needed}
        if empty := [names[column] for column, text in texts.items() if text is None]:
            rejected.add(where, f"{empty[0]!r} is null or empty")
            continue
        values = {column: text for column, text in texts.items() if text is not None}
        row_lang = lang or values["lang"]
        if is_english(row_lang):
            rejected.add(where, f"its language is {row_lang!r}, but the target language is not English")
            continue
        row_id = _field(record, names["id"], where) or f"{row_lang}-{number}"
        check_id(row_id, f"{where}: the {names['id']}")
        if row_id in where_of_id:
            raise InputError(f"{where}: the id {row_id!r} was already used in {where_of_id[row_id]}; make ids unique.")
        where_of_id[row_id] = where
        passage_id = _field(record, names["passage_id"], where) or "p-" + hash_of(text_key(values["passage"]))[:12]
        check_id(passage_id, f"{where}: the {names['passage_id']}")
        rows.append(
            ParallelRow(row_id, values["query"], values["passage"], passage_id, values["cross_query"], row_lang)
        )
    if not rows:
        where, reason = rejected.reasons[0]
        raise InputError(f"{path} holds no usable row; the first is {where}: {reason}.")
    return rows, rejected


def write_parallel_rows(path: Path, rows: Iterable[ParallelRow]) -> None:
    """Write parallel rows as JSON Lines."""
    write_jsonl(path, (asdict(row) for row in rows))


def read_translations(path: Path) -> list[Translation]:
    """Read translations from any file that `clear_ir.data.records.read_records` reads.

    Args:
        path: The file, with columns `english` and `translation`, and optionally `lang`.

    Returns:
        The translations.

    Raises:
        InputError: If a column is missing, a text is null or empty, or there are no translations.
    """
    translations = []
    for where, record in read_records(path):
        texts = {}
        for column in ("english", "translation"):
            if column not in record:
                lacks = _no_column(where, column, record)
                raise InputError(f"{lacks}; name the columns english, translation.")
            text = _field(record, column, where)
            if text is None:
                raise InputError(f"{where}: {column!r} is null or empty; fix the line or remove it.")
            texts[column] = text
        translations.append(Translation(**texts, lang=_field(record, "lang", where) or "xx"))
    if not translations:
        raise InputError(f"{path} holds no translation; give one English text and its translation per line.")
    return translations


def training_columns(num_negatives: int, num_neg_queries: int) -> list[str]:
    """The columns that a CLEAR loss reads, in its order.

    Args:
        num_negatives: Negative passages per row.
        num_neg_queries: Negative target-language queries per row.

    Returns:
        `["anchor", "positive", "negative_1", ..., "cross_anchor", "neg_query_1", ...]`.
    """
    negatives = [f"negative_{i}" for i in range(1, num_negatives + 1)]
    queries = [f"neg_query_{i}" for i in range(1, num_neg_queries + 1)]
    return ["anchor", "positive", *negatives, "cross_anchor", *queries]


def columns_of(dataset: Dataset) -> list[str]:
    """The columns of a dataset that a CLEAR loss reads, in its order: `dataset.select_columns(columns_of(dataset))`.

    A loss in a sentence-transformers trainer gets columns without their names and goes by their position. A column
    that is left over, such as an id, would be read as a text.

    Args:
        dataset: Training rows with our names of the columns or the CLEAR authors' names. Other columns are left out.

    Returns:
        The names in the dataset of anchor, positive, negative_1 to n, cross_anchor and neg_query_1 to m.

    Raises:
        InputError: If one of them is missing, or negatives are not numbered from 1 without gaps.
    """
    named = {_our_name(name, AUTHORS_NAMES): name for name in dataset.column_names}
    where = "The dataset"
    wanted = training_columns(*(_count(where, _numbered(tuple(named), prefix), prefix) for prefix in PREFIXES))
    if missing := [name for name in wanted if name not in named]:
        lacks = _no_column(where, missing[0], dataset.column_names)
        raise InputError(f"{lacks}; rename the column that holds it.")
    return [named[name] for name in wanted]


def _no_column(where: str, column: str, names: Iterable[str]) -> str:
    """The beginning of the sentence that says so."""
    return f"{where}: no column {column!r} among {', '.join(map(str, names))}"


def _our_name(name: str, rename: Mapping[str, str]) -> str:
    return rename.get(name) or re.sub(r"^neg_(\d+)$", r"negative_\1", name)


@dataclass(frozen=True)
class TrainingRows:
    """Training rows.

    Args:
        columns: The columns that the loss reads, in its order.
        num_negatives: Negative passages per row.
        num_neg_queries: Negative target-language queries per row.
        records: The rows: the texts of `columns`, and `lang`, `id` and `passage_id` where the file has them.
        notes: What was dropped because rows have different numbers of negatives, a sentence each.
    """

    columns: list[str]
    num_negatives: int
    num_neg_queries: int
    records: list[dict[str, str]]
    notes: list[str] = field(default_factory=list)


def read_training_rows(path: Path, mapping: Mapping[str, str] | None = None) -> TrainingRows:
    """Read training rows whose columns have our names, the CLEAR authors' names, or names that the user maps.

    Args:
        path: JSON Lines, CSV, Parquet or a saved `datasets` folder.
        mapping: Our name of a column to the file's, where they differ: `{"anchor": "question"}`.

    Returns:
        The rows, with `lang`, `id` and `passage_id` where the file has them. All have as many negatives as most rows of
        the file: rows with fewer are left out, and what others have beyond that is dropped. The notes count both.

    Raises:
        InputError: If a column is missing, a field is null or empty, or a row's negatives are not numbered from 1
            without gaps.
    """
    by_hand = mapping or {}
    rename = AUTHORS_NAMES | {theirs: ours for ours, theirs in by_hand.items()}
    records: list[dict[str, str]] = []
    sizes: list[tuple[int, int]] = []
    for where, raw in read_records(path):
        named = {name: _our_name(name, rename) for name in raw}
        # A column that is mapped by hand wins over one that has our name.
        record = {ours: raw[name] for name, ours in named.items() if by_hand.get(ours, name) == name}
        negatives, queries = (_count_texts(where, record, prefix) for prefix in PREFIXES)
        sizes.append((negatives, queries))
        columns = training_columns(negatives, queries)
        for column in columns:
            if column not in record:
                raise InputError(f"{_no_column(where, column, raw)}; map the column that holds it.", "mapping")
            if _field(record, column, where) is None:
                raise InputError(f"{where}: {column!r} is null or empty; fix the row or remove it.")
        names = [*columns, *(name for name in ("lang", "id", "passage_id") if record.get(name) is not None)]
        records.append({name: str(record[name]) for name in names})
    if not records:
        raise InputError(f"{path} holds no rows; give at least one.")
    return _of_one_size(records, sizes)


def _of_one_size(records: list[dict[str, str]], sizes: list[tuple[int, int]]) -> TrainingRows:
    """The rows with as many negatives as most of them have, and notes on what that drops.

    Args:
        records: The rows.
        sizes: How many negative passages and negative queries each has.
    """
    size = max(Counter(sizes).items(), key=lambda item: (item[1], item[0]))[0]
    columns = training_columns(*size)
    dropped = set(training_columns(*map(max, zip(*sizes, strict=True)))) - set(columns)
    kept = [record for record in records if all(column in record for column in columns)]
    longer = sum(not dropped.isdisjoint(record) for record in kept)
    notes = []
    most = f"Most rows have {size[0]} negative passages and {size[1]} negative queries."
    if left_out := len(records) - len(kept):
        notes.append(f"{most} Rows with fewer are left out: {left_out} of {len(records)}.")
    if longer:
        notes.append(f"{most} Rows with more lose what is beyond: {longer} of {len(kept)}.")
    kept = [{name: text for name, text in record.items() if name not in dropped} for record in kept]
    return TrainingRows(columns, *size, kept, notes)


def _count_texts(where: str, record: Mapping[str, Any], prefix: str) -> int:
    """How many columns `prefix_1`, `prefix_2`, ... a record has, up to the last that is not null."""
    numbered = _numbered(tuple(record), prefix)
    last = max((number for number, name in numbered if _field(record, name, where) is not None), default=0)
    return _count(where, [pair for pair in numbered if pair[0] <= last], prefix)


@lru_cache(maxsize=64)  # most rows of a file have the same names
def _numbered(names: tuple[str, ...], prefix: str) -> list[tuple[int, str]]:
    """The names that are `prefix_1`, `prefix_2`, ..., in the order of their numbers, which come first."""
    return sorted((int(match[1]), name) for name in names if (match := re.fullmatch(rf"{prefix}_(\d+)", str(name))))


def _count(where: str, numbered: list[tuple[int, str]], prefix: str) -> int:
    """How many there are, after a check that none is lacking between them."""
    numbers = [number for number, _ in numbered]
    if numbers != list(range(1, len(numbers) + 1)):
        columns = ", ".join(f"{prefix}_{number}" for number in numbers)
        raise InputError(f"{where}: the columns {columns} are not numbered 1, 2, ... without gaps; rename them.")
    return len(numbers)


def _field(record: Mapping[str, Any], name: str, where: str) -> str | None:
    """A field as text, see `clear_ir.data.texts.text_of`."""
    return text_of(record.get(name), f"{where}: {name!r}")


def hold_out(
    rows: Sequence[Row], share: float, seed: int, keys_of: Callable[[Row], Sequence[str]]
) -> tuple[list[Row], list[Row]]:
    """Hold out a share of the rows, so that nothing that is asked or answered stands on both sides.

    Rows that share a key are one group, and so are rows that a chain of such rows connects: two passages that answer
    one question are held out together, and so are two questions on one passage, in all languages.

    Args:
        rows: Rows of any kind.
        share: Share of the groups to hold out, rounded; at least one group if the share is above 0.
        seed: Chooses the groups.
        keys_of: Gives a row's keys, as many for each row: its passage, then its question.

    Returns:
        The rows that remain and the rows that are held out, both in their order.
    """
    groups = _connected([tuple(map(text_key, keys_of(row))) for row in rows])
    names = sorted(set(groups), key=lambda group: hash_of(str(seed), group))
    chosen = set(names[: max(1, round(share * len(names)))] if share > 0 else [])
    train = [row for row, group in zip(rows, groups, strict=True) if group not in chosen]
    return train, [row for row, group in zip(rows, groups, strict=True) if group in chosen]


def _connected(keys: list[tuple[str, ...]]) -> list[str]:
    """The group of each row: rows with an equal key at an equal place are in one. It is named by its first key."""
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]  # halves the path for the next time
            row = parent[row]
        return row

    first_with: dict[tuple[int, str], int] = {}
    for row, of_row in enumerate(keys):
        for place, key in enumerate(of_row):
            parent[root(row)] = root(first_with.setdefault((place, key), row))
    roots = [root(row) for row in range(len(keys))]
    names: dict[int, str] = {}
    for group, of_row in zip(roots, keys, strict=True):
        names[group] = min(names.get(group, of_row[0]), of_row[0])
    return [names[group] for group in roots]
