"""Anybody's own parallel data: English query, English passage, query in another language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clear_ir.data.collection import Text, make_collection
from clear_ir.data.files import InputError
from clear_ir.data.rows import hold_out, read_parallel_rows
from clear_ir.prepare.prepared import Prepared


def load_parallel(
    path: Path,
    mapping: Mapping[str, str] | None = None,
    lang: str | None = None,
    langs: list[str] | None = None,
    test_share: float = 0.2,
    seed: int = 0,
) -> Prepared:
    """Load parallel rows and hold a share of the passages out to test on.

    Args:
        path: JSON Lines, CSV, Parquet or a saved ``datasets`` folder.
        mapping: Our column name to the file's.
        lang: Language of all rows, for a file without a column for it.
        langs: Keep these languages only.
        test_share: Share of the passages whose rows are for testing; 0 tests nothing.
        seed: Chooses them.

    Returns:
        Rows, and a collection whose pool is all passages of the file.

    Raises:
        InputError: If the file cannot be used, lacks a language, or nothing is left to train on.
    """
    rows, rejected = read_parallel_rows(path, mapping, lang)
    known = sorted({row.lang for row in rows})
    if unknown := [wanted for wanted in langs or [] if wanted not in known]:
        raise InputError(f"{path} has no rows in language {unknown[0]!r}; choose among {', '.join(known)}.")
    passages: dict[str, Text] = {}
    for row in rows:
        held = passages.setdefault(row.passage_id, Text(row.passage_id, row.passage, "en"))
        if held.text != row.passage:
            raise InputError(f"{path}: the passage_id {row.passage_id!r} stands for two different passages; mend it.")
    chosen = [row for row in rows if not langs or row.lang in langs]
    train, test = hold_out(chosen, test_share, seed, lambda row: row.passage_id)
    if not train:
        raise InputError(f"{path}: nothing is left to train on after holding out {test_share:.0%}; lower --test-share.")
    questions = ((row.id, row.passage_id, {"en": row.query, row.lang: row.cross_query}) for row in test)
    collection = make_collection(path.stem, passages.values(), questions) if test else None
    return Prepared(train, collection, rejected)
