"""Read what there is before any translation: English queries with their English passages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clear_ir.data.collection_files import check_id
from clear_ir.data.column_names import Columns
from clear_ir.data.files import InputError
from clear_ir.data.languages import is_english, language_tag
from clear_ir.data.nested import passages_of
from clear_ir.data.rows import PARALLEL_NAMES, RejectedRecords, check_columns, records_and_columns
from clear_ir.data.text_languages import is_in_script, other_language
from clear_ir.data.texts import BrokenText, passage_id_of, text_key, text_of

#: Columns that may be mapped. The others come with the translation.
MAPPABLE = ("id", "query", "passage", "passage_id")


@dataclass(frozen=True)
class EnglishRow:
    """An English query and its English passage."""

    id: str
    query: str
    passage: str
    passage_id: str


def read_english_rows(
    path: Path, mapping: Mapping[str, str] | None = None, notes: list[str] | None = None
) -> tuple[list[EnglishRow], RejectedRecords]:
    """Read English queries and their passages from any file that `clear_ir.data.records.read_records` reads.

    Columns are found as by `clear_ir.data.rows.read_parallel_rows`. The file may hold translations already; these are
    not read, and a query with its passage counts once, however many languages it is there in.

    Args:
        path: The file.
        mapping: Our name of a column to the file's, where they differ: `{"query": "question"}`.
        notes: Gets a sentence for what was guessed or left out.

    Returns:
        The rows, and the records that were left out because they have no text or are not English.

    Raises:
        InputError: If a column is missing or could be any of several, the queries are not English, or two rows have one
            id.
    """
    notes = [] if notes is None else notes
    if unknown := set(mapping or {}) - set(MAPPABLE):
        raise InputError(f"The mapping names {sorted(unknown)[0]!r}; map one of {', '.join(MAPPABLE)}.", "mapping")
    records, columns = records_and_columns(path, mapping or {}, PARALLEL_NAMES, notes)
    reader = _EnglishReader(columns)
    for number, (where, record) in enumerate(records, start=1):
        if number == 1:
            check_columns(where, record, columns.names, ["query", "passage"])
        reader.read(number, where, record)
    rows = list(reader.rows.values())
    if not rows:
        where, reason = reader.rejected.reasons[0]
        raise InputError(f"{path} holds no usable row; the first is {where}: {reason}.")
    if reader.num_repeated:
        notes.append(f"Rows with the query and the passage of an earlier row, left out: {reader.num_repeated}.")
    _check_english(path, list(dict.fromkeys(row.query for row in rows)), notes)
    return rows, reader.rejected


def _check_english(path: Path, queries: Sequence[str], notes: list[str]) -> None:
    """Refuse queries in another script, and note those in another language where that can be told."""
    other_script = [query for query in queries if not is_in_script(query, "en")]
    if 2 * len(other_script) > len(queries):
        raise InputError(
            f"{path}: the queries are not English, such as {other_script[0][:60]!r}; translation begins with English "
            "ones: map their column.",
            "mapping",
        )
    if found := other_language("en", queries):
        lang, places = found
        notes.append(
            f"Queries that look like {lang}, not English: {len(places)}, such as {queries[places[0]]!r}. If they are, "
            "map the column with the English ones."
        )


class _EnglishReader:
    """Makes English rows of records.

    Args:
        columns: Where the columns are.
    """

    def __init__(self, columns: Columns) -> None:
        self.names = columns.names
        #: Beside a translation, the language is that of the translation.
        self.lang = None if "cross_query" in columns.names else columns.names.get("lang")
        self.rows: dict[tuple[str, str], EnglishRow] = {}
        self.rejected = RejectedRecords()
        self.num_repeated = 0

    def read(self, number: int, where: str, record: Mapping[str, Any]) -> None:
        """Make a row of each passage of a record, or leave the record out.

        Args:
            number: Number of the record.
            where: Its place.
            record: The record.
        """
        try:
            query, *passages = self._texts(where, record)
        except BrokenText as error:
            self.rejected.add(where, str(error).removeprefix(f"{where}: "))
            return
        reason = self._why_not(query, passages, record)
        if reason or query is None:
            self.rejected.add(where, reason)
            return
        record_id = self._text(record, "id", where) or str(number)
        given = self._text(record, "passage_id", where) if len(passages) == 1 else None
        for count, passage in enumerate(filter(None, passages), start=1):
            row_id = record_id if count == 1 else f"{record_id}-{count}"
            self._add(EnglishRow(row_id, query, passage, given or passage_id_of(text_key(passage))), where)

    def _texts(self, where: str, record: Mapping[str, Any]) -> Iterator[str | None]:
        """The query, then the passages."""
        yield self._text(record, "query", where)
        place = f"{where}: {self.names['passage']!r}"
        yield from (text_of(passage, place) for passage in passages_of(record.get(self.names["passage"]), place))

    def _why_not(self, query: str | None, passages: Sequence[str | None], record: Mapping[str, Any]) -> str:
        """Why a record cannot be used; empty if it can."""
        if query is None or not any(passages):
            return f"{self.names['query' if query is None else 'passage']!r} is null or empty"
        said = record.get(self.lang) if self.lang else None
        if isinstance(said, str) and said.strip() and not is_english(said) and _is_language(said):
            return f"{self.lang!r} is {said!r}, but the query must be English"
        return ""

    def _add(self, row: EnglishRow, where: str) -> None:
        check_id(row.id, f"{where}: the {self.names.get('id', 'id')}")
        check_id(row.passage_id, f"{where}: the {self.names.get('passage_id', 'passage_id')}")
        texts = (text_key(row.query), text_key(row.passage))
        if texts in self.rows:
            self.num_repeated += 1
            return
        if row.id in self.rejected.places:
            place = self.rejected.places[row.id]
            raise InputError(f"{where}: the id {row.id!r} was already used in {place}; make ids unique.")
        self.rejected.places[row.id] = where
        self.rows[texts] = row

    def _text(self, record: Mapping[str, Any], column: str, where: str) -> str | None:
        name = self.names.get(column, column)
        return text_of(record.get(name), f"{where}: {name!r}")


def _is_language(code: str) -> bool:
    """Whether a field says a language; a column named so may hold something else, such as Python."""
    try:
        language_tag(code, "")
    except InputError:
        return False
    return True
