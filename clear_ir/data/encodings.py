"""Bytes as text: the encoding of a file is found, and named where it is not UTF-8."""

from __future__ import annotations

import codecs
import re
import unicodedata
from pathlib import Path

from clear_ir.data.files import InputError

#: A longer mark stands before one that it begins with.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

#: What spreadsheets and editors write for languages with Latin letters, the usual one first.
_LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "cp1258", "mac_roman")
_OTHERS = ("cp1251", "cp1253", "cp1255", "cp1256", "koi8_r", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr")

#: A character that is not of ASCII, with its neighbours.
_NOT_ASCII = re.compile(r"(?<=(.))([^\x00-\x7f])(?=(.))", re.DOTALL)
#: Signs that people write directly after a letter, and directly before one.
_AFTER_LETTER, _BEFORE_LETTER = "’‘“”»…°ºª®™–—\xa0", "’‘“”„‚«»¿¡–—•\xa0"

_MOST_BYTES = 200_000  # to find an encoding from


def decode(data: bytes, path: Path, notes: list[str]) -> str:
    """Decode the content of a file.

    Args:
        data: The content.
        path: The file, for messages.
        notes: Gets a sentence that names the encoding, if it is not UTF-8.

    Returns:
        The text.

    Raises:
        InputError: If no encoding fits.
    """
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            if name != "utf-8-sig":
                notes.append(f"{path} is not UTF-8 but {name.upper()}; it was read as such.")
            try:
                return data.decode(name)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}: byte {error.start} is not valid {name.removesuffix('-sig').upper()}; save the file as "
                    "UTF-8."
                ) from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        found, text = _guess(data)
        if found is None:
            raise InputError(f"{path}: byte {error.start} is not valid UTF-8; save the file as UTF-8.") from None
        notes.append(
            f"{path} is not UTF-8. It was read as {found}: {_example(text)!r}. If that looks wrong, save it as UTF-8."
        )
        return text


def _guess(data: bytes) -> tuple[str | None, str]:
    """The encoding that is most likely, and the text."""
    from charset_normalizer import from_bytes

    for utf_16 in ("utf-16-le", "utf-16-be"):  # Without a mark; Latin text has a zero in every second byte.
        zeros = data[1::2] if utf_16.endswith("le") else data[::2]
        if len(data) % 2 == 0 and zeros.count(0) > 0.3 * len(zeros):
            return utf_16, data.decode(utf_16, errors="replace")
    matches = from_bytes(data[:_MOST_BYTES], cp_isolation=[*_LATIN, *_OTHERS])
    names = [name for match in matches for name in match.could_be_from_charset if _decoded(data, name)]
    if not names:
        return None, ""
    best = names[0]
    if best in _LATIN:  # They differ in a few letters, and a text of some words is too little for the library.
        texts = {name: text for name in _LATIN if (text := _decoded(data, name))}
        best = min(texts, key=lambda name: _odd_characters(texts[name]) + _icelandic(texts[name]))
    return best, _decoded(data, best)


def _odd_characters(text: str) -> int:
    """How many characters nobody writes at their place: what a wrong code page makes of ü or é."""
    return sum(_is_odd(*found) for found in _NOT_ASCII.findall(f" {text[:_MOST_BYTES]} "))


def _is_odd(before: str, char: str, after: str) -> bool:
    if char.isalpha():
        return unicodedata.normalize("NFKC", char) != char or (before.islower() and not char.islower())
    return (before.isalpha() and char not in _AFTER_LETTER) or (after.isalpha() and char not in _BEFORE_LETTER)


def _icelandic(text: str) -> int:
    """How many letters are those that Icelandic alone has, unless it seems to be Icelandic, which has æ.

    They are what cp1252 makes of the letters that only Turkish has.
    """
    return 0 if "æ" in text else sum(map(text.count, "ðþýÐÞÝ"))


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return ""


def _example(text: str) -> str:
    """A few words of the text, with letters that the encodings disagree on."""
    found = re.search(r".{0,30}[^\x00-\x7f].{0,30}", text)
    return found[0].strip() if found else ""
