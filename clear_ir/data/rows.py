"""Parallel rows and training rows: their columns, read and checked, written.

A parallel row is an English query, its English passage and the query in the target language. A training row adds hard
negatives: passages and target-language queries. The names and the order of the columns are defined here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_ir.data.collection_files import check_id
from clear_ir.data.column_names import Columns, choose_columns, no_column
from clear_ir.data.files import InputError, Record, hash_of
from clear_ir.data.languages import UNKNOWN, is_english, language_tag
from clear_ir.data.nested import flatten_languages, passages_of
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.records import read_records
from clear_ir.data.texts import BrokenText, text_key, text_of

if TYPE_CHECKING:
    from datasets import Dataset

PARALLEL_COLUMNS = ("id", "query", "passage", "passage_id", "cross_query", "lang")

#: What the numbered columns of negative passages and negative queries begin with.
PREFIXES = ("negative", "neg_query")

#: Our name of each role in `clear_ir.data.column_names.ROLES`, and of what else a row can have.
PARALLEL_NAMES = {column: column for column in PARALLEL_COLUMNS}
TRAINING_NAMES = PARALLEL_NAMES | {"query": "anchor", "passage": "positive", "cross_query": "cross_anchor"}

#: Names of negatives: lists of passages, lists of queries, and one passage.
NEGATIVES = {
    **dict.fromkeys(("neg", "negs", "negative", "negatives", "negative_passages", "hard_negatives"), "negatives"),
    **dict.fromkeys(("neg_queries", "negative_queries"), "neg_queries"),
}
_NUMBERED = re.compile(r"(negative|neg_query)_\d+")

_SAMPLE = 200  # records, from which columns are guessed

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
    lang: str = UNKNOWN


@dataclass
class RejectedRecords:
    """The records that were left out: for each, its place in the file and the reason.

    Args:
        reasons: Place and reason of each.
        places: By id of a row that was kept, its place in the file.
    """

    reasons: list[tuple[str, str]] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)

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
    path: Path, mapping: Mapping[str, str] | None = None, lang: str | None = None, notes: list[str] | None = None
) -> tuple[list[ParallelRow], RejectedRecords]:
    """Read parallel rows from any file that `clear_ir.data.records.read_records` reads.

    Columns that are not mapped are found by their names, see `clear_ir.data.column_names.choose_columns`. If a record
    has several passages, as in FlagEmbedding's and Tevatron's formats, each becomes a row. An id may be that of a
    question in several languages; each after the first adds its language to the id.

    Args:
        path: The file.
        mapping: Our name of a column to the file's, where they differ: `{"query": "question_en"}`.
        lang: Language code of all rows, for a file without such a column. None: the column `lang` has it.
        notes: Gets a sentence for what was guessed: encoding, delimiter, columns.

    Returns:
        The rows, and the records that were left out because a field is null or empty.

    Raises:
        InputError: If a column is missing from the file, could be any of several, or holds no texts; a language is no
            code; or two rows have one id.
    """
    notes = [] if notes is None else notes
    lang = language_tag(lang, "The language", "lang") if lang else None
    if unknown := set(mapping or {}) - set(PARALLEL_COLUMNS):
        raise InputError(
            f"The mapping names {sorted(unknown)[0]!r}; map one of {', '.join(PARALLEL_COLUMNS)}.", "mapping"
        )
    records, columns = _records_and_columns(path, mapping or {}, PARALLEL_NAMES, notes, needs_lang=not lang)
    lang = lang or columns.lang
    reader = _ParallelReader(columns.names, lang)
    first = True
    for number, (where, record) in enumerate(records, start=1):
        if first:
            _check_columns(where, record, columns.names, reader.needed)
            first = False
        reader.read(number, where, record)
    if not reader.rows:
        where, reason = reader.rejected.reasons[0]
        raise InputError(f"{path} holds no usable row; the first is {where}: {reason}.")
    if reader.num_renamed:
        notes.append(
            f"Rows whose id another language has already, so that their own was added to it: {reader.num_renamed}."
        )
    return reader.rows, reader.rejected


def _records_and_columns(
    path: Path, mapping: Mapping[str, str], our_names: Mapping[str, str], notes: list[str], needs_lang: bool = True
) -> tuple[Iterator[Record], Columns]:
    """The records of a file with objects of languages spread, and where their columns are."""
    records = ((where, flatten_languages(record)) for where, record in read_records(path, notes))
    sample = list(islice(records, _SAMPLE))
    if not sample:
        raise InputError(f"{path} holds no rows; give at least one.")
    columns = choose_columns(sample[0][0], [record for _, record in sample], mapping, our_names, needs_lang)
    if columns.note:
        notes.append(columns.note)
    return chain(sample, records), columns


def _check_columns(where: str, record: Mapping[str, Any], names: Mapping[str, str], needed: Sequence[str]) -> None:
    """Refuse a file that lacks a column.

    Raises:
        InputError: If none of its columns is one that is needed.
    """
    missing = [column for column in needed if column not in names]
    if not missing:
        return
    lacks = no_column(where, missing[0], record)
    if missing[0] == "lang":
        raise InputError(f"{lacks}; give the language of all rows, or map its column.", "lang", "mapping")
    if missing[0] in ("cross_query", "cross_anchor"):
        raise InputError(
            f"{lacks}; it holds the query in the target language: translate the queries, or map the column that holds "
            "them.",
            "mapping",
        )
    headless = not names and any(len(str(name).split()) > 3 for name in record)
    hint = "; if the file has no header, put a line with the names of the columns at its beginning" if headless else ""
    raise InputError(f"{lacks}; map the column that holds it{hint}.", "mapping")


class _ParallelReader:
    """Makes parallel rows of records.

    Args:
        names: Our names of columns to those of the file.
        lang: Language of all rows; None if a column has it.
    """

    def __init__(self, names: Mapping[str, str], lang: str | None) -> None:
        self.names, self.lang = names, lang
        self.needed = ["query", "passage", "cross_query"] + ([] if lang else ["lang"])
        self.rows: list[ParallelRow] = []
        self.rejected = RejectedRecords()
        self.num_renamed = 0
        self._lang_of: dict[str, str] = {}  # the language of the first row with an id

    def read(self, number: int, where: str, record: Mapping[str, Any]) -> None:
        """Make a row of each passage of a record, or leave the record out.

        Args:
            number: Number of the record.
            where: Its place.
            record: The record.
        """
        try:
            texts = {column: self._text(record, column, where) for column in self.needed if column != "passage"}
            name = self.names["passage"]
            place = f"{where}: {name!r}"
            passages = [text_of(passage, place) for passage in passages_of(record.get(name), place)]
        except BrokenText as error:
            self.rejected.add(where, str(error).removeprefix(f"{where}: "))
            return
        empty = [self.names[column] for column, text in texts.items() if text is None]
        if not any(passages):
            empty.append(name)
        if empty:
            self.rejected.add(where, f"{empty[0]!r} is null or empty")
            return
        values = {column: text for column, text in texts.items() if text is not None}
        lang = self.lang or language_tag(values["lang"], f"{where}: {self.names['lang']!r}")
        if is_english(lang):
            said = values.get("lang", lang)
            name = self.names.get("lang", "lang")
            self.rejected.add(where, f"{name!r} is {said!r}, but it must be the language of the target-language query")
            return
        self._add(number, where, record, values | {"lang": lang}, [text for text in passages if text])

    def _add(
        self, number: int, where: str, record: Mapping[str, Any], values: Mapping[str, str], passages: list[str]
    ) -> None:
        """Add a row for each passage."""
        record_id = self._text(record, "id", where) or f"{values['lang']}-{number}"
        passage_id = self._text(record, "passage_id", where) if len(passages) == 1 else None
        for count, passage in enumerate(passages, start=1):
            row_id = record_id if count == 1 else f"{record_id}-{count}"
            check_id(row_id, f"{where}: the {self.names.get('id', 'id')}")
            if self._lang_of.setdefault(row_id, values["lang"]) != values["lang"]:
                row_id = f"{row_id}-{values['lang']}"
                self.num_renamed += 1
            if row_id in self.rejected.places:
                place = self.rejected.places[row_id]
                raise InputError(f"{where}: the id {row_id!r} was already used in {place}; make ids unique.")
            self.rejected.places[row_id] = where
            of_passage = passage_id or "p-" + hash_of(text_key(passage))[:12]
            check_id(of_passage, f"{where}: the {self.names.get('passage_id', 'passage_id')}")
            self.rows.append(
                ParallelRow(row_id, values["query"], passage, of_passage, values["cross_query"], values["lang"])
            )

    def _text(self, record: Mapping[str, Any], column: str, where: str) -> str | None:
        name = self.names.get(column, column)
        return text_of(record.get(name), f"{where}: {name!r}")


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
        InputError: If a column is missing, a text is null or empty, a language is no code, or there are no
            translations.
    """
    translations = []
    for where, record in read_records(path):
        texts = {}
        for column in ("english", "translation"):
            if column not in record:
                lacks = no_column(where, column, record)
                raise InputError(f"{lacks}; name the columns english, translation.")
            text = _field(record, column, where)
            if text is None:
                raise InputError(f"{where}: {column!r} is null or empty; fix the line or remove it.")
            texts[column] = text
        translations.append(Translation(**texts, lang=_lang(record.get("lang"), f"{where}: 'lang'") or UNKNOWN))
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
        lacks = no_column(where, missing[0], dataset.column_names)
        raise InputError(f"{lacks}; rename the column that holds it.")
    return [named[name] for name in wanted]


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

    FlagEmbedding's lists `pos` and `neg`, Tevatron's lists of passages, and the triplets of sentence-transformers are
    understood where a column has the query in the target language. Each positive becomes a row.

    Args:
        path: Any file that `clear_ir.data.records.read_records` reads.
        mapping: Our name of a column to the file's, where they differ: `{"anchor": "question"}`.

    Returns:
        The rows, with `lang`, `id` and `passage_id` where the file has them. All have as many negatives as most rows of
        the file: rows with fewer are left out, and what others have beyond that is dropped. The notes count both.

    Raises:
        InputError: If a column is missing, a field is null or empty, a language is no code, or a row's negatives are
            not numbered from 1 without gaps.
    """
    notes: list[str] = []
    rows, columns = _records_and_columns(path, mapping or {}, TRAINING_NAMES, notes)
    records: list[dict[str, str]] = []
    sizes: list[tuple[int, int]] = []
    needed = training_columns(0, 0)
    ours_of: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for where, raw in rows:
        names = tuple(raw)
        if names not in ours_of:
            ours_of[names] = _training_names(names, columns.names)
            _check_columns(where, raw, dict(ours_of[names]), needed)
        for record, size in _training_records(where, raw, ours_of[names]):
            records.append(record)
            sizes.append(size)
    return _of_one_size(records, sizes, notes)


def _training_names(names: Sequence[str], found: Mapping[str, str]) -> list[tuple[str, str]]:
    """Our name and the file's of each column that is read. `negatives` and `neg_queries` are lists."""
    ours_to_theirs = {ours: theirs for ours, theirs in found.items() if theirs in names}
    for name in names:
        ours = _our_name(name, NEGATIVES)
        if name not in found.values() and (ours in NEGATIVES.values() or _NUMBERED.fullmatch(ours)):
            ours_to_theirs.setdefault(ours, name)
    return list(ours_to_theirs.items())


def _training_records(
    where: str, raw: Mapping[str, Any], names: Sequence[tuple[str, str]]
) -> Iterator[tuple[dict[str, str], tuple[int, int]]]:
    """The rows of a record, one for each positive, with their numbers of negative passages and of negative queries."""
    texts: dict[str, str | None] = {}
    positives: list[str | None] = []
    for ours, theirs in names:
        value, place = raw[theirs], f"{where}: {theirs!r}"
        if ours == "positive":
            positives = [_whole_text(passage, place) for passage in passages_of(value, place)]
        elif ours in NEGATIVES.values():
            prefix = "negative" if ours == "negatives" else "neg_query"
            for number, text in enumerate(passages_of([] if value is None else value, place), start=1):
                texts[f"{prefix}_{number}"] = _whole_text(text, place)
        else:
            texts[ours] = _lang(value, place) if ours == "lang" else _whole_text(value, place)
    negatives, queries = (_count_texts(where, texts, prefix) for prefix in PREFIXES)
    columns = training_columns(negatives, queries)
    extra = [name for name in ("lang", "id", "passage_id") if texts.get(name) is not None]
    for positive in positives or [None]:
        texts["positive"] = positive
        record = {name: text for name in (*columns, *extra) if (text := texts[name]) is not None}
        if len(record) < len(columns) + len(extra):
            lacking = next(name for name in columns if texts[name] is None)
            raise InputError(f"{where}: {dict(names).get(lacking, lacking)!r} is null or empty; fix or remove the row.")
        yield record, (negatives, queries)


def _lang(value: Any, where: str) -> str | None:
    """A field as the tag of a language; None for null and for an empty text."""
    code = text_of(value, where)
    return language_tag(code, where) if code else None


def _whole_text(value: Any, where: str) -> str | None:
    """A field as text with the white space around it; None for null and for an empty text."""
    text = text_of(value, where)
    return value if text is not None and isinstance(value, str) else text


def _of_one_size(records: list[dict[str, str]], sizes: list[tuple[int, int]], notes: list[str]) -> TrainingRows:
    """The rows with as many negatives as most of them have, and notes on what that drops.

    Args:
        records: The rows.
        sizes: How many negative passages and negative queries each has.
        notes: What is known about the rows already.
    """
    size = max(Counter(sizes).items(), key=lambda item: (item[1], item[0]))[0]
    columns = training_columns(*size)
    dropped = set(training_columns(*map(max, zip(*sizes, strict=True)))) - set(columns)
    kept = [record for record in records if all(column in record for column in columns)]
    longer = sum(not dropped.isdisjoint(record) for record in kept)
    most = f"Most rows have {size[0]} negative passages and {size[1]} negative queries."
    if left_out := len(records) - len(kept):
        notes.append(f"{most} Rows with fewer are left out: {left_out} of {len(records)}.")
    if longer:
        notes.append(f"{most} Rows with more lose what is beyond: {longer} of {len(kept)}.")
    kept = [{name: text for name, text in record.items() if name not in dropped} for record in kept]
    return TrainingRows(columns, *size, kept, notes)


def _count_texts(where: str, texts: Mapping[str, str | None], prefix: str) -> int:
    """How many columns `prefix_1`, `prefix_2`, ... there are, up to the last that is not null."""
    numbered = _numbered(tuple(texts), prefix)
    last = max((number for number, name in numbered if texts[name] is not None), default=0)
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
