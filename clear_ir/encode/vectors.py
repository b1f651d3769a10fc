"""Matrices of embeddings that may be larger than the memory: large ones are in a file that is mapped."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

#: Matrices of this number of bytes or more are in a file.
MAPPED_FROM = 2**28
#: Bytes of vectors that are copied at once.
BLOCK_BYTES = 2**23


def new_matrix(num_rows: int, dim: int, folder: Path | None = None) -> np.ndarray:
    """A matrix to be filled, in a file if it is large: the system keeps in memory what is in use and has room there.

    Args:
        num_rows: Number of rows.
        dim: Number of columns.
        folder: Where the file goes; else, or if there is no room, the system's folder for such files. The file has no
            name, and it is gone as soon as nobody uses the matrix, however the run ends.

    Returns:
        Shape (num_rows, dim), float32. It is in memory if it is small or no disk has room for it.
    """
    size = num_rows * dim * 4
    # Without posix_fallocate a disk that is full later would kill the process without a word.
    if size >= MAPPED_FROM and hasattr(os, "posix_fallocate"):
        for place in dict.fromkeys((folder, None)):
            with suppress(OSError), tempfile.TemporaryFile(dir=place) as file:
                os.posix_fallocate(file.fileno(), 0, size)
                return np.asarray(np.memmap(file, np.float32, "r+", shape=(num_rows, dim)))
    return np.empty((num_rows, dim), np.float32)


def row_blocks(num_rows: int, dim: int) -> Iterator[slice]:
    """Slices of the rows of a matrix that have `BLOCK_BYTES` each."""
    step = max(1, BLOCK_BYTES // max(1, dim * 4))
    return (slice(begin, min(num_rows, begin + step)) for begin in range(0, num_rows, step))


class TextVectors:
    """The vectors of texts, in the order of the texts. They are filled in any order; a repeated text has its first's.

    Args:
        texts: The texts.
        folder: See `new_matrix`.

    Attributes:
        distinct: The distinct texts, in their order.
    """

    def __init__(self, texts: Sequence[str], folder: Path | None = None) -> None:
        row_of: dict[str, int] = {}
        self._first = np.array([row_of.setdefault(text, row) for row, text in enumerate(texts)], np.int64)
        self._row_of, self.distinct = row_of, list(row_of)
        self._folder = folder
        self._matrix: np.ndarray | None = None

    def put(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Enter the vectors of some texts.

        Args:
            texts: The texts.
            vectors: Shape (num_texts, dim).
        """
        if self._matrix is None:
            self._matrix = new_matrix(len(self._first), vectors.shape[1], self._folder)
        self._matrix[self._rows(texts)] = vectors

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of texts that have theirs, shape (num_texts, dim)."""
        assert self._matrix is not None
        vectors: np.ndarray = self._matrix[self._rows(texts)]
        return vectors

    def complete(self) -> np.ndarray:
        """The vectors of all texts, shape (num_texts, dim), after each distinct one got its own."""
        assert self._matrix is not None
        repeated = np.flatnonzero(self._first != np.arange(len(self._first)))
        for block in row_blocks(len(repeated), self._matrix.shape[1]):
            self._matrix[repeated[block]] = self._matrix[self._first[repeated[block]]]
        return self._matrix

    def _rows(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([self._row_of[text] for text in texts], np.int64)
