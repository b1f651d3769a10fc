"""What `clear-ir translate` writes: the rows, what was left out, and how the rows were made."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clear_ir.data.origins import beside, hold_with_origin, is_stream, origin_of
from clear_ir.data.output_files import write_json, write_jsonl
from clear_ir.data.rows import RejectedRecords, write_parallel_rows
from clear_ir.translate.translation import TranslatedRows


def rejected_file(out: Path) -> Path:
    """The file of what was left out, beside the rows: `rows.rejected.jsonl`."""
    return beside(out, "rejected.jsonl")


def origin_file(out: Path) -> Path:
    """The file that says how the rows were made, beside them: `rows.translation.json`."""
    return beside(out, "translation.json")


def hold_outputs(out: Path, overwrite: bool = False) -> AbstractContextManager[None]:
    """Keep the paths of the three files for this run, see `clear_ir.data.origins.hold_with_origin`."""
    return hold_with_origin(out, origin_file(out), rejected_file(out), overwrite=overwrite)


def write_outputs(
    out: Path,
    made: TranslatedRows,
    unread: RejectedRecords,
    how: Mapping[str, Any],
    command: str = "clear-ir translate",
) -> dict[str, Any]:
    """Write the rows, and beside them what was left out and how they were made.

    The rows come last: where they are, the other files are.

    Args:
        out: The file of the rows.
        made: What translation gave.
        unread: Records of the input that were left out.
        how: How the rows were made: translator, settings. It must be the same for every run with these settings, and
            hold no secret.
        command: The command that made them.

    Returns:
        What was written of how they were made.
    """
    rejected: list[dict[str, Any]] = [asdict(each) for each in made.rejected]
    rejected += [{"place": where, "reason": reason} for where, reason in unread.reasons]
    how = {**how, "rows not read": len(unread.reasons), "languages": made.counts()}
    document = origin_of(command, how)
    if not is_stream(out):
        write_json(origin_file(out), document)
        if rejected:
            write_jsonl(rejected_file(out), rejected)
        else:
            rejected_file(out).unlink(missing_ok=True)
    write_parallel_rows(out, made.rows)
    return document
