"""Files in and out: records with their line numbers, and outputs that appear whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """Input that cannot be used, told in one sentence: what is wrong, where, and what to do.

    Args:
        message: The sentence. It names no flag of the command line, because a script has none.
        settings: Names of the settings that may be wrong, such as ``data``. The command line adds its flags for them.
    """

    def __init__(self, message: str, *settings: str) -> None:
        super().__init__(message)
        self.settings = settings


Record = tuple[str, dict[str, Any]]


def read_records(path: Path) -> Iterator[Record]:
    """Read records from JSON Lines, CSV, Parquet or a saved ``datasets`` folder.

    Args:
        path: A file ending in .jsonl, .json (one object a line), .csv or .parquet, or a folder that
            ``datasets.Dataset.save_to_disk`` wrote.

    Yields:
        Where the record stands (``"rows.jsonl, line 3"``) and its fields.

    Raises:
        InputError: If the path is missing, empty, of another kind, or a line cannot be read.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path.")
    suffix = path.suffix.lower()
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
            f"{path} ends in {suffix or 'nothing'}; give .jsonl, .json, .csv, .parquet or a saved dataset."
        )


def read_jsonl(path: Path) -> Iterator[Record]:
    """Read a JSON Lines file, see :func:`read_records`."""
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path.")
    found = False
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            where = f"{path}, line {number}"
            try:
                record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise InputError(f"{where}: byte {error.start} is no valid UTF-8; save the file as UTF-8.") from None
            except json.JSONDecodeError as error:
                hint = " (one JSON object a line is expected)" if number == 1 else ""
                raise InputError(f"{where}: no valid JSON at column {error.colno}: {error.msg}{hint}.") from None
            if not isinstance(record, dict):
                raise InputError(f"{where}: expected a JSON object, found {type(record).__name__}.")
            found = True
            yield where, record
    if not found:
        raise InputError(f"{path} holds no records; give a file with at least one.")


def _read_csv(path: Path) -> Iterator[Record]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for record in reader:
                if None in record:
                    raise InputError(f"{path}, line {reader.line_num}: more fields than the header has; quote commas.")
                yield f"{path}, line {reader.line_num}", record
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is no valid UTF-8; save the file as UTF-8.") from None
    except csv.Error as error:
        raise InputError(f"{path}: no valid CSV: {error}.") from None


def _read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{path} is no valid Parquet file: {str(error).splitlines()[0]}") from None
    for number, record in enumerate(table.to_pylist(), start=1):
        yield f"{path}, row {number}", record


def _read_saved_dataset(path: Path) -> Iterator[Record]:
    from datasets import Dataset, load_from_disk

    try:
        dataset = load_from_disk(str(path))
    except (FileNotFoundError, ValueError):
        raise InputError(f"{path} is a folder but no saved dataset; give a file or a save_to_disk folder.") from None
    if not isinstance(dataset, Dataset):
        raise InputError(f"{path} holds the splits {', '.join(dataset)}; give the folder of one of them.")
    for number, record in enumerate(dataset, start=1):
        yield f"{path}, row {number}", dict(record)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path, "partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _beside(path: Path, suffix: str) -> Path:
    """A name next to ``path`` that nobody else uses, on the same file system so that renaming is at once."""
    return path.with_name(f"{path.name}.{os.getpid()}.{suffix}")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def check_new(path: Path, marker: str | None = None, overwrite: bool = False) -> None:
    """Refuse an output path that is taken.

    Args:
        path: Where the output shall be.
        marker: For a folder: a file that every such folder of ours holds. Only a folder with it is ever
            replaced.
        overwrite: Whether the user allowed to replace our own earlier output.

    Raises:
        InputError: If the path is taken and must not be replaced.
    """
    if marker is None:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give a file name for the output.", "out")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; give another path or allow overwriting.", "out", "overwrite")
        return
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; give a folder name for the output.", "out")
    if not path.exists() or not any(path.iterdir()):
        return
    if not (path / marker).exists():
        raise InputError(f"{path} holds files that this command did not make; give a new or empty folder.", "out")
    if not overwrite:
        raise InputError(
            f"{path} already holds results ({marker}); give another path or allow overwriting.",
            "out",
            "overwrite",
        )


@contextmanager
def new_folder(path: Path, marker: str, overwrite: bool = False) -> Iterator[Path]:
    """Fill a folder that appears at ``path`` only when all of it is there.

    Args:
        path: The folder to make.
        marker: See :func:`check_new`.
        overwrite: See :func:`check_new`.

    Yields:
        The folder to write into, beside ``path``; it is removed if the block fails.
    """
    check_new(path, marker, overwrite)
    partial = _beside(path, "partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        put_in_place(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def put_in_place(made: Path, path: Path) -> None:
    """Rename the folder ``made`` to ``path``, replacing what is there."""
    old = _beside(path, "old")
    if path.exists():
        path.replace(old)
    made.replace(path)
    shutil.rmtree(old, ignore_errors=True)


def hash_of(*parts: str) -> str:
    """SHA-256 of texts, in order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
