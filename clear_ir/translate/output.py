"""What `clear-ir translate` writes: the rows, what was left out, and how the rows were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clear_ir import __version__
from clear_ir.data.files import InputError
from clear_ir.data.output_files import hold_output, write_json, write_jsonl
from clear_ir.data.rows import RejectedRecords, write_parallel_rows
from clear_ir.translate.translation import TranslatedRows

#: The first entry of the file that says how rows were made. By it the file is known as ours.
MADE_BY = "made_by"


def rejected_file(out: Path) -> Path:
    """The file of what was left out, beside the rows: `rows.rejected.jsonl`."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.rejected.jsonl")


def origin_file(out: Path) -> Path:
    """The file that says how the rows were made, beside them: `rows.translation.json`."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.translation.json")


def hold_outputs(out: Path, overwrite: bool = False) -> AbstractContextManager[None]:
    """Keep the paths of the three files for this run, see `clear_ir.data.output_files.hold_output`.

    Args:
        out: The file of the rows.
        overwrite: Replace earlier output of the same command.

    Raises:
        InputError: If a path is taken. Files beside the rows that an earlier run made, or a killed one, are replaced.
    """
    origin, rejected = origin_file(out), rejected_file(out)
    taken = [path for path in (origin, rejected) if path.exists() and not _is_stream(out)]
    if taken and not is_ours(origin):
        raise InputError(f"{taken[0]} exists, and this command did not make it; give another path for the rows.", "out")
    return hold_output(out, overwrite=overwrite)


def _is_stream(out: Path) -> bool:
    """Whether the rows go to a pipe or a device, beside which nothing is written."""
    return out.exists() and not out.is_file() and not out.is_dir()


def is_ours(origin: Path) -> bool:
    """Whether a file says how rows were made."""
    try:
        return MADE_BY in json.loads(origin.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


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
    document = {
        MADE_BY: command,
        "version": __version__,
        **how,
        "rows not read": len(unread.reasons),
        "languages": made.counts(),
    }
    if not _is_stream(out):
        write_json(origin_file(out), document)
        if rejected:
            write_jsonl(rejected_file(out), rejected)
        else:
            rejected_file(out).unlink(missing_ok=True)
    write_parallel_rows(out, made.rows)
    return document
