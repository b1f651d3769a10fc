"""Where an encoder finds the passage that a question was written for."""

from __future__ import annotations

from collections.abc import Sequence

from clear_ir.encode.search import rank_passages
from clear_ir.encode.text_encoder import TextEncoder


class PassageRanks:
    """The ranks of passages among all passages.

    Args:
        encoder: Encodes questions and passages.
        passages: Distinct texts.
    """

    def __init__(self, encoder: TextEncoder, passages: Sequence[str]) -> None:
        self.encoder, self.passages = encoder, passages
        self._id_of = {passage: str(number) for number, passage in enumerate(passages)}
        self._vectors = encoder.encode(passages, "passage")

    def of(self, questions: Sequence[str], passages: Sequence[str]) -> list[int]:
        """The rank of a passage for each question, from 1.

        Args:
            questions: The questions.
            passages: For each question a passage, one of those above.

        Returns:
            The ranks.
        """
        wanted = {str(i): [self._id_of[passage]] for i, passage in enumerate(passages)}
        vectors = self.encoder.encode(questions, "query")
        ranks = rank_passages(vectors, self._vectors, list(wanted), list(self._id_of.values()), wanted)
        return [rank for ranked in ranks.values() for rank in ranked.values()]
