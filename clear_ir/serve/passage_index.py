"""Passages, encoded once: how a model ranks them for a question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clear_ir.data.collection import Text
from clear_ir.data.directions import ALL
from clear_ir.encode.search import rank_all
from clear_ir.encode.text_encoder import TextEncoder


@dataclass(frozen=True)
class Hit:
    """A passage that a model found.

    Args:
        rank: Its place, from 1.
        passage: The passage.
        score: Cosine or dot product, as the model compares.
    """

    rank: int
    passage: Text
    score: float


class PassageIndex:
    """A model's vectors of passages.

    Args:
        encoder: The model. Its cache keeps the passages, so that the next index needs no encoding.
        passages: At least one passage.
    """

    def __init__(self, encoder: TextEncoder, passages: Sequence[Text]) -> None:
        # Of equal scores the first one wins: the higher id, as in trec_eval.
        self.passages = sorted(passages, key=lambda passage: passage.id, reverse=True)
        self._row_of = {passage.id: row for row, passage in enumerate(self.passages)}
        self._langs = np.array([passage.lang for passage in self.passages])
        self._vectors = encoder.encode([passage.full_text for passage in self.passages], "passage")
        # What somebody types is not kept on disk.
        self._encoder = replace(encoder, cache=None)

    def rank(self, question: str, pool: str = ALL) -> PoolRanking:
        """Rank passages for a question.

        Args:
            question: The question.
            pool: The language of the passages to rank, or `all`.

        Returns:
            The ranking.
        """
        [(scores, rows)] = rank_all(self._encoder.encode([question], "query"), self._vectors)
        if pool != ALL:
            in_pool = self._langs[rows] == pool
            scores, rows = scores[in_pool], rows[in_pool]
        return PoolRanking(self, scores, rows)

    def rows_of(self, passage_ids: Iterable[str]) -> dict[str, int]:
        """The rows of passages, by id. Those that the index lacks are left out."""
        return {name: self._row_of[name] for name in passage_ids if name in self._row_of}


@dataclass(frozen=True)
class PoolRanking:
    """All passages of a pool, ranked for a question.

    Args:
        index: Has the passages.
        scores: Shape (num_passages,), the highest first.
        rows: The passages' rows in the index, same shape.
    """

    index: PassageIndex
    scores: np.ndarray
    rows: np.ndarray

    def best(self, top_k: int) -> list[Hit]:
        """The passages with the highest scores, best first; fewer than `top_k` if the pool has fewer."""
        found = zip(self.rows[:top_k].tolist(), self.scores[:top_k].tolist(), strict=True)
        return [Hit(rank, self.index.passages[row], score) for rank, (row, score) in enumerate(found, 1)]

    def ranks(self, passage_ids: Iterable[str]) -> dict[str, int]:
        """The ranks of chosen passages, from 1. Those that are not in the pool are left out."""
        places = {name: np.flatnonzero(self.rows == row) for name, row in self.index.rows_of(passage_ids).items()}
        return {name: int(place[0]) + 1 for name, place in places.items() if len(place)}
