"""The study's results: one JSON file for each stage and data set, to which finished cells are added one by one.

A file holds the hash of the evaluated collection, the order of the questions, and the cells by `Cell.key`. Under
`scores` a cell has nDCG@10 of every question by merging weight and direction: one line a direction, the questions in
the file's order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_text
from study.cells import Cell

#: The results of each plan are in a folder of its name.
RESULTS_FOLDER = Path(__file__).resolve().parent / "results"
#: Objects that are written on one line; so are lists.
ONE_LINE = ("settings", "versions")


class ResultFiles:
    """The cells that have been run.

    Several processes can add cells at once, also to the same file: each adds its cell under a lock, and the file is
    replaced in one go, so that a process that is killed leaves the earlier cells as they were.

    Args:
        folder: Where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, stage: str, data: str) -> Path:
        """The file of a stage and data set."""
        return self.folder / f"{stage}-{data}.json"

    def has(self, cell: Cell) -> bool:
        """Whether a cell has been run."""
        return cell.key in self._document(cell.stage, cell.data)["cells"]

    def read(self, cell: Cell) -> Mapping[str, Any]:
        """All that is kept of a cell: settings, losses, scores, times, versions.

        Args:
            cell: A cell that has been run.

        Returns:
            The entry of the file; not to be changed.

        Raises:
            InputError: If it has not been run.
        """
        cells: dict[str, dict[str, Any]] = self._document(cell.stage, cell.data)["cells"]
        if cell.key not in cells:
            raise InputError(f"{self.path(cell.stage, cell.data)} has no cell {cell.key!r}; run the study first.")
        return cells[cell.key]

    def questions(self, stage: str, data: str) -> dict[str, list[str]]:
        """The questions of each direction, in the order in which the cells hold their scores."""
        return {direction: ids.split() for direction, ids in self._document(stage, data)["questions"].items()}

    def scores(self, cell: Cell, weight: str) -> dict[str, np.ndarray]:
        """nDCG@10 of every question by direction.

        Args:
            cell: A cell that has been run.
            weight: The merging weight as the file has it: `0` for the base, `1` for the model as trained.

        Returns:
            Arrays of shape (num_questions,), in the order of `questions`.
        """
        lines = self.read(cell)["scores"][weight].items()
        return {direction: np.array(line.split(), dtype=np.float64) for direction, line in lines}

    def means(self, cell: Cell, weight: str) -> dict[str, float]:
        """Mean nDCG@10 by direction, see `scores`."""
        return {direction: float(np.mean(values)) for direction, values in self.scores(cell, weight).items()}

    def add_questions(self, stage: str, data: str, data_hash: str, questions: Mapping[str, Sequence[str]]) -> None:
        """Keep the order in which the cells of a stage and data set will hold their scores.

        Args:
            stage: `dev` or `test`.
            data: Name in the matrix.
            data_hash: Of the evaluated collection.
            questions: By direction, the ids of its questions.

        Raises:
            InputError: If the file has cells with other questions or of another collection.
        """
        joined = {direction: " ".join(ids) for direction, ids in questions.items()}
        with self._locked(stage, data, data_hash) as document:
            if document["questions"] == joined:
                return
            if document["cells"]:
                raise InputError(f"{self.path(stage, data)} has cells with other questions; move the file away.")
            document["questions"] = joined
            self._write(stage, data, document)

    def add(self, cell: Cell, data_hash: str, entry: Mapping[str, Any]) -> None:
        """Keep a finished cell; the others of its file stay as they are.

        Args:
            cell: The cell.
            data_hash: Of the evaluated collection.
            entry: All that is kept of it.

        Raises:
            InputError: If the file has cells of another collection.
        """
        with self._locked(cell.stage, cell.data, data_hash) as document:
            cells = {**document["cells"], cell.key: dict(entry)}
            document["cells"] = dict(sorted(cells.items()))  # the same file in whatever order the cells finish
            self._write(cell.stage, cell.data, document)

    def _document(self, stage: str, data: str) -> dict[str, Any]:
        path = self.path(stage, data)
        try:
            status = path.stat()
        except FileNotFoundError:
            return {"questions": {}, "cells": {}}
        return _parsed(path, status.st_mtime_ns, status.st_ino)

    @contextmanager
    def _locked(self, stage: str, data: str, data_hash: str) -> Iterator[dict[str, Any]]:
        """What the file holds now, while no other process can write it."""
        path = self.path(stage, data)
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.stem}.lock")):
            document: dict[str, Any] = {"data_hash": data_hash, "questions": {}, "cells": {}}
            if path.exists():
                document = json.loads(path.read_text(encoding="utf-8"))
            if document["data_hash"] != data_hash:
                raise InputError(
                    f"{path} holds scores on other data than those given now, so the cells could not be compared; "
                    "give the data of the earlier cells, or move the file away."
                )
            yield document

    def _write(self, stage: str, data: str, document: Mapping[str, Any]) -> None:
        write_text(self.path(stage, data), format_document(document) + "\n")


def format_document(value: Any, level: int = 0) -> str:
    """JSON that is easy to compare: objects over several lines, lists and `ONE_LINE` objects on one.

    Args:
        value: What to write.
        level: Depth of `value`, in spaces.

    Returns:
        JSON text.
    """
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value, ensure_ascii=False)
    margin = " " * (level + 1)
    lines = []
    for name, item in value.items():
        text = json.dumps(item, ensure_ascii=False) if name in ONE_LINE else format_document(item, level + 1)
        lines.append(f"{margin}{json.dumps(name, ensure_ascii=False)}: {text}")
    return "{\n" + ",\n".join(lines) + f"\n{' ' * level}}}"


@lru_cache(maxsize=32)
def _parsed(path: Path, changed: int, inode: int) -> dict[str, Any]:
    """A file's content; time of change and inode tell when it must be read again."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
