"""What counts as a text, and as the same text, said once for all readers."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

from clear_ir.data.files import InputError, hash_of


class BrokenText(InputError):
    """A text that no file in UTF-8 can hold and no tokenizer can read."""


def text_of(value: Any, where: str) -> str | None:
    """A field as text.

    Args:
        value: What the file holds.
        where: The place, to begin the error's sentence: file, line and column.

    Returns:
        The text without surrounding white space. Numbers and truth values become text, 0 and False too. None for null,
        NaN and empty text.

    Raises:
        BrokenText: If it holds half of a surrogate pair.
        InputError: If it is a list, an object, bytes or infinite.
    """
    if isinstance(value, str):
        text = value.strip()
    elif value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    elif isinstance(value, list | tuple | dict | bytes):
        raise InputError(f"{where} holds a {type(value).__name__} and not one text; write one row for each text.")
    elif isinstance(value, float) and math.isinf(value):
        raise InputError(f"{where} holds {value}, which is no text; put quotes around it if it is one.")
    else:
        text = str(value).strip()
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = ascii(text[error.start])[1:-1]
            raise BrokenText(f"{where} holds {half}, half of a character that was cut in two; remove it.") from None
    return text or None


def passage_id_of(text: str) -> str:
    """The id of a passage that has none: equal texts have one id.

    Args:
        text: The passage, or its `text_key` where texts that differ by white space are one passage.
    """
    return "p-" + hash_of(text)[:12]


def text_key(text: str) -> str:
    """What is equal for texts that differ by Unicode normalization or white space alone.

    Args:
        text: Any text.

    Returns:
        The text in normalization form C, each run of white space as one space.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())
