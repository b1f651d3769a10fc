"""Rows of a matrix that may be larger than the memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Rows ranked at once: their scores for a block of candidates are in memory at the same time.
ANCHORS_AT_ONCE = 512


@dataclass(frozen=True)
class Vectors:
    """Some rows of a matrix, in an order. They are copied a block at a time: the matrix may not fit into memory.

    Args:
        matrix: Shape (num_texts, dim).
        rows: Which rows of it, shape (num_vectors,). None: all.
    """

    matrix: np.ndarray
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.matrix if self.rows is None else self.rows)

    def select(self, rows: np.ndarray) -> Vectors:
        """Only some of these vectors."""
        return Vectors(self.matrix, rows if self.rows is None else self.rows[rows])

    def __getitem__(self, block: slice) -> np.ndarray:
        vectors: np.ndarray = self.matrix[block if self.rows is None else self.rows[block]]
        return vectors


def row_scores(first: Vectors, second: Vectors) -> np.ndarray:
    """The dot product of each vector with the one at the same place, shape (num_vectors,)."""
    scores = np.empty(len(first), np.float32)
    for begin in range(0, len(first), ANCHORS_AT_ONCE):
        block = slice(begin, begin + ANCHORS_AT_ONCE)
        scores[block] = np.einsum("ij,ij->i", first[block], second[block])
    return scores
