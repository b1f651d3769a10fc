"""Read records from any file that people keep rows in, with the place of each."""

from __future__ import annotations

from collections.abc import Iterator
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
    parse_json_values,
    read_jsonl,
    reason_of,
)
from clear_ir.data.json_tables import rows_of_table
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
    with path.open("rb") as file:
        begin = file.read(4)
    if begin == b"PAR1":  # whatever its name ends in; so are Excel files, which are ZIP files
        yield from _read_parquet(path)
    elif begin == b"PK\x03\x04" and suffix in (".jsonl", ".ndjson", ".json"):
        yield from read_table(path, notes)
    elif suffix in (".jsonl", ".ndjson", ".json"):
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
    """A file that is one JSON value, several that go over many lines, or UTF-16 JSON Lines."""
    with open_bytes(path) as file:
        data = file.read()
    try:
        text = decode(data, path, notes)
    except InputError:
        if b"\0" in data[:4]:  # as UTF-16 has
            raise
        yield from read_jsonl(path)  # Its error names the line.
        return
    if text.strip() and text.lstrip()[0] not in "[{":
        raise InputError(f"{path} holds no JSON object; give one a line, or name the file by what it is.")
    try:
        documents = parse_json_values(text, str(path))
    except InputError:
        if text.lstrip()[0] == "[":
            raise
        lines = [(f"{path}, line {n}", line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
        yield from ((where, as_object(where, parse_json(line, where))) for where, line in lines)
        return
    first = documents[0] if len(documents) == 1 else None
    if isinstance(first, dict):
        yield from _rows_of(path, str(path), first)
        return
    items = first if isinstance(first, list) else documents
    if not items:
        raise InputError(f"{path} holds no records; give one JSON object a line, or an array of objects.")
    for number, item in enumerate(items, start=1):
        where = f"{path}, item {number}"
        yield where, as_object(where, item)


def _rows_of(path: Path, where: str, document: dict[str, Any]) -> Iterator[Record]:
    """The rows of a whole table in one object; else the object is a record."""
    rows = rows_of_table(document, str(path))
    if rows is None:
        yield where, document
    else:
        yield from ((f"{path}, row {number}", row) for number, row in rows)


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
