"""The passages of a pool, encoded once: what a model finds for a question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clear_ir.data.collection import Text
from clear_ir.encode.search import rank_passages, search_top_k
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
    """A model's vectors of the passages of a pool.

    Args:
        encoder: The model. Its cache keeps the passages, so that the next index needs no encoding.
        passages: The pool; at least one passage.
    """

    def __init__(self, encoder: TextEncoder, passages: Sequence[Text]) -> None:
        self.passages = {passage.id: passage for passage in passages}
        self._ids = list(self.passages)
        self._vectors = encoder.encode([passage.full_text for passage in passages], "passage")
        # What somebody types is not kept on disk.
        self._encoder = replace(encoder, cache=None)

    def encode(self, question: str) -> np.ndarray:
        """The vector of a question, shape (1, dim)."""
        return self._encoder.encode([question], "query")

    def best(self, query_vector: np.ndarray, top_k: int) -> list[Hit]:
        """The passages with the highest scores, best first.

        Args:
            query_vector: As `encode` gives it.
            top_k: How many; fewer if the pool has fewer.
        """
        found = search_top_k(query_vector, self._vectors, [""], self._ids, top_k)[""]
        return [Hit(rank, self.passages[name], score) for rank, (name, score) in enumerate(found.items(), 1)]

    def ranks(self, query_vector: np.ndarray, passage_ids: Iterable[str]) -> dict[str, int]:
        """The ranks of chosen passages among all of the pool, from 1.

        Args:
            query_vector: As `encode` gives it.
            passage_ids: Which passages. Those that are not in the pool are left out.
        """
        wanted = [name for name in passage_ids if name in self.passages]
        return rank_passages(query_vector, self._vectors, [""], self._ids, {"": wanted})[""]
