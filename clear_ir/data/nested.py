"""Lists and objects in records: those of known formats are spread over flat records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clear_ir.data.files import InputError
from clear_ir.data.languages import is_english

#: Names of the text in an object or a record that stands for a passage. Its title is put before it, as in BEIR.
TEXT_NAMES = ("text", "passage_text", "contents", "content", "passage", "document", "body")


def flatten_languages(record: dict[str, Any]) -> dict[str, Any]:
    """Spread objects with one text for each language, such as `{"translation": {"en": "...", "de": "..."}}`.

    Args:
        record: A record of a file.

    Returns:
        The record with a column for each language in the place of such an object: `translation_en`, `translation_de`.
        A record without any is returned as it is.
    """
    if not any(_has_languages(value) for value in record.values()):
        return record
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= {f"{name}_{lang}": text for lang, text in value.items()} if _has_languages(value) else {name: value}
    return flat


def _has_languages(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) < 2:
        return False
    return any(is_english(key) for key in value) and all(isinstance(text, str | None) for text in value.values())


def passages_of(value: Any, where: str) -> list[Any]:
    """The passages in a field: one, or several as FlagEmbedding, Tevatron and tables with lists have them.

    Args:
        value: A text, an object with a text and perhaps a title, or a list of these.
        where: The place, to begin the error's sentence: file, line and column.

    Returns:
        The passages, each a text, a number or null.

    Raises:
        InputError: If it is another object or list.
    """
    items = value if isinstance(value, list | tuple) else [value]
    return [_passage(item, where) for item in items]


def _passage(item: Any, where: str) -> Any:
    if isinstance(item, Mapping):
        for name in TEXT_NAMES:
            if isinstance(text := item.get(name), str):
                title = item.get("title")
                return f"{title} {text}".strip() if isinstance(title, str) else text
        raise InputError(
            f"{where} holds an object with {', '.join(map(str, item)) or 'no field'}; give a text, or an object with "
            "text (and title), as Tevatron does."
        )
    if isinstance(item, list | tuple):
        raise InputError(f"{where} holds a list of lists; give a list of texts, as FlagEmbedding does.")
    return item
