"""Parallel rows: an English query, its English passage, the query in the target language. And translations of texts.

They are read from any file, checked, and written. The names of the columns are defined here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from clear_ir.data.collection_files import check_id
from clear_ir.data.column_names import Columns, choose_columns, no_column
from clear_ir.data.files import InputError, Record
from clear_ir.data.languages import UNKNOWN, is_english, language_tag
from clear_ir.data.nested import flatten_languages, passages_of
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.records import read_records
from clear_ir.data.texts import BrokenText, passage_id_of, text_key, text_of

PARALLEL_COLUMNS = ("id", "query", "passage", "passage_id", "cross_query", "lang", "cross_passage", "translated_by")
#: Columns that a file may lack.
OPTIONAL_COLUMNS = ("cross_passage", "translated_by")

#: Our name of each role in `clear_ir.data.column_names.ROLES`, and of what else a row can have.
PARALLEL_NAMES = {column: column for column in PARALLEL_COLUMNS}

_SAMPLE = 200  # records, from which columns are guessed


@dataclass(frozen=True)
class ParallelRow:
    """An English query, its English passage and the query in the target language `lang`.

    `cross_passage` is the passage in the target language; empty if there is none. `translated_by` says which translator
    made the query in the target language; empty if that is not known, or people asked it.
    """

    id: str
    query: str
    passage: str
    passage_id: str
    cross_query: str
    lang: str
    cross_passage: str = ""
    translated_by: str = ""


@dataclass(frozen=True)
class Translation:
    """An English text and its translation into the language `lang`."""

    english: str
    translation: str
    lang: str = UNKNOWN


@dataclass(frozen=True)
class LabelledText:
    """A text and its language."""

    text: str
    lang: str


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
    has several passages, as in FlagEmbedding's and Tevatron's formats, each becomes a row, with the translation at the
    same place. An id may be that of a question in several languages; each after the first adds its language to the id.

    Args:
        path: The file.
        mapping: Our name of a column to the file's, where they differ: `{"query": "question_en"}`.
        lang: Language code of all rows, for a file without such a column. None: the column `lang` has it.
        notes: Gets a sentence for what was guessed: encoding, delimiter, columns; and for rows without a translated
            passage, where others have one.

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
    records, columns = records_and_columns(path, mapping or {}, PARALLEL_NAMES, notes, needs_lang=not lang)
    lang = lang or columns.lang
    reader = _ParallelReader(columns.names, lang)
    first = True
    for number, (where, record) in enumerate(records, start=1):
        if first:
            check_columns(where, record, columns.names, reader.needed)
            first = False
        reader.read(number, where, record)
    if not reader.rows:
        where, reason = reader.rejected.reasons[0]
        raise InputError(f"{path} holds no usable row; the first is {where}: {reason}.")
    if reader.num_renamed:
        notes.append(
            f"Rows whose id another language has already, so that their own was added to it: {reader.num_renamed}."
        )
    notes += lacking_translations([row.cross_passage for row in reader.rows])
    return reader.rows, reader.rejected


def lacking_translations(cross_passages: Sequence[str | None]) -> list[str]:
    """A sentence that counts the rows without a translated passage; none if all have one, or none has.

    Args:
        cross_passages: The translated passage of each row; empty or None for none.
    """
    lacking = sum(not text for text in cross_passages)
    if lacking in (0, len(cross_passages)):
        return []
    return [f"Rows without a cross_passage, which others have: {lacking} of {len(cross_passages)}."]


def records_and_columns(
    path: Path, mapping: Mapping[str, str], our_names: Mapping[str, str], notes: list[str], needs_lang: bool = True
) -> tuple[Iterator[Record], Columns]:
    """The records of a file with objects of languages spread, and where their columns are.

    Args:
        path: The file.
        mapping: Our name of a column to the file's, as the user says it.
        our_names: Name by role, see `clear_ir.data.column_names.choose_columns`.
        notes: Gets sentences on how the file was read.
        needs_lang: Whether to look for the language.

    Returns:
        The records with their places, and the columns.

    Raises:
        InputError: If there are no records, or the columns cannot be told.
    """
    records = ((where, flatten_languages(record)) for where, record in read_records(path, notes))
    sample = list(islice(records, _SAMPLE))
    if not sample:
        raise InputError(f"{path} holds no rows; give at least one.")
    columns = choose_columns(sample[0][0], [record for _, record in sample], mapping, our_names, needs_lang)
    if columns.note:
        notes.append(columns.note)
    return chain(sample, records), columns


def check_columns(where: str, record: Mapping[str, Any], names: Mapping[str, str], needed: Sequence[str]) -> None:
    """Refuse a file that lacks a column.

    Args:
        where: The place of the first record.
        record: The record.
        names: Our names to those of the file, of the columns that were found.
        needed: Our names of the columns that must be there.

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
            f"{lacks}; it holds the query in the target language: translate the queries with clear-ir translate, or "
            "map the column that holds them.",
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
            passages = self._passages(record, "passage", where)
            translated = self._passages(record, "cross_passage", where)
        except BrokenText as error:
            self.rejected.add(where, str(error).removeprefix(f"{where}: "))
            return
        empty = [self.names[column] for column, text in texts.items() if text is None]
        if not any(passages):
            empty.append(self.names["passage"])
        if empty:
            self.rejected.add(where, f"{empty[0]!r} is null or empty")
            return
        if not any(translated):
            translated = [None] * len(passages)
        if len(translated) != len(passages):
            name = self.names["cross_passage"]
            self.rejected.add(where, f"{name!r} has {len(translated)} passages, but the row has {len(passages)}")
            return
        values = {column: text for column, text in texts.items() if text is not None}
        lang = self.lang or language_tag(values["lang"], f"{where}: {self.names['lang']!r}")
        if is_english(lang):
            said = values.get("lang", lang)
            name = self.names.get("lang", "lang")
            self.rejected.add(where, f"{name!r} is {said!r}, but it must be the language of the target-language query")
            return
        pairs = [(text, other or "") for text, other in zip(passages, translated, strict=True) if text]
        self._add(number, where, record, values | {"lang": lang}, pairs)

    def _add(
        self,
        number: int,
        where: str,
        record: Mapping[str, Any],
        values: Mapping[str, str],
        passages: list[tuple[str, str]],
    ) -> None:
        """Add a row for each passage, which comes with its translation."""
        record_id = self._text(record, "id", where) or f"{values['lang']}-{number}"
        passage_id = self._text(record, "passage_id", where) if len(passages) == 1 else None
        for count, (passage, translated) in enumerate(passages, start=1):
            row_id = record_id if count == 1 else f"{record_id}-{count}"
            check_id(row_id, f"{where}: the {self.names.get('id', 'id')}")
            if self._lang_of.setdefault(row_id, values["lang"]) != values["lang"]:
                row_id = f"{row_id}-{values['lang']}"
                self.num_renamed += 1
            if row_id in self.rejected.places:
                place = self.rejected.places[row_id]
                raise InputError(f"{where}: the id {row_id!r} was already used in {place}; make ids unique.")
            self.rejected.places[row_id] = where
            of_passage = passage_id or passage_id_of(text_key(passage))
            check_id(of_passage, f"{where}: the {self.names.get('passage_id', 'passage_id')}")
            queries = values["cross_query"], values["lang"]
            made_by = self._text(record, "translated_by", where) or ""
            self.rows.append(ParallelRow(row_id, values["query"], passage, of_passage, *queries, translated, made_by))

    def _passages(self, record: Mapping[str, Any], column: str, where: str) -> list[str | None]:
        """The texts in a column of passages; one None if the file has no such column."""
        if column not in self.names:
            return [None]
        place = f"{where}: {self.names[column]!r}"
        return [text_of(passage, place) for passage in passages_of(record.get(self.names[column]), place)]

    def _text(self, record: Mapping[str, Any], column: str, where: str) -> str | None:
        name = self.names.get(column, column)
        return text_of(record.get(name), f"{where}: {name!r}")


def write_parallel_rows(path: Path, rows: Iterable[ParallelRow]) -> None:
    """Write parallel rows as JSON Lines. If none has one of `OPTIONAL_COLUMNS`, the file has no such column."""
    write_jsonl(path, with_optional_columns([asdict(row) for row in rows]))


def with_optional_columns(records: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Records of one file, which all have each of `OPTIONAL_COLUMNS` or all lack it: without a text they have null.

    Args:
        records: The records; each is changed.
    """
    for column in OPTIONAL_COLUMNS:
        has_any = any(record.get(column) for record in records)
        for record in records:
            text = record.pop(column, None) or None
            if has_any:
                record[column] = text
    return records


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
    return [
        Translation(**texts, lang=lang or UNKNOWN) for _, texts, lang in _texts_and_lang(path, "english", "translation")
    ]


def read_labelled_texts(path: Path) -> list[LabelledText]:
    """Read texts with their languages from any file that `clear_ir.data.records.read_records` reads.

    Args:
        path: The file, with columns `text` and `lang`.

    Returns:
        The texts.

    Raises:
        InputError: If a column is missing, a text or language is null or empty, a language is no code, or there are no
            texts.
    """
    texts = []
    for where, fields, lang in _texts_and_lang(path, "text"):
        if lang is None:
            raise InputError(f"{where}: 'lang' is missing or empty; it must say the language of the text.")
        texts.append(LabelledText(fields["text"], lang))
    return texts


def _texts_and_lang(path: Path, *columns: str) -> Iterator[tuple[str, dict[str, str], str | None]]:
    """The place of each record, its texts in some columns, and its language, if it says one."""
    for where, record in read_records(path):
        texts = {}
        for column in columns:
            if column not in record:
                raise InputError(f"{no_column(where, column, record)}; name the columns {', '.join(columns)}.")
            text = _field(record, column, where)
            if text is None:
                raise InputError(f"{where}: {column!r} is null or empty; fix the line or remove it.")
            texts[column] = text
        yield where, texts, read_lang(record.get("lang"), f"{where}: 'lang'")


def read_lang(value: Any, where: str) -> str | None:
    """A field as the tag of a language; None for null and for an empty text.

    Args:
        value: The field.
        where: The place, to begin the error's sentence.

    Raises:
        InputError: If it is no language, see `clear_ir.data.languages.language_tag`.
    """
    code = text_of(value, where)
    return language_tag(code, where) if code else None


def _field(record: Mapping[str, Any], name: str, where: str) -> str | None:
    """A field as text, see `clear_ir.data.texts.text_of`."""
    return text_of(record.get(name), f"{where}: {name!r}")
