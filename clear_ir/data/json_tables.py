"""Whole tables in one JSON object, in the shapes that pandas, `datasets` and web services write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clear_ir.data.files import InputError
from clear_ir.data.languages import is_english

#: Names of a list of rows beside other fields, such as a version.
_ROWS = ("data", "rows", "records", "examples", "items")

Rows = Iterable[tuple[Any, dict[str, Any]]]


def rows_of_table(document: dict[str, Any], where: str) -> Rows | None:
    """The rows of a table.

    Args:
        document: `{"columns": [name], "data": [[value]]}`, `{"data": [{"column": value}]}`, also with another name,
            `{"column": [value]}`, `{"column": {"0": value}}` or `{"id": {"column": value}}`.
        where: The place, to begin the error's sentence.

    Returns:
        Number or id of each row, and the row; None if the object is no table but one record.

    Raises:
        InputError: If it holds several tables.
    """
    values = list(document.values())
    data, columns = document.get("data"), document.get("columns")
    if isinstance(data, list) and isinstance(columns, list):
        return enumerate((dict(zip(columns, row, strict=False)) for row in data), start=1)
    named = next((document[name] for name in _ROWS if _are_rows(document.get(name))), None)
    if named is None and values and all(map(_are_rows, values)):
        if len(values) > 1:
            raise InputError(f"{where} holds the tables {', '.join(document)}; write each to a file of its own.")
        named = values[0]
    if named is not None:
        return enumerate(map(_unwrapped, named), start=1)
    if len(values) > 1 and all(isinstance(value, list) and len(value) == len(values[0]) > 0 for value in values):
        return enumerate((dict(zip(document, row, strict=True)) for row in zip(*values, strict=True)), start=1)
    return _rows_of_objects(document)


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _unwrapped(row: dict[str, Any]) -> dict[str, Any]:
    """The row in `{"row_idx": 0, "row": {...}}`, as the hub's data viewer sends it."""
    inner = row.get("row")
    return inner if isinstance(inner, dict) and "row_idx" in row else row


def _rows_of_objects(document: dict[str, Any]) -> Rows | None:
    """The rows of an object of objects that all have the same names: columns of rows, or rows by number or id."""
    values = list(document.values())
    keys = values[0].keys() if values and isinstance(values[0], dict) else {}
    if not keys or any(not isinstance(value, dict) or value.keys() != keys for value in values):
        return None
    if all(key.isdecimal() for key in document):
        return document.items()
    if len(values) == 1 or any(map(is_english, keys)):  # {"question": {"en": ..., "de": ...}} is a record.
        return None
    if all(key.isdecimal() for key in keys):
        return ((key, {name: column[key] for name, column in document.items()}) for key in keys)
    return ((key, {"id": key} | row) for key, row in document.items())
