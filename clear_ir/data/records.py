"""Read records from any file that people keep rows in, with the place of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from clear_ir.data.encodings import decode
from clear_ir.data.files import (
    InputError,
    Record,
    as_object,
    check_exists,
    check_not_pointer,
    open_bytes,
    parse_json,
    read_jsonl,
    reason_of,
)
from clear_ir.data.tables import EXCEL_TABLES, TEXT_TABLES, read_table


def read_records(path: Path, notes: list[str] | None = None) -> Iterator[Record]:
    """Read records from JSON, CSV, TSV, Excel, Parquet or a saved `datasets` folder.

    Args:
        path: A file ending in .jsonl, .ndjson or .json (one object a line, or an array of objects), .csv, .tsv, .tab
            or .txt (with a header), all of these also with .gz, .xlsx, .parquet, or a folder that
            `datasets.Dataset.save_to_disk` wrote.
        notes: Gets a sentence for what had to be guessed, such as the encoding. It is complete when the last record
            has been read.

    Yields:
        The place of the record (`"rows.jsonl, line 3"`) and its fields.

    Raises:
        InputError: If the path is missing, empty, of another kind, or a line cannot be read.
    """
    notes = [] if notes is None else notes
    check_exists(path)
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if path.is_dir():
        yield from _read_saved_dataset(path)
        return
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; give a file with at least one record.")
    if suffix in (".jsonl", ".ndjson", ".json"):
        yield from _read_json(path, notes)
    elif suffix in (*TEXT_TABLES, *EXCEL_TABLES, ".xls"):
        yield from read_table(path, notes)
    elif suffix == ".parquet":
        yield from _read_parquet(path)
    else:
        if suffix in (".zip", ".bz2", ".xz", ".zst", ".7z", ".tar"):
            raise InputError(f"{path} is packed in a way that is not read; unpack it first, or pack it as .gz.")
        raise InputError(
            f"{path} ends in {suffix or 'nothing'}; give .jsonl, .json, .csv, .tsv (or these with .gz), .xlsx, "
            ".parquet or a saved dataset."
        )


def _read_json(path: Path, notes: list[str]) -> Iterator[Record]:
    """JSON Lines. If the first line is no object: one document, or lines in another encoding."""
    records = read_jsonl(path)
    try:
        first = next(records)
    except InputError:
        yield from _read_document(path, notes)
        return
    second = next(records, None)
    if second is None:
        yield from _rows_of(path, *first)
    else:
        yield from (first, second)
        yield from records


def _read_document(path: Path, notes: list[str]) -> Iterator[Record]:
    """A file that is one JSON value, or UTF-16 JSON Lines."""
    with open_bytes(path) as file:
        data = file.read()
    try:
        text = decode(data, path, notes)
        document = parse_json(text, str(path))
    except InputError:
        if b"\0" not in data[:4]:  # as UTF-16 has
            yield from read_jsonl(path)  # Its error names the line.
            return
        text = decode(data, path, [])  # the error again, if it was the encoding's
        lines = [(f"{path}, line {n}", line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
        yield from ((where, as_object(where, parse_json(line, where))) for where, line in lines)
        return
    if isinstance(document, dict):
        yield from _rows_of(path, str(path), document)
        return
    if not isinstance(document, list) or not document:
        raise InputError(f"{path} holds no records; give one JSON object a line, or an array of objects.")
    for number, item in enumerate(document, start=1):
        where = f"{path}, item {number}"
        yield where, as_object(where, item)


def _rows_of(path: Path, where: str, document: dict[str, Any]) -> Iterator[Record]:
    """The rows of a whole table in one object, as pandas and web services write it; else the object is a record.

    The table is `{"column": {"0": value, ...}}`, `{"0": {"column": value}}`, `{"data": [{"column": value}]}`, or
    `{"columns": [name], "data": [[value]]}`.
    """
    data, columns, values = document.get("data"), document.get("columns"), list(document.values())
    keys = values[0].keys() if isinstance(values[0] if values else None, dict) else {}
    if isinstance(data, list) and isinstance(columns, list):
        rows: Iterable[tuple[Any, Any]] = enumerate((dict(zip(columns, row, strict=False)) for row in data), start=1)
    elif isinstance(data, list) and data and all(isinstance(item, dict) for item in data):
        rows = enumerate(data, start=1)
    elif not keys or any(not isinstance(value, dict) or value.keys() != keys for value in values):
        rows = []
    elif all(key.isdecimal() for key in document):
        rows = document.items()
    elif len(values) > 1 and all(key.isdecimal() for key in keys):
        rows = ((key, {name: column[key] for name, column in document.items()}) for key in keys)
    else:
        rows = []
    empty = True
    for number, row in rows:
        empty = False
        yield f"{path}, row {number}", row
    if empty:
        yield where, document


def _read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    check_not_pointer(path)
    try:
        number = 0
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", record
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a valid Parquet file: {reason_of(error)}") from None


def _read_saved_dataset(path: Path) -> Iterator[Record]:
    from datasets import Dataset, load_from_disk

    for file in sorted(path.glob("**/*.arrow")):
        check_not_pointer(file)
    try:
        dataset = load_from_disk(str(path))
    except (FileNotFoundError, ValueError):
        raise InputError(f"{path} is a folder but not a saved dataset; give a file or a save_to_disk folder.") from None
    if not isinstance(dataset, Dataset):
        if len(dataset) > 1:
            raise InputError(f"{path} holds the splits {', '.join(dataset)}; give the folder of one of them.")
        [dataset] = dataset.values()
    for number, record in enumerate(dataset, start=1):
        yield f"{path}, row {number}", dict(record)
