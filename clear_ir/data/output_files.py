"""Write outputs that appear complete or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clear_ir.data.files import InputError


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8. The file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path, "partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _beside(path: Path, suffix: str) -> Path:
    """A path beside `path` that no other process uses.

    It is on the same file system, so renaming it to `path` is atomic.
    """
    return path.with_name(f"{path.name}.{os.getpid()}.{suffix}")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON. The file appears complete or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line. The file appears complete or not at all."""
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def check_new(path: Path, marker: str | None = None, overwrite: bool = False) -> None:
    """Refuse an output path that is taken.

    Args:
        path: The file or folder to write.
        marker: For a folder: a file that every folder made by the command holds. A folder without it is never
            replaced. None: the output is a file.
        overwrite: Replace earlier output of the same command.

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
    """Make a folder. It appears at `path` only when it is complete.

    Args:
        path: The folder to make.
        marker: See `check_new`.
        overwrite: See `check_new`.

    Yields:
        A folder beside `path` to write into. It is removed if the block fails.
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
    """Rename the folder `made` to `path`, replacing what is there."""
    old = _beside(path, "old")
    if path.exists():
        path.replace(old)
    made.replace(path)
    shutil.rmtree(old, ignore_errors=True)
