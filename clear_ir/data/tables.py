"""Read tables: CSV and TSV as spreadsheets and other programs really write them, and Excel files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clear_ir.data.encodings import decode
from clear_ir.data.files import InputError, Record, open_bytes, reason_of

#: Ends of the names of files that `read_table` reads.
TEXT_TABLES = (".csv", ".tsv", ".tab", ".txt")
EXCEL_TABLES = (".xlsx", ".xlsm")

_DELIMITERS = ",;\t|"
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}

#: How fields are quoted, the usual way first: quotes doubled, quotes after a backslash.
_QUOTED: tuple[dict[str, Any], ...] = ({}, {"escapechar": "\\"})
_UNQUOTED: dict[str, Any] = {"quoting": csv.QUOTE_NONE}

Row = tuple[str, list[Any]]


def read_table(path: Path, notes: list[str]) -> Iterator[Record]:
    """Read the records of a table whose first line has the names of the columns.

    The delimiter, the encoding and the way of quoting are found from the file. Empty lines are left out, and so are
    columns that have neither a name nor a value.

    Args:
        path: A CSV or TSV file, also with .gz, or an Excel file, whatever its name ends in.
        notes: Gets a sentence for what is not as in a plain file: encoding, delimiter, sheet, lines left out.

    Yields:
        The place of each record and its fields by name. An empty cell of an Excel file is None.

    Raises:
        InputError: If the file cannot be read as a table.
    """
    with open_bytes(path) as file:
        data = file.read()
    if data.startswith(b"PK\x03\x04"):
        rows = _excel_rows(path, data, notes)
    elif data.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{path} is an old or a protected Excel file; save it as .xlsx without a password, or as CSV.")
    elif path.suffix.lower() in EXCEL_TABLES:
        raise InputError(f"{path} is not a valid Excel file; save it again as .xlsx, or as CSV.")
    else:
        rows = _text_rows(path, decode(data, path, notes), notes)
    yield from _records(path, rows, notes)


def _records(path: Path, rows: Iterator[Row], notes: list[str]) -> Iterator[Record]:
    """The rows below the header as records."""
    header = next((row for row in rows if not _is_empty(row[1])), None)
    if header is None:
        raise InputError(f"{path} holds no records; give a file with at least one.")
    where, cells = header
    names = [" ".join(str(cell).split()) if cell is not None else "" for cell in cells]  # a name may have two lines
    while names and not names[-1]:
        names.pop()  # What stands below is checked to be empty.
    if twice := [name for i, name in enumerate(names) if name and name in names[:i]]:
        raise InputError(f"{where}: two columns are named {twice[0]!r}; rename one.")
    names = [name or f"column {number}" for number, name in enumerate(names, start=1)]
    empty = count = 0
    for where, cells in rows:
        if _is_empty(cells):
            empty += 1
            continue
        if not _is_empty(cells[len(names) :]):
            raise InputError(
                f"{where}: {len(cells)} fields, but the header has {len(names)}; put quotes around fields that hold "
                "the delimiter, and name every column."
            )
        count += 1
        values = cells + [None] * (len(names) - len(cells))
        yield where, dict(zip(names, values, strict=False))
    if not count:
        raise InputError(f"{path} holds no records below its header; give a file with at least one.")
    if empty:
        notes.append(f"{path}: empty lines left out: {empty}.")


def _is_empty(cells: list[Any]) -> bool:
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells)


def _text_rows(path: Path, text: str, notes: list[str]) -> Iterator[Row]:
    """The rows of a CSV or TSV file, header included, each with its first line's number."""
    kind = {"<": "HTML or XML", "{": "JSON", "[": "JSON"}.get(text.lstrip()[:1])
    if kind:
        raise InputError(f"{path} holds {kind} and no table of text; save it as CSV, or name it by what it is.")
    csv.field_size_limit(2**31 - 1)  # The default of 128 KiB is shorter than some passages.
    text, delimiter = _delimiter(text)
    usual = "\t" if Path(path.name.removesuffix(".gz")).suffix.lower() in (".tsv", ".tab") else ","
    quoting = _quoting(path, text, delimiter)
    if delimiter != usual:
        notes.append(f"{path}: fields are separated by a {_NAMES.get(delimiter, repr(delimiter))}.")
    if quoting is _UNQUOTED:
        notes.append(f"{path}: quotes are not used to quote fields; they are read as part of the text.")
    elif quoting:
        notes.append(f"{path}: a backslash stands before quotes within fields; it was removed.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, **quoting)
    begin = 1
    for cells in reader:
        yield f"{path}, line {begin}", cells
        begin = reader.line_num + 1


def _delimiter(text: str) -> tuple[str, str]:
    """The text without Excel's first line `sep=;`, and what separates the fields of its header."""
    if told := re.match(r'"?sep=(.)"?\r?\n', text, re.IGNORECASE):
        return "\n" + text[told.end() :], told[1]  # An empty line in its place keeps the numbers of lines.
    header = next((line for line in io.StringIO(text) if line.strip()), "")
    try:
        return text, csv.Sniffer().sniff(header, _DELIMITERS).delimiter
    except csv.Error:  # There is one column, or none.
        return text, ","


def _quoting(path: Path, text: str, delimiter: str) -> dict[str, Any]:
    """The first way of quoting in which the whole file can be read, with no more fields in a row than in the header.

    Raises:
        InputError: If there is none.
    """
    # Programs that write tabs between fields often do not quote at all.
    ways = (*_QUOTED, _UNQUOTED) if delimiter == "\t" else _QUOTED
    first: str = ""
    for way in ways:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, **way)
        try:
            width, begin = 0, 1
            for cells in reader:
                begin = reader.line_num + 1
                width = width or (0 if _is_empty(cells) else len(cells))
                if way and not _is_empty(cells[width:]):
                    raise csv.Error("other numbers of fields")
            return way
        except csv.Error as error:
            first = first or f"{path}, line {begin}: not valid CSV: {error}"
    raise InputError(f"{first}; double each quote within a quoted field, and close every quoted field.")


def _excel_rows(path: Path, data: bytes, notes: list[str]) -> Iterator[Row]:
    """The rows of the first sheet that is not empty."""
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.escape import unescape
    except ImportError:
        raise InputError(
            f"{path} is an Excel file; to read it, run: pip install 'clear-ir[excel]', or save it as CSV."
        ) from None
    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except Exception as error:  # A ZIP file of another kind, a damaged file: openpyxl raises errors of many types.
        raise InputError(f"{path} is not a valid Excel file: {reason_of(error)}") from None
    filled = []
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # Some programs write wrong ones.
        rows = [list(row) for row in sheet.iter_rows(values_only=True)]
        if any(not _is_empty(row) for row in rows):
            filled.append((sheet.title, rows))
    if len(filled) > 1:
        others = ", ".join(repr(title) for title, _ in filled[1:])
        notes.append(f"{path}: the sheet {filled[0][0]!r} was read, but not {others}.")
    for title, rows in filled[:1]:
        for number, row in enumerate(rows, start=1):
            cells = [unescape(cell) if isinstance(cell, str) else cell for cell in row]
            yield f"{path}, sheet {title!r}, row {number}", cells
