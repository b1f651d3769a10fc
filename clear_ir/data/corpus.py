"""A corpus: its passages, whatever file holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clear_ir.data.collection import Text
from clear_ir.data.files import InputError, or_packed
from clear_ir.data.languages import language_tag
from clear_ir.data.nested import TEXT_NAMES
from clear_ir.data.records import read_records
from clear_ir.data.texts import text_of

#: Names of the columns beside the text, those of BEIR first.
_ID_NAMES = ("_id", "id", "docid", "doc_id", "passage_id", "pid")
_LANG_NAMES = ("lang", "language")


def read_corpus(path: Path, setting: str = "corpus") -> Iterator[Text]:
    """Read the passages of a corpus, one at a time: a corpus may be larger than the memory.

    Args:
        path: A file that `clear_ir.data.records.read_records` reads, with a column `text` and optionally `_id` or `id`,
            `title` and `lang`; or a collection, of which `corpus.jsonl` is read.
        setting: The setting that errors name.

    Yields:
        The passages. An empty one has no `full_text`. One without `lang` is English.

    Raises:
        InputError: If the file cannot be read, has no column of texts, or a language is no code.
    """
    of_collection = or_packed(path / "corpus.jsonl")
    if path.is_dir() and not of_collection.exists() and not (path / "dataset_info.json").exists():
        raise InputError(f"{path} has no corpus.jsonl; give a collection, or a file with a passage a line.", setting)
    for where, record in read_records(of_collection if of_collection.exists() else path):
        name = _first_of(TEXT_NAMES, record)
        if name is None:
            columns = ", ".join(map(str, record)) or "no column"
            raise InputError(f"{where} has {columns}; name the column that holds the passage text.", setting)
        text, title = (text_of(record.get(column), f"{where}: {column!r}") or "" for column in (name, "title"))
        lang_name, id_name = _first_of(_LANG_NAMES, record), _first_of(_ID_NAMES, record)
        lang = text_of(record[lang_name], f"{where}: {lang_name!r}") if lang_name else None
        text_id = text_of(record[id_name], f"{where}: {id_name!r}") if id_name else None
        yield Text(text_id or "", text, language_tag(lang, f"{where}: {lang_name!r}") if lang else "en", title)


def _first_of(names: tuple[str, ...], record: Mapping[str, Any]) -> str | None:
    return next((name for name in names if name in record), None)
