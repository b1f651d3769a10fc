"""Read records with their line numbers."""

from __future__ import annotations

import csv
import difflib
import gzip
import hashlib
import io
import json
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
        super().__init__(message)
        self.settings = settings
        self.begins_with_setting = begins_with_setting


def reason_of(error: Exception) -> str:
    """What an error of a library says, to put into a sentence: its first line, or its type if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


_LFS_POINTER = b"version https://git-lfs"

Record = tuple[str, dict[str, Any]]


def read_records(path: Path) -> Iterator[Record]:
    """Read records from JSON Lines, CSV, Parquet or a saved `datasets` folder.

    Args:
        path: A file ending in .jsonl, .json (one object a line), .csv or .parquet, the first three also with .gz, or
            a folder that `datasets.Dataset.save_to_disk` wrote.

    Yields:
        The place of the record (`"rows.jsonl, line 3"`) and its fields.

    Raises:
        InputError: If the path is missing, empty, of another kind, or a line cannot be read.
    """
    _check_exists(path)
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if path.is_dir():
        yield from _read_saved_dataset(path)
        return
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; give a file with at least one record.")
    if suffix in (".jsonl", ".json"):
        yield from read_jsonl(path)
    elif suffix == ".csv":
        yield from _read_csv(path)
    elif suffix == ".parquet":
        yield from _read_parquet(path)
    else:
        raise InputError(
            f"{path} ends in {suffix or 'nothing'}; give .jsonl, .json, .csv (or these with .gz), .parquet or a saved "
            "dataset."
        )


def read_jsonl(path: Path) -> Iterator[Record]:
    """Read a JSON Lines file, see `read_records`."""
    _check_exists(path)
    empty = True
    with open_bytes(path) as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            where = f"{path}, line {number}"
            try:
                record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise not_utf8(where, error) from None
            except json.JSONDecodeError as error:
                hint = " (expected one JSON object per line)" if number == 1 else ""
                raise InputError(f"{where}: not valid JSON at column {error.colno}: {error.msg}{hint}.") from None
            if not isinstance(record, dict):
                raise InputError(f"{where}: expected a JSON object, found {type(record).__name__}.")
            empty = False
            yield where, record
    if empty:
        raise InputError(f"{path} holds no records; give a file with at least one.")


@contextmanager
def open_bytes(path: Path) -> Iterator[Any]:
    """Open a file to read, one ending in .gz unpacked.

    Args:
        path: The file.

    Yields:
        The open file.

    Raises:
        InputError: If it ends in .gz and is no such file, or is cut short; or if it is a pointer of git LFS.
    """
    check_not_pointer(path)
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
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


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path.")


def _read_csv(path: Path) -> Iterator[Record]:
    try:
        with open_bytes(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for record in reader:
                if None in record:
                    raise InputError(f"{path}, line {reader.line_num}: more fields than the header has; quote commas.")
                yield f"{path}, line {reader.line_num}", record
    except UnicodeDecodeError as error:
        raise not_utf8(str(path), error) from None
    except csv.Error as error:
        raise InputError(f"{path}: not valid CSV: {error}.") from None


def _read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    check_not_pointer(path)
    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{path} is not a valid Parquet file: {reason_of(error)}") from None
    for number, record in enumerate(table.to_pylist(), start=1):
        yield f"{path}, row {number}", record


def _read_saved_dataset(path: Path) -> Iterator[Record]:
    from datasets import Dataset, load_from_disk

    for file in sorted(path.glob("*.arrow")):
        check_not_pointer(file)
    try:
        dataset = load_from_disk(str(path))
    except (FileNotFoundError, ValueError):
        raise InputError(f"{path} is a folder but not a saved dataset; give a file or a save_to_disk folder.") from None
    if not isinstance(dataset, Dataset):
        raise InputError(f"{path} holds the splits {', '.join(dataset)}; give the folder of one of them.")
    for number, record in enumerate(dataset, start=1):
        yield f"{path}, row {number}", dict(record)


def hash_of(*parts: str) -> str:
    """SHA-256 of texts, in order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        # With its length, so that ("ab", "c") and ("a", "bc") differ.
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
