"""What counts as a text, and as the same text, said once for all readers."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

from clear_ir.data.files import InputError


def text_of(value: Any, where: str) -> str | None:
    """A field as text.

    Args:
        value: What the file holds.
        where: The place, to begin the error's sentence: file, line and column.

    Returns:
        The text without surrounding white space. Numbers become text, 0 too. None for null, NaN and empty text.

    Raises:
        InputError: If it is a list or an object.
    """
    if isinstance(value, list | dict):
        raise InputError(f"{where} holds a {type(value).__name__} and not one text; write one row for each text.")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(value).strip() or None


def text_key(text: str) -> str:
    """What is equal for texts that differ by Unicode normalization or white space alone.

    Args:
        text: Any text.

    Returns:
        The text in normalization form C, each run of white space as one space.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())
