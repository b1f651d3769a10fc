"""Write outputs that appear complete or not at all, at any path, also if a run is killed or two runs meet.

A run holds its output path (`hold_output`), writes beside it on the same disk, and renames at the end. Names of what it
writes meanwhile end in `.partial`; earlier output that is just being replaced ends in `.old`. The next run that holds
the path puts right what a killed one left.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clear_ir.data.files import InputError, reason_of

#: Seconds to wait for the lock of an output path: enough for a run that is just ending.
LOCK_TIMEOUT = 0.5
#: Longest name, in bytes, to which a suffix is added. File systems allow 255.
MAX_NAME = 220
#: In an output folder that keeps its place: where what is replaced goes, before and after all of it is there.
LEAVING, OLD = ".clear-ir-leaving", ".clear-ir-old"
#: In it: the names of what comes in its place.
COMING = ".clear-ir-coming"
_OURS_INSIDE = re.compile(r"\.clear-ir|\.+partial($|\.clear-ir)")

logger = logging.getLogger(__name__)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8. The file appears complete or not at all."""
    if _is_stream(path):
        path.write_text(text, encoding="utf-8")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _new_beside(path, "partial")
    try:
        with naming_failures(path):
            partial.write_text(text, encoding="utf-8")
            partial.replace(_place(path))
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def new_file(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Make a file that is written piece by piece. It appears at `path` only when it is complete.

    Args:
        path: The file to make.
        overwrite: See `check_new`.

    Yields:
        A path on the same disk to write to. The file is removed if the block fails.
    """
    with hold_output(path, None, overwrite):
        if _is_stream(path):
            yield path
            return
        partial = _new_beside(path, "partial")
        try:
            yield partial
            partial.replace(_place(path))
        finally:
            partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON. The file appears complete or not at all."""
    write_text(path, _as_json(value, indent=2) + "\n")


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line. The file appears complete or not at all."""
    write_text(path, "".join(_as_json(record) + "\n" for record in records))


def _as_json(value: Any, indent: int | None = None) -> str:
    """The value as JSON that UTF-8 can hold: half of a surrogate pair is escaped, as in the JSON that it came from."""
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def naming_failures(path: Path) -> Iterator[None]:
    """Say at which output writing failed, and why. Libraries raise other errors than the system does, without a path.

    Args:
        path: The output.

    Raises:
        InputError: If the block cannot write, because the disk is full or read-only, for example.
    """
    try:
        yield
    except Exception as error:
        reason = _why_unwritten(error)
        if reason is None:
            raise
        raise _unwritable(path, reason, error) from error


def _why_unwritten(error: Exception) -> str | None:
    """Why writing failed; None if this is another error. Errors of reading name their file themselves."""
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
        return error.strerror if full else None
    if type(error).__name__ == "SafetensorError" and str(error).startswith("Error while serializing"):
        return reason_of(error).rpartition("error: ")[2]
    # Of torch.save, which does not say more.
    return "is the disk full?" if "inline_container.cc" in str(error) else None


def _unwritable(path: Path, reason: str | None, error: Exception) -> InputError:
    where = getattr(error, "filename", None) or path
    return InputError(
        f"{where} cannot be written ({reason}); check rights and free space, or give another path.", "out"
    )


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
        if path.is_file() and not overwrite:
            raise InputError(f"{path} exists; give another path or allow overwriting.", "out", "overwrite")
        return
    if path.exists() and not path.is_dir():
        kind = "a pipe or a device" if _is_stream(path) else "a file"
        raise InputError(f"{path} is {kind}; give a folder name for the output.", "out")
    if not path.exists() or not _children(path):
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
def hold_output(path: Path, marker: str | None = None, overwrite: bool = False) -> Iterator[None]:
    """Keep an output path for this run until the block ends, and put right what a killed run left there.

    A run may hold a path that it holds already. A killed run holds nothing.

    Args:
        path: See `check_new`.
        marker: See `check_new`.
        overwrite: See `check_new`.

    Raises:
        InputError: If another run holds the path, it is taken, or nothing can be written there.
    """
    if _is_stream(path):
        check_new(path, marker, overwrite)  # before anything is renamed: no folder takes the place of a device
        yield
        return
    place = _place(path)
    above = next(folder for folder in place.parents if os.path.lexists(folder))
    if not above.is_dir():
        raise InputError(f"{path} cannot be made, because {above} is a file; give another path.", "out")
    missing = [folder for folder in place.parents if not folder.exists()]
    try:
        with naming_failures(path), _locked(path) as is_outermost:
            if is_outermost:
                _put_right(place)
            check_new(path, marker, overwrite)
            yield
    finally:
        for folder in missing:
            with suppress(OSError):  # it is not empty: something was written
                folder.rmdir()


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Lock an output path; gives False where this run had locked it already."""
    from filelock import FileLock, Timeout

    place = _place(path)
    # The name is one that no user gives a file, because the lock is removed.
    file = place / ".clear-ir.lock" if _is_fixed(place) else place.with_name(f".{_stem(place)}.clear-ir.lock")
    lock = FileLock(file, timeout=LOCK_TIMEOUT, is_singleton=True)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"Another run is writing to {path}; wait until it ends, or give another path.", "out"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); check rights and free space.", "out") from error
    try:
        yield lock.lock_counter == 1
    finally:
        if lock.lock_counter == 1:
            # Removed while it is locked. Who waits for it sees that it is gone, and makes a new one.
            with suppress(OSError):
                file.unlink()
        lock.release()


@contextmanager
def new_folder(path: Path, marker: str, overwrite: bool = False) -> Iterator[Path]:
    """Make a folder. It appears at `path` only when it is complete.

    Args:
        path: The folder to make.
        marker: See `check_new`.
        overwrite: See `check_new`.

    Yields:
        A folder on the same disk to write into. It is removed if the block fails.
    """
    with hold_output(path, marker, overwrite):
        partial = _new_beside(path, "partial")
        partial.mkdir()
        try:
            yield partial
            put_in_place(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def beside(path: Path, suffix: str) -> Path:
    """A path for what belongs to the output `path`, on the same disk, so that it can be renamed to `path`.

    Args:
        path: The output.
        suffix: How the name ends, after a dot.

    Returns:
        `path` with the suffix. Inside of `path` if that is a folder that keeps its place: the one that the user is in,
        the root of a disk, or one in a folder that cannot be written to.
    """
    place = _place(path)
    return place / f".{suffix}" if _keeps_its_place(place) else place.with_name(f"{_stem(place)}.{suffix}")


def _new_beside(path: Path, suffix: str) -> Path:
    return beside(path, f"clear-ir-{secrets.token_hex(4)}.{suffix}")


def put_in_place(made: Path, path: Path) -> None:
    """Rename the folder `made`, a path from `beside`, to `path`, replacing what is there."""
    place = _place(path)
    if _keeps_its_place(place):
        _put_inside(made, place)
        return
    if not place.exists():
        made.replace(place)
        return
    if not place.is_dir():
        raise InputError(f"{path} is not a folder; it came while the output was made. Give another path.", "out")
    old = _new_beside(path, "old")
    place.replace(old)
    try:
        made.replace(place)
    except BaseException:
        old.replace(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def discard(path: Path) -> None:
    """Remove a folder. If that is cut short, no half of it is left at `path`, and the next run removes the rest."""
    gone = _new_beside(path, "partial")
    path.replace(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _put_inside(made: Path, place: Path) -> None:
    """Replace what is in a folder that keeps its place. `_put_right_inside` undoes it if it is cut short."""
    leaving, old = place / LEAVING, place / OLD
    leaving.mkdir()
    _move_children(place, leaving)
    (leaving / COMING).write_text(json.dumps([child.name for child in _children(made)]), encoding="utf-8")
    leaving.replace(old)
    _move_children(made, place)
    gone = _new_beside(place, "partial")
    old.replace(gone)
    shutil.rmtree(gone, ignore_errors=True)
    made.rmdir()


def _put_right(place: Path) -> None:
    """Remove what killed runs left of their output, and bring back earlier output that they had moved away."""
    if place.is_dir():
        _put_right_inside(place)
    ours = re.compile(rf"{re.escape(_stem(place))}\.clear-ir-[0-9a-f]{{8}}\.(partial|old)")
    for child in sorted(place.parent.iterdir()):
        if not (match := ours.fullmatch(child.name)):
            continue
        if match[1] == "old" and not place.exists():
            child.replace(place)
            _say_restored(place)
        else:
            _remove(child)


def _put_right_inside(place: Path) -> None:
    """The same for a folder that kept its place when a run was killed."""
    leaving, old = place / LEAVING, place / OLD
    if old.is_dir():
        # Of the new output, and perhaps not all of it. What the user has put there since then stays.
        for name in json.loads((old / COMING).read_text(encoding="utf-8")):
            _remove(place / name)
        old.replace(leaving)
    if leaving.is_dir():
        _move_children(leaving, place)
        (leaving / COMING).unlink(missing_ok=True)
        leaving.rmdir()
        _say_restored(place)
    for child in place.glob(".clear-ir-*.partial"):
        _remove(child)


def _say_restored(place: Path) -> None:
    logger.warning(f"A run was killed while it replaced {place}; the earlier output is back there.")


def _place(path: Path) -> Path:
    """Where an output really lies: absolute, behind symbolic links."""
    return Path(os.path.realpath(path))


def _is_stream(path: Path) -> bool:
    """Whether this is a pipe or a device, such as /dev/stdout: it is written to, not replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _is_fixed(place: Path) -> bool:
    """Whether nothing can be put beside a folder and take its place."""
    return place.is_dir() and (os.path.ismount(place) or not os.access(place.parent, os.W_OK))


def _keeps_its_place(place: Path) -> bool:
    """Whether a folder may not be renamed. A shell that is in a renamed folder would be in none."""
    here = _place(Path(os.curdir))
    return _is_fixed(place) or (place.is_dir() and place in (here, *here.parents))


def _stem(place: Path) -> str:
    """The name of an output, or a hash if it is too long to add a suffix."""
    name = os.fsencode(place.name)
    return place.name if len(name) <= MAX_NAME else hashlib.sha256(name).hexdigest()


def _children(folder: Path) -> list[Path]:
    """What is in a folder, without what is ours in one that keeps its place."""
    return [child for child in folder.iterdir() if not _OURS_INSIDE.match(child.name)]


def _move_children(source: Path, target: Path) -> None:
    for child in _children(source):
        child.replace(target / child.name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
