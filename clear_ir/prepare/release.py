"""The files of a data set's release, as it is unpacked: in the folder that is given, or in folders below it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from clear_ir.data.files import InputError, no_such_folder

#: How far below the given folder files are looked for, and among how many files and folders: a release lies in a few
#: folders, but somebody may give the home folder.
MOST_LEVELS = 4
MOST_ENTRIES = 20_000


def find_files(data: Path | str, pattern: re.Pattern[str], title: str, example: str) -> dict[re.Match[str], Path]:
    """The files of a release.

    Args:
        data: The folder that holds them, or a folder above it, up to `MOST_LEVELS`. Files in the folder itself are
            taken alone.
        pattern: What the name of a file is, as a whole.
        title: Name of the data set, for the error.
        example: Name of one of its files, for the error.

    Returns:
        The files by the match of their name, in the order of their names.

    Raises:
        InputError: If there are none, two have one name, or too many files had to be looked through.
    """
    folder = Path(data)
    if not folder.exists():
        raise InputError(no_such_folder(folder), "data")
    if not folder.is_dir():
        raise InputError(f"{data} is a file; give the folder that holds the files of {title}.", "data")
    paths = [path for path in _entries(folder) if pattern.fullmatch(path.name)]
    if not paths:
        try:
            paths = [path for path in _below(folder) if pattern.fullmatch(path.name)]
        except _TooManyError:
            raise InputError(
                f"{data} holds more than {MOST_ENTRIES:,} files and folders; give the folder that holds those of "
                f"{title}, such as {example}.",
                "data",
            ) from None
    if not paths:
        raise InputError(
            f"{data} holds no files of {title}, such as {example}; give the folder that holds them.", "data"
        )
    _check_one_release(data, title, paths)
    return {
        match: path for path in sorted(paths, key=lambda path: path.name) if (match := pattern.fullmatch(path.name))
    }


class _TooManyError(Exception):
    pass


def _entries(folder: Path) -> list[Path]:
    """What a folder holds that is not hidden; nothing if it must not be read."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith((".", "__"))]
    except PermissionError:
        return []


def _below(folder: Path) -> Iterator[Path]:
    """Everything below a folder, down to `MOST_LEVELS`."""
    count, level = 0, [folder]
    for _ in range(MOST_LEVELS + 1):
        entries = [path for each in level for path in _entries(each)]
        count += len(entries)
        if count > MOST_ENTRIES:
            raise _TooManyError
        yield from entries
        level = [path for path in entries if path.is_dir()]


def _check_one_release(data: Path | str, title: str, paths: list[Path]) -> None:
    """Refuse files of one name in several folders."""
    folders: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folders[path.name].append(str(path.parent))
    for name, places in folders.items():
        if len(places) > 1:
            raise InputError(
                f"{data} holds several files {name}, in {' and '.join(sorted(places))}; give the folder of {title}.",
                "data",
            )
