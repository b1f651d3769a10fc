"""What a map gives on the dev questions, without encoding anything again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clear_ir.align.maps import AffineMap, SideMaps, map_vectors
from clear_ir.data.collection import Collection
from clear_ir.data.directions import ALL, ENGLISH_DIRECTION, Direction
from clear_ir.data.files import InputError
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import Embeddings
from clear_ir.evaluate.measures import MAIN_MEASURE, MAIN_MIXED_MEASURE
from clear_ir.evaluate.selection import keeps_english, mean_cross_lingual, mean_within_languages

#: Passages of each query that nDCG@10 and Complete@10 see.
CUTOFF = 10
OWN_FIRST = "own_language_first"


@dataclass(frozen=True)
class DevScores:
    """Scores on the dev questions, from 0 to 1.

    Args:
        english: nDCG@10 of q-en.p-en; None if the collection has no such questions.
        monolingual: Mean nDCG@10 of the directions with one language on both sides, English included; None without any.
        cross_lingual: Mean nDCG@10 of the directions whose sides differ in language.
        worst: nDCG@10 of the worst direction.
        complete: Mean Complete@10 in the pool of all languages, or of the pools of English and one other; None if the
            passages are in one language.
        own_first: In these pools, share of the queries whose first relevant passage is in their own language; None
            without such queries.
        directions: nDCG@10 by direction.
    """

    english: float | None
    monolingual: float | None
    cross_lingual: float
    worst: float
    complete: float | None
    own_first: float | None
    directions: dict[str, float]

    @classmethod
    def of(cls, directions: dict[str, float], complete: Sequence[float], own_first: Sequence[float]) -> DevScores:
        """The scores that follow from those of the directions and of the mixed pools.

        Args:
            directions: nDCG@10 by direction.
            complete: Mean Complete@10 of each pool.
            own_first: Of each pool with such queries, the share of those whose own language comes first.
        """
        return cls(
            directions.get(ENGLISH_DIRECTION),
            mean_within_languages(directions),
            mean_cross_lingual(directions),
            min(directions.values()),
            float(np.mean(complete)) if complete else None,
            float(np.mean(own_first)) if own_first else None,
            directions,
        )

    @classmethod
    def mean(cls, parts: Sequence[DevScores]) -> DevScores:
        """The scores of questions that are judged in several parts of about the same size.

        Args:
            parts: The scores of each part; a direction that only some have counts in these.
        """
        of_direction: dict[str, list[float]] = {}
        for part in parts:
            for direction, score in part.directions.items():
                of_direction.setdefault(direction, []).append(score)
        return cls.of(
            {direction: float(np.mean(scores)) for direction, scores in of_direction.items()},
            [part.complete for part in parts if part.complete is not None],
            [part.own_first for part in parts if part.own_first is not None],
        )

    @property
    def aim(self) -> float:
        """What is to become as high as possible: the cross-lingual mean, and Complete@10 where there is one."""
        return self.cross_lingual if self.complete is None else (self.cross_lingual + self.complete) / 2

    def keeps(self, base: DevScores, max_loss: float) -> bool:
        """Whether neither English nor the monolingual mean is much lower than the base's.

        Args:
            base: The scores of the base.
            max_loss: Points of nDCG@10 x 100 that each may lose.
        """
        return keeps_english(self.directions, base.directions, max_loss)


class DevQuestions:
    """The dev questions with the encoder's vectors, on which maps are tried.

    Args:
        encoder: The encoder before alignment.
        collection: Queries, passages and judgments. Not the test collection.

    Raises:
        InputError: If no direction crosses languages.
    """

    def __init__(self, encoder: TextEncoder, collection: Collection) -> None:
        self.collection = collection
        self.directions = collection.directions
        if not any(direction.crosses for direction in self.directions):
            raise InputError(
                f"The collection {collection.name} has no direction across languages; give one with queries and "
                "passages in different languages to choose by.",
                "data",
            )
        mixed = collection.mixed_directions
        of_all = [direction for direction in mixed if direction.passage_lang == ALL]
        self.mixed: list[Direction] = of_all or mixed
        self._embeddings = Embeddings(encoder, collection, [*self.directions, *self.mixed])

    @property
    def num_questions(self) -> int:
        """How many questions there are; translations are one question."""
        return len({text.parallel_id or text.id for text in self.collection.queries.values()})

    def score(self, maps: SideMaps) -> DevScores:
        """The scores with the vectors of each side mapped."""
        base = self._embeddings
        return self._score(map_vectors(maps.query, base.query_vectors), map_vectors(maps.passage, base.passage_vectors))

    def score_by_language(self, maps: Mapping[str, AffineMap]) -> DevScores:
        """The scores with the queries of each language mapped by the map of that language."""
        base = self._embeddings
        langs = np.array([query.lang for query in base.queries])
        queries = base.query_vectors.copy()
        for lang, of_language in maps.items():
            queries[langs == lang] = map_vectors(of_language, queries[langs == lang])
        return self._score(queries, base.passage_vectors)

    def _score(self, queries: np.ndarray, passages: np.ndarray) -> DevScores:
        moved = self._embeddings.moved(queries, passages)
        scores = {
            str(direction): moved.evaluate(direction, CUTOFF, [MAIN_MEASURE]).mean(MAIN_MEASURE)
            for direction in self.directions
        }
        mixed = [moved.evaluate(direction, CUTOFF, [MAIN_MIXED_MEASURE, OWN_FIRST]) for direction in self.mixed]
        complete = [pool.mean(MAIN_MIXED_MEASURE) for pool in mixed]
        own_first = [pool.mean(OWN_FIRST) for pool in mixed if len(pool.values(OWN_FIRST))]
        return DevScores.of(scores, complete, own_first)
