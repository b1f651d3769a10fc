"""The file beside rows that says how they were made: `rows.translation.json`, `train.mining.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from clear_ir import __version__
from clear_ir.data.files import InputError
from clear_ir.data.output_files import hold_output

#: The first entry of such a file. By it the file is known as ours.
MADE_BY = "made_by"


def beside(out: Path, ending: str) -> Path:
    """A file beside rows: for `rows.jsonl` and `translation.json` it is `rows.translation.json`."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.{ending}")


def hold_with_origin(out: Path, origin: Path, *others: Path, overwrite: bool = False) -> AbstractContextManager[None]:
    """Keep the paths of rows and of the files beside them, see `clear_ir.data.output_files.hold_output`.

    Args:
        out: The file of the rows.
        origin: The file that says how they were made.
        others: More files beside the rows.
        overwrite: Replace earlier output of the same command.

    Raises:
        InputError: If a path is taken. Files beside the rows that an earlier run made, or a killed one, are replaced.
    """
    taken = [path for path in (origin, *others) if path.exists() and not is_stream(out)]
    if taken and not is_ours(origin):
        raise InputError(f"{taken[0]} exists, and this command did not make it; give another path for the rows.", "out")
    return hold_output(out, overwrite=overwrite)


def is_stream(out: Path) -> bool:
    """Whether the rows go to a pipe or a device, beside which nothing is written."""
    return out.exists() and not out.is_file() and not out.is_dir()


def is_ours(origin: Path) -> bool:
    """Whether a file says how rows were made."""
    try:
        return MADE_BY in json.loads(origin.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def origin_of(command: str, how: Mapping[str, Any]) -> dict[str, Any]:
    """How rows were made, as the file says it.

    Args:
        command: The command that made the rows.
        how: The rest. It must be the same for every run with these settings, and hold no secret.
    """
    return {MADE_BY: command, "version": __version__, **how}
