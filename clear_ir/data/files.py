"""Read records with their line numbers."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """Input that cannot be used. One sentence says what is wrong, where, and what to do.

    Args:
        message: The sentence. It names no flag of the command line, because a script has none.
        settings: Names of the settings that may be wrong, such as `data`. The command line adds their flags to the
            sentence.
        begins_with_setting: Whether the sentence begins with the name of the first setting. The command line puts the
            flag in its place.
    """

    def __init__(self, message: str, *settings: str, begins_with_setting: bool = False) -> None:
        super().__init__(" ".join(message.splitlines()))  # what it quotes may have several lines
        self.settings = settings
        self.begins_with_setting = begins_with_setting


def reason_of(error: Exception) -> str:
    """What an error of a library says, to put into a sentence: its first line, or its type if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


_LFS_POINTER = b"version https://git-lfs"
_GZIP = b"\x1f\x8b"  # how such a file begins

Record = tuple[str, dict[str, Any]]


def read_jsonl(path: Path) -> Iterator[Record]:
    """Read a JSON Lines file: one object a line. Only a line feed ends a line, whatever else stands in the texts.

    Args:
        path: The file, also with .gz.

    Yields:
        The place of the record (`"rows.jsonl, line 3"`) and its fields.

    Raises:
        InputError: If the file is missing or empty, or a line is not one JSON object in UTF-8.
    """
    check_exists(path)
    empty = True
    with open_bytes(path) as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            where = f"{path}, line {number}"
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise not_utf8(where, error) from None
            record = as_object(where, parse_json(text, where, "one JSON object per line" if number == 1 else ""))
            empty = False
            yield where, record
    if empty:
        raise InputError(f"{path} holds no records; give a file with at least one.")


def parse_json(text: str, where: str, expected: str = "") -> Any:
    """Parse JSON. What would be lost or cannot be held is an error.

    Args:
        text: The JSON.
        where: The place, to begin the error's sentence: file and line.
        expected: What should stand there, for the error.

    Returns:
        The value.

    Raises:
        InputError: If it is not valid, a name stands twice in an object, a number has thousands of digits, or it is
            nested too deeply.
    """
    with _naming_json_errors(where, expected):
        return _DECODER.decode(text)


def parse_json_values(text: str, where: str) -> list[Any]:
    """Parse JSON values that follow each other, each over as many lines as it likes. Errors are those of `parse_json`.

    Args:
        text: The JSON.
        where: The file, to begin the error's sentence.

    Returns:
        The values.
    """
    values, at = [], 0
    with _naming_json_errors(where):
        while begin := _NOT_SPACE.search(text, at):
            value, at = _DECODER.raw_decode(text, begin.start())
            values.append(value)
    return values


@contextmanager
def _naming_json_errors(where: str, expected: str = "") -> Iterator[None]:
    try:
        yield
    except json.JSONDecodeError as error:
        hint = f" (expected {expected})" if expected else ""
        line = f", line {error.lineno}" if error.lineno > 1 else ""
        raise InputError(f"{where}{line}: not valid JSON at column {error.colno}: {error.msg}{hint}.") from None
    except RecursionError:
        raise InputError(f"{where}: lists or objects are nested too deeply; make the record flat.") from None
    except _NameTwice as error:
        raise InputError(f"{where}: an object has {error.args[0]!r} twice; remove one.") from None
    except ValueError:  # Python refuses to convert it, because that takes very long.
        raise InputError(f"{where}: a number has thousands of digits; put quotes around it.") from None


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML.

    Args:
        text: The YAML.
        where: The place, to begin the error's sentence.

    Returns:
        The value; None for an empty text.

    Raises:
        InputError: If it is not valid, a value is a number of thousands of digits or a date that does not exist, or it
            is nested too deeply.
    """
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark and "\n" in text else ""
        problem = getattr(error, "problem", None) or reason_of(error)
        raise InputError(f"{where}{line}: not valid YAML: {problem}.") from None
    except RecursionError:
        raise InputError(f"{where}: lists are nested too deeply; write stages and their settings.") from None
    except (ValueError, OverflowError) as error:  # what looks like a number or a date, and is none
        problem = reason_of(error)
        if "digits" in problem:  # Python refuses to convert it, because that takes very long, and speaks of itself
            problem = "a number has thousands of digits"
        raise InputError(f"{where}: not valid YAML: {problem}; correct it or put quotes around it.") from None


class _NameTwice(Exception):
    """A name that stands twice in an object. Its second value would silently replace the first."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise _NameTwice(next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i])))
    return names


_NOT_SPACE = re.compile(r"\S")
_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def as_object(where: str, value: Any) -> dict[str, Any]:
    """A parsed JSON value as a record.

    Raises:
        InputError: If it is not an object.
    """
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(value).__name__}.")
    return value


@contextmanager
def open_bytes(path: Path) -> Iterator[Any]:
    """Open a file to read, unpacked if it is packed with gzip. Its name does not matter: browsers unpack, or do not.

    Args:
        path: The file.

    Yields:
        The open file.

    Raises:
        InputError: If it is packed and cut short or damaged; or if it is a pointer of git LFS.
    """
    check_not_pointer(path)
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be unpacked ({error}); get the file again.") from None


def or_packed(path: Path) -> Path:
    """The file, or the one of its name with .gz where that is there instead."""
    packed = path.with_name(path.name + ".gz")
    return packed if not path.exists() and packed.exists() else path


def not_utf8(where: str, error: UnicodeDecodeError) -> InputError:
    """The error for text that is not UTF-8.

    Args:
        where: The file, with the line if it is known.
        error: The error of the decoder.

    Returns:
        The error to raise.
    """
    return InputError(f"{where}: byte {error.start} is not valid UTF-8; save the file as UTF-8.")


def is_path(name: Path | str) -> bool:
    """Whether a name that may be a path or a name on the hub can only be a path.

    Args:
        name: Such as `models/sw` or `BAAI/bge-m3`.

    Returns:
        True if there is such a file or folder, or a folder that it would lie in, or if it cannot be a hub name.
    """
    path, text = Path(name), str(name)
    in_a_folder = text.count("/") == 1 and path.parent.is_dir()
    return path.exists() or in_a_folder or text.startswith((".", "/", "~")) or text.count("/") > 1


def no_such_folder(path: Path) -> str:
    """The sentence that says so, with the folders beside it that have a similar name."""
    beside = [child.name for child in path.parent.iterdir() if child.is_dir()] if path.parent.is_dir() else []
    similar = difflib.get_close_matches(path.name, beside, n=1)
    advice = f"did you mean {path.parent / similar[0]}?" if similar else "check its name."
    return f"There is no folder {path}; {advice}"


def check_not_pointer(path: Path) -> None:
    """Refuse a pointer of git LFS, which lies where a large file was not fetched.

    Args:
        path: The file.

    Raises:
        InputError: If it is one.
    """
    with path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise InputError(f"{path} is a pointer of git LFS, not the file itself; fetch the file: git lfs pull")


def check_exists(path: Path) -> None:
    """Refuse a path where nothing is.

    Raises:
        InputError: If it does not exist.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path.")


def hash_of(*parts: str) -> str:
    """SHA-256 of texts, in order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        # With its length, so that ("ab", "c") and ("a", "bc") differ.
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
